// A rate that is never exceeded: at most `count` events in any span of `periodMs`. Pure.
//
// The permits stand in a ring of at most 64 chunks. A chunk's permits come back a period after its last one was used, so
// that no span of that length sees more than `count`. Up to 64 permits this is exact; above, a steady flow gets 98 %.

import type { Rate } from './ports.ts'

const CHUNKS_MAX = 64

export class RateWindow {
  readonly rate: Rate
  readonly #chunks: number
  /** When each chunk was last used. */
  readonly #usedAt: Float64Array
  #current = 0
  /** Permits used of the current chunk. */
  #used = 0

  constructor(rate: Rate) {
    this.rate = rate
    this.#chunks = Math.max(1, Math.min(CHUNKS_MAX, Math.floor(rate.count)))
    this.#usedAt = new Float64Array(this.#chunks).fill(-Infinity)
  }

  /** When the next permit is there: `now` or later. */
  freeAt(now: number): number {
    if (this.#used > 0) return now
    return Math.max(now, (this.#usedAt[this.#current] as number) + this.rate.periodMs)
  }

  /** Uses one permit; only when `freeAt(now)` is `now`. */
  take(now: number): void {
    this.#usedAt[this.#current] = now
    this.#used++
    if (this.#used < this.#sizeOf(this.#current)) return
    this.#current = (this.#current + 1) % this.#chunks
    this.#used = 0
  }

  /** Whether every permit is back: such a window can be forgotten. */
  idle(now: number): boolean {
    return this.#usedAt.every((at) => at + this.rate.periodMs <= now)
  }

  #sizeOf(chunk: number): number {
    const least = Math.floor(this.rate.count / this.#chunks)
    return Math.max(1, chunk < this.rate.count % this.#chunks ? least + 1 : least)
  }
}

/** The window for `rate`, the old one when the rate did not change. */
export function windowFor(old: RateWindow | undefined, rate: Rate | undefined): RateWindow | undefined {
  if (!rate) return undefined
  if (old && old.rate.count === rate.count && old.rate.periodMs === rate.periodMs) return old
  return new RateWindow(rate)
}

/** Events a second over the last second or so, for decisions that need no precision. */
export class Speed {
  #since = 0
  #count = 0
  #last = 0

  add(now: number, events: number): void {
    this.#roll(now)
    this.#count += events
  }

  perSecond(now: number): number {
    this.#roll(now)
    return Math.max(this.#last, (this.#count * 1000) / Math.max(now - this.#since, 100))
  }

  #roll(now: number): void {
    const elapsed = now - this.#since
    if (elapsed < 1000) return
    this.#last = elapsed < 2000 ? (this.#count * 1000) / elapsed : 0
    this.#count = 0
    this.#since = now
  }
}
