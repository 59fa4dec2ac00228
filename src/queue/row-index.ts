// From (message id, group) to the row: open addressing over one typed array, 4 bytes a slot. Scheduler thread.
//
// Linear probing, at most three quarters full; removal shifts the followers back, so that there are no tombstones and
// the cost of a look-up does not grow with age. A slot holds row + 1, 0 is empty.

import { assert } from '../lib/assert.ts'

/** The columns that a slot stands for. */
export interface RowKeys {
  readonly id: Float64Array
  readonly group: Uint16Array
}

const SLOTS_FIRST = 2048
const NONE = -1

export class RowIndex {
  readonly #keys: RowKeys
  #slots = new Uint32Array(SLOTS_FIRST)
  #mask = SLOTS_FIRST - 1
  #count = 0

  constructor(keys: RowKeys) {
    this.#keys = keys
  }

  find(id: number, group: number): number {
    const { id: ids, group: groups } = this.#keys
    let slot = hash(id, group) & this.#mask
    for (;;) {
      const row = (this.#slots[slot] as number) - 1
      if (row < 0) return NONE
      if (ids[row] === id && groups[row] === group) return row
      slot = (slot + 1) & this.#mask
    }
  }

  /** The row's key must not be in the index. */
  insert(row: number): void {
    if ((this.#count + 1) * 4 > this.#slots.length * 3) this.#grow()
    this.#put(row)
    this.#count++
  }

  remove(row: number): void {
    let slot = this.#home(row)
    while (this.#slots[slot] !== row + 1) {
      assert(this.#slots[slot] !== 0, 'row is not in the index')
      slot = (slot + 1) & this.#mask
    }
    this.#count--
    this.#closeGap(slot)
  }

  /** Moves each follower into the gap that its own probe would have passed. */
  #closeGap(gap: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let slot = gap
    for (;;) {
      slot = (slot + 1) & mask
      const entry = slots[slot] as number
      if (entry === 0) break
      const home = this.#home(entry - 1)
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        slots[gap] = entry
        gap = slot
      }
    }
    slots[gap] = 0
  }

  #home(row: number): number {
    return hash(this.#keys.id[row] as number, this.#keys.group[row] as number) & this.#mask
  }

  #put(row: number): void {
    let slot = this.#home(row)
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask
    this.#slots[slot] = row + 1
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    this.#mask = this.#slots.length - 1
    for (const entry of old) if (entry !== 0) this.#put(entry - 1)
  }
}

/** Ids are sequences of a few shards: the multiplications spread neighbours over the table. */
function hash(id: number, group: number): number {
  let h = (id >>> 0) ^ Math.imul(Math.floor(id / 0x1_0000_0000), 0x85ebca6b) ^ Math.imul(group, 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return (h ^ (h >>> 16)) >>> 0
}
