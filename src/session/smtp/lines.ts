// Command lines out of chunks. A line that lies whole in a chunk is not copied; a piece at a chunk's end is kept. Pure.

import { EMPTY, own } from '../../lib/bytes.ts'

const CR = 0x0d
const LF = 0x0a

/** What a look for a line found. `bareLf`: it ends in LF without CR, which RFC 5321 §2.3.8 does not allow. */
export type LineStatus = 'more' | 'line' | 'tooLong' | 'bareLf'

export class LineReader {
  /** The line without its LF: `buf` from `start` to `end`, valid until the next `read`. */
  buf: Buffer = EMPTY
  start = 0
  end = 0
  /** Position in the chunk behind what `read` used. */
  at = 0
  #held: Buffer = EMPTY
  #heldLength = 0
  /** The rest of a line that was too long is skipped. */
  #skipping = false

  /** Octets of the line with its line end. */
  get length(): number {
    return this.end - this.start + 1
  }

  /** Looks for a line of at most `lineBytesMax` octets with its CRLF. A longer one is told once it has ended. */
  read(buf: Buffer, start: number, end: number, lineBytesMax: number): LineStatus {
    let lf = start
    while (lf < end && buf[lf] !== LF) lf++
    this.at = Math.min(lf + 1, end)
    const length = this.#heldLength + lf - start + 1
    if (lf === end) return this.#keep(buf, start, end, lineBytesMax)
    if (this.#skipping || length > lineBytesMax) return this.#skipped()
    if (this.#heldLength > 0) {
      this.#append(buf, start, lf, lineBytesMax)
      this.#set(this.#held, 0, this.#heldLength)
      this.#heldLength = 0
    } else {
      this.#set(buf, start, lf)
    }
    return this.end > this.start && this.buf[this.end - 1] === CR ? 'line' : 'bareLf'
  }

  /** Forgets the beginning of a line. */
  clear(): void {
    this.#heldLength = 0
    this.#skipping = false
  }

  /** Lets go of memory: an idle session shall not keep the chunk of its last command. */
  release(): void {
    this.buf = EMPTY
    if (this.#heldLength === 0) this.#held = EMPTY
  }

  #keep(buf: Buffer, start: number, end: number, lineBytesMax: number): LineStatus {
    if (this.#skipping) return 'more'
    if (this.#heldLength + end - start >= lineBytesMax) {
      this.#heldLength = 0
      this.#skipping = true
    } else {
      this.#append(buf, start, end, lineBytesMax)
    }
    return 'more'
  }

  #skipped(): LineStatus {
    this.clear()
    return 'tooLong'
  }

  #set(buf: Buffer, start: number, end: number): void {
    this.buf = buf
    this.start = start
    this.end = end
  }

  #append(buf: Buffer, start: number, end: number, lineBytesMax: number): void {
    const length = this.#heldLength + end - start
    if (this.#heldLength === 0) {
      this.#held = own(buf, start, end)
    } else {
      if (length > this.#held.length) this.#grow(Math.min(2 * length, lineBytesMax))
      buf.copy(this.#held, this.#heldLength, start, end)
    }
    this.#heldLength = length
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(length)
    this.#held.copy(larger, 0, 0, this.#heldLength)
    this.#held = larger
  }
}
