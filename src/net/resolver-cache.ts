// What DNS said, for as long as it holds. Bounded in entries and bytes. No thread.
//
// Two generations: entries go into the young one, and what is found in the old one moves there. When the young one has
// half of the room it becomes the old one, and what nobody asked for meanwhile is gone. A list ordered by use would keep
// them more exactly, but on a Map it costs tens of microseconds a use, because a Map steps over its dead slots.

import type { Clock } from '../lib/clock.ts'

interface Entry<V> {
  readonly value: V
  /** ms of the monotonic clock. */
  readonly expiresAt: number
  readonly bytes: number
}

export interface Cached<V> {
  readonly value: V
  readonly remainingMs: number
}

/** Memory of an entry beside the bytes of its answer: key, objects, map slot. */
const ENTRY_OVERHEAD_BYTES = 256

export class TtlCache<V> {
  readonly #clock: Clock
  /** Of one generation. */
  readonly #entriesMax: number
  readonly #bytesMax: number
  #young = new Map<string, Entry<V>>()
  #old = new Map<string, Entry<V>>()
  /** Bytes that went into the young generation. */
  #youngBytes = 0

  constructor(clock: Clock, entriesMax: number, bytesMax: number) {
    this.#clock = clock
    this.#entriesMax = Math.max(1, Math.floor(entriesMax / 2))
    this.#bytesMax = Math.floor(bytesMax / 2)
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): Cached<V> | undefined {
    const young = this.#young.get(key)
    const entry = young ?? this.#old.get(key)
    if (!entry) return undefined
    const remainingMs = entry.expiresAt - this.#clock.mono()
    if (remainingMs <= 0) return undefined
    if (!young) this.#put(key, entry)
    return { value: entry.value, remainingMs }
  }

  /** `answerBytes` is what the value costs; one that alone exceeds a generation is not kept. */
  set(key: string, value: V, ttlMs: number, answerBytes: number): void {
    const bytes = answerBytes + key.length + ENTRY_OVERHEAD_BYTES
    if (ttlMs <= 0 || bytes > this.#bytesMax) return
    this.#put(key, { value, expiresAt: this.#clock.mono() + ttlMs, bytes })
  }

  #put(key: string, entry: Entry<V>): void {
    if (this.#young.size >= this.#entriesMax || this.#youngBytes + entry.bytes > this.#bytesMax) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#old.delete(key)
    this.#youngBytes += entry.bytes - (this.#young.get(key)?.bytes ?? 0)
    this.#young.set(key, entry)
  }
}
