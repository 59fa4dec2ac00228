// Long scans in pieces, so that the event loop gets its turn and no snapshot of the index is held for long.

import type { IndexVisitor, ScanOptions, SpoolIndex } from './disk.ts'
import type { KeyRange } from './keys.ts'

function copyKey(key: Buffer, start: number, length: number): Buffer {
  const copy = Buffer.alloc(length)
  key.copy(copy, 0, start, start + length)
  return copy
}

/** What is left of a range; undefined when it is done. */
export type Rest = KeyRange | undefined

/** Visits at most `max` entries of `range`. The visitor's answer is not looked at. */
export function scanSome(index: SpoolIndex, range: KeyRange, max: number, visit: IndexVisitor, options: ScanOptions = {}): Rest {
  let seen = 0
  let rest: Rest
  let last: Buffer | undefined
  const step: IndexVisitor = (key, start, length, value, valueLength) => {
    if (seen === max) {
      // Upwards the first key that was not visited comes next; downwards the last visited one is the new end.
      rest = options.reverse ? { from: range.from, to: last as Buffer } : { from: copyKey(key, start, length), to: range.to }
      return false
    }
    seen++
    if (options.reverse && seen === max) last = copyKey(key, start, length)
    visit(key, start, length, value, valueLength)
    return true
  }
  index.scan(range.from, range.to, step, options)
  return rest
}
