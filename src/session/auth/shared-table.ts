// A table of counters in memory that all threads share: who may do how much, seen by every net thread at once.
//
// Open addressing over 64-bit words with atomic operations; no locks, so that a thread that dies in the middle leaves
// nothing held. A slot is a key (a keyed hash of the text, never 0) and words that the caller gives meaning to. A slot
// is never emptied, only taken over: by then its words were worth the least. Two threads that take over one slot in the
// same instant may give a newcomer a few counts of the old; limits bear that.

import { randomBytes } from 'node:crypto'
import { base64ToText } from '../../wire/sasl/base64.ts'
import { keyedHash64 } from './keyed-hash.ts'

/** What travels to other threads: `workerData` and messages carry it as it is. */
export interface SharedTableMemory {
  readonly buffer: SharedArrayBuffer
  /** Words of a slot behind its key. */
  readonly words: number
  readonly slots: number
}

const WORD_BYTES = 8
/** Words at the start that hold the key of the hash. */
const HASH_KEY_WORDS = 4
/** Slots looked at for one key. */
const PROBES = 16

/** Zeroed memory; pages that no slot uses cost nothing. */
export function makeSharedTable(slots: number, words: number): SharedTableMemory {
  const buffer = new SharedArrayBuffer((HASH_KEY_WORDS + slots * (words + 1)) * WORD_BYTES)
  new Uint8Array(buffer, 0, HASH_KEY_WORDS * WORD_BYTES).set(randomBytes(HASH_KEY_WORDS * WORD_BYTES))
  return { buffer, words, slots }
}

export class SharedTable {
  readonly #memory: SharedTableMemory
  readonly #all: BigInt64Array
  readonly #secret: string

  constructor(memory: SharedTableMemory) {
    this.#memory = memory
    this.#all = new BigInt64Array(memory.buffer)
    this.#secret = base64ToText(Buffer.from(new Uint8Array(memory.buffer.slice(0, HASH_KEY_WORDS * WORD_BYTES))))
  }

  /** The key of a text. Keyed, so that nobody outside can choose texts that share a slot. */
  keyOf(text: string): bigint {
    return keyedHash64(this.#secret, text)
  }

  /** Slot of a key, or -1. */
  find(key: bigint): number {
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = this.#slotOf(key, probe)
      const held = Atomics.load(this.#all, this.#keyAt(slot))
      if (held === key) return slot
      if (held === 0n) return -1
    }
    return -1
  }

  /** Slot of a key, taken from the one of least `worth` when there is none; -1 when all are worth Infinity. */
  claim(key: bigint, worth: (slot: number) => number): number {
    let least = Infinity
    let leastAt = -1
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = this.#slotOf(key, probe)
      const held = Atomics.compareExchange(this.#all, this.#keyAt(slot), 0n, key)
      if (held === 0n || held === key) return slot
      const value = worth(slot)
      if (value < least) {
        least = value
        leastAt = slot
      }
    }
    if (leastAt >= 0) this.#takeOver(leastAt, key)
    return leastAt
  }

  load(slot: number, word: number): bigint {
    return Atomics.load(this.#all, this.#keyAt(slot) + 1 + word)
  }

  /** Replaces a word by what `change` makes of it. `change` may be called more than once. */
  update(slot: number, word: number, change: (value: bigint) => bigint): void {
    for (;;) {
      const old = this.load(slot, word)
      const next = change(old)
      if (next === old || this.replace(slot, word, old, next)) return
    }
  }

  /** Replaces a word that is still `old`; false when another thread was faster. */
  replace(slot: number, word: number, old: bigint, next: bigint): boolean {
    return Atomics.compareExchange(this.#all, this.#keyAt(slot) + 1 + word, old, next) === old
  }

  #takeOver(slot: number, key: bigint): void {
    const at = this.#keyAt(slot)
    Atomics.store(this.#all, at, key)
    for (let word = 1; word <= this.#memory.words; word++) Atomics.store(this.#all, at + word, 0n)
  }

  #slotOf(key: bigint, probe: number): number {
    // The low 53 bits choose where to begin; the rest tells keys apart.
    return (Number(BigInt.asUintN(53, key)) + probe) % this.#memory.slots
  }

  #keyAt(slot: number): number {
    return HASH_KEY_WORDS + slot * (this.#memory.words + 1)
  }
}
