// Byte slices and the few places where bytes become copies or text. No thread; pure.
//
// Parsers return slices of the buffer they were given, valid until the next `ingest`. Whatever is kept
// longer goes through `own()`: one word to grep for every copy.

/** A range of `buf` from `start` (inclusive) to `end` (exclusive). Valid until the next `ingest`. */
export interface Slice {
  readonly buf: Buffer
  readonly start: number
  readonly end: number
}

export const EMPTY: Buffer = Buffer.alloc(0)

/** Copies a range into memory of its own. Small copies come from Node's pool, so freeing follows the slab. */
export function own(buf: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  buf.copy(copy, 0, start, end)
  return copy
}

/** Methods that every Buffer has and @types/node does not list; they spare `toString` its search for the encoding. */
interface SliceMethods {
  latin1Slice(start: number, end: number): string
  utf8Slice(start: number, end: number): string
}

/** Text of a range, one character a byte. For protocol words, which are ASCII. */
export function latin1(buf: Buffer, start: number, end: number): string {
  return (buf as Buffer & SliceMethods).latin1Slice(start, end)
}

/** Text of a range as UTF-8; invalid sequences become U+FFFD. For addresses and what people read. */
export function utf8(buf: Buffer, start: number, end: number): string {
  return (buf as Buffer & SliceMethods).utf8Slice(start, end)
}

/** Whether a range spells `word`, ignoring ASCII case. `word` must be upper case. */
export function isWord(buf: Buffer, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false
  for (let i = 0; i < word.length; i++) {
    let c = buf[start + i] as number
    if (c >= 0x61 && c <= 0x7a) c -= 0x20
    if (c !== word.charCodeAt(i)) return false
  }
  return true
}

/** Value of a run of ASCII digits, or -1 when the range is empty, holds anything else or exceeds 2^53. */
export function decimal(buf: Buffer, start: number, end: number): number {
  if (start >= end || end - start > 16) return -1
  let n = 0
  for (let i = start; i < end; i++) {
    const c = buf[i] as number
    if (c < 0x30 || c > 0x39) return -1
    n = n * 10 + (c - 0x30)
  }
  return n <= Number.MAX_SAFE_INTEGER ? n : -1
}

/** Whether any byte of the range has its eighth bit set. */
export function hasEightBit(buf: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((buf[i] as number) >= 0x80) return true
  return false
}
