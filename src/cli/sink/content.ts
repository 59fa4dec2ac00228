// The end of DATA, found fast: looks for CRLF.CRLF over any splits, counts bytes, keeps only the head. Pure.

import { own } from '../../lib/bytes.ts'

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e
const LINE_WITH_DOT: Buffer = Buffer.from('\r\n.')
/** Enough for Received, Subject and Message-ID. */
const HEAD_BYTES_MAX = 64 * 1024

// How much of CRLF.CRLF the bytes before the current one spell.
const TEXT = 0
const SEEN_CR = 1
const LINE_START = 2
const SEEN_DOT = 3
const SEEN_DOT_CR = 4

export class Content {
  readonly #keepsHead: boolean
  #state = LINE_START
  #head: Buffer[] = []
  #headBytes = 0
  /** Size of the message so far, dots unstuffed. */
  bytes = 0

  /** `keepsHead` is false when nobody will ask for it. */
  constructor(keepsHead: boolean) {
    this.#keepsHead = keepsHead
  }

  /** For the next message. The CRLF of the DATA command counts as the first one (RFC 5321 §4.1.1.4). */
  start(): void {
    this.#state = LINE_START
    this.#head = []
    this.#headBytes = 0
    this.bytes = 0
  }

  /** Takes a piece of DATA; returns the position behind the final dot's CRLF, or -1 when it is still to come. */
  data(buf: Buffer, start: number, end: number): number {
    let i = start
    while (i < end) {
      if (this.#state === TEXT) {
        const line = buf.indexOf(LINE_WITH_DOT, i)
        if (line < 0 || line + 2 >= end) {
          this.#trailing(buf, i, end)
          break
        }
        this.#state = SEEN_DOT
        i = line + 3
      } else if (this.#step(buf[i++] as number)) {
        this.#add(buf, start, i)
        this.bytes -= 3
        return i
      }
    }
    this.#add(buf, start, end)
    return -1
  }

  /** Takes a piece of a BDAT chunk. */
  chunk(buf: Buffer, start: number, end: number): void {
    this.#add(buf, start, end)
  }

  /** The first bytes of the message. */
  head(): Buffer {
    return this.#head.length === 1 ? (this.#head[0] as Buffer) : Buffer.concat(this.#head)
  }

  #add(buf: Buffer, start: number, end: number): void {
    this.bytes += end - start
    const room = HEAD_BYTES_MAX - this.#headBytes
    if (!this.#keepsHead || room <= 0) return
    const piece = own(buf, start, Math.min(end, start + room))
    this.#head.push(piece)
    this.#headBytes += piece.length
  }

  /** One byte after a CR or at the start of a line; true at the end of the message. */
  #step(byte: number): boolean {
    if (this.#state === SEEN_DOT_CR && byte === LF) return true
    // A dot that did not end the message was stuffed (RFC 5321 §4.5.2).
    if ((this.#state === SEEN_DOT && byte !== CR) || this.#state === SEEN_DOT_CR) this.bytes--
    if (byte === CR) this.#state = this.#state === SEEN_DOT ? SEEN_DOT_CR : SEEN_CR
    else if (byte === LF && this.#state === SEEN_CR) this.#state = LINE_START
    else if (byte === DOT && this.#state === LINE_START) this.#state = SEEN_DOT
    else this.#state = TEXT
    return false
  }

  /** What the last bytes of a piece without a line that begins with a dot leave behind. */
  #trailing(buf: Buffer, start: number, end: number): void {
    const last = buf[end - 1]
    if (last === CR) this.#state = SEEN_CR
    else if (last === LF && end - start >= 2 && buf[end - 2] === CR) this.#state = LINE_START
  }
}
