// When the next thing happens to each row: due, delay warning, expiry. Scheduler thread.
//
// A 4-ary heap of (tick, row) in typed arrays, 12 bytes a row. Every row but held ones and those in flight is in it with
// the earliest of its times, so that a million rows for a dead site cost nothing until one of them expires, and a
// deadline (DELIVERBY) is met exactly; a sweep would cost either CPU or precision. New rows expire last, so that a
// push stays where it is put, and a removal mends the heap near its leaves.

import { extend } from './rows.ts'

/** Times in rows are ticks of 0.1 s since a year before the start: 32 bits reach twelve years ahead. */
export const TICK_MS = 100
const YEAR_MS = 365 * 86_400_000
export const TICK_MAX = 0xffff_fffe

export class Ticks {
  readonly #base: number

  constructor(now: number) {
    this.#base = now - YEAR_MS
  }

  /** The first tick not before `ms`; at least 1, at most TICK_MAX (Infinity too). */
  from(ms: number): number {
    const tick = Math.ceil((ms - this.#base) / TICK_MS)
    return tick < 1 ? 1 : tick > TICK_MAX ? TICK_MAX : tick
  }

  /** The last tick that has begun at `ms`. */
  reached(ms: number): number {
    return Math.min(Math.max(Math.floor((ms - this.#base) / TICK_MS), 0), TICK_MAX)
  }

  ms(tick: number): number {
    return this.#base + tick * TICK_MS
  }
}

const ABSENT = -1
const FIRST = 1024

export class Timeline {
  #keys = new Uint32Array(FIRST)
  #rows = new Int32Array(FIRST)
  /** Place of a row in the heap, ABSENT when it is not there; by row. */
  #places = new Int32Array(FIRST).fill(ABSENT)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Tick of the earliest row, Infinity when empty. */
  get firstTick(): number {
    return this.#size === 0 ? Infinity : (this.#keys[0] as number)
  }

  /** The earliest row; only when not empty. */
  get firstRow(): number {
    return this.#rows[0] as number
  }

  /** Puts a row in, or moves it. */
  set(row: number, tick: number): void {
    if (row >= this.#places.length) this.#reserve(row + 1)
    let place = this.#places[row] as number
    if (place === ABSENT) {
      place = this.#size++
      this.#up(place, row, tick)
    } else if (tick < (this.#keys[place] as number)) this.#up(place, row, tick)
    else this.#down(place, row, tick)
  }

  /** Takes a row out; nothing happens when it is not in. */
  remove(row: number): void {
    const place = row < this.#places.length ? (this.#places[row] as number) : ABSENT
    if (place === ABSENT) return
    this.#places[row] = ABSENT
    const last = --this.#size
    if (place === last) return
    const moved = this.#rows[last] as number
    const tick = this.#keys[last] as number
    if (place > 0 && tick < (this.#keys[(place - 1) >> 2] as number)) this.#up(place, moved, tick)
    else this.#down(place, moved, tick)
  }

  #up(place: number, row: number, tick: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 2
      if ((this.#keys[parent] as number) <= tick) break
      this.#put(place, this.#rows[parent] as number, this.#keys[parent] as number)
      place = parent
    }
    this.#put(place, row, tick)
  }

  #down(place: number, row: number, tick: number): void {
    for (;;) {
      const child = this.#leastChild(place)
      if (child < 0 || (this.#keys[child] as number) >= tick) break
      this.#put(place, this.#rows[child] as number, this.#keys[child] as number)
      place = child
    }
    this.#put(place, row, tick)
  }

  #leastChild(place: number): number {
    const first = place * 4 + 1
    if (first >= this.#size) return -1
    const end = Math.min(first + 4, this.#size)
    let least = first
    for (let child = first + 1; child < end; child++) {
      if ((this.#keys[child] as number) < (this.#keys[least] as number)) least = child
    }
    return least
  }

  #put(place: number, row: number, tick: number): void {
    this.#keys[place] = tick
    this.#rows[place] = row
    this.#places[row] = place
  }

  #reserve(rows: number): void {
    const capacity = Math.max(rows, this.#places.length * 2)
    this.#keys = extend(this.#keys, new Uint32Array(capacity))
    this.#rows = extend(this.#rows, new Int32Array(capacity))
    this.#places = extend(this.#places, new Int32Array(capacity).fill(ABSENT))
  }
}
