// Quoted-printable and base64 as streams of lines (RFC 2045 §6.7, §6.8), for conversions on the way out. Pure.
//
// Both take a part's content line by line, or in fragments of long lines. What ends a line is told with it: CRLF ends a
// text line, a bare LF is content, and the CRLF before a boundary belongs to the boundary (RFC 2046 §5.1.1).

import { base64ToText } from '../wire/sasl/base64.ts'
import type { Output } from './output.ts'

/** What stands behind a line or a fragment of one. */
export type LineEnd = 'crlf' | 'lf' | 'none'

export interface LineEncoder {
  line(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void
  /** The part ends; `atBoundary`: its last CRLF is the boundary's. */
  finish(atBoundary: boolean): void
}

/** RFC 2045 §6.7 rule 5: 76 characters a line, the last one for the soft break. */
const QP_COLUMNS = 75
const HEX = '0123456789ABCDEF'

export class QuotedPrintable implements LineEncoder {
  readonly #out: Output
  #column = 0

  constructor(out: Output) {
    this.#out = out
  }

  line(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    let text = ''
    for (let i = start; i < end; i++) text += this.#fold(quoted(buf[i] as number, i === end - 1))
    if (lineEnd === 'lf') text += this.#fold('=0A')
    if (lineEnd === 'crlf') {
      text += '\r\n'
      this.#column = 0
    }
    this.#out.text(text)
  }

  /** A last line without CRLF stays so: a soft break is no part of the content. */
  finish(): void {
    if (this.#column > 0) this.#out.text('=\r\n')
    this.#column = 0
  }

  #fold(token: string): string {
    if (this.#column + token.length <= QP_COLUMNS) {
      this.#column += token.length
      return token
    }
    this.#column = token.length
    return `=\r\n${token}`
  }
}

/** A line of quoted-printable that has 8-bit characters (one a byte): those quoted too, softly broken where it grows too long. */
export function requoted(line: string): string {
  let text = ''
  let column = 0
  for (const [token] of line.matchAll(/=[0-9A-F]{2}|[^]/gi)) {
    const quotedToken = token >= '\x80' ? quoted(token.charCodeAt(0), false) : token
    if (column + quotedToken.length > QP_COLUMNS) {
      text += '=\r\n'
      column = 0
    }
    text += quotedToken
    column += quotedToken.length
  }
  return text
}

/** Rules 1 to 3: printable characters stand for themselves, blanks only inside a line. */
function quoted(byte: number, last: boolean): string {
  const blank = byte === 0x20 || byte === 0x09
  if (blank ? !last : byte > 0x20 && byte < 0x7f && byte !== 0x3d) return String.fromCharCode(byte)
  return `=${HEX.charAt(byte >> 4)}${HEX.charAt(byte & 15)}`
}

/** 57 bytes make a line of 76 characters. */
const BASE64_LINE_BYTES = 57
const CRLF: Buffer = Buffer.from('\r\n')

export class Base64 implements LineEncoder {
  readonly #out: Output
  readonly #pending: Buffer = Buffer.allocUnsafe(BASE64_LINE_BYTES)
  #length = 0
  #heldCrlf = false
  #empty = true

  constructor(out: Output) {
    this.#out = out
  }

  line(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    if (this.#heldCrlf) this.#push(CRLF, 0, 2)
    this.#push(buf, start, end)
    if (lineEnd === 'lf') this.#push(CRLF, 1, 2)
    this.#heldCrlf = lineEnd === 'crlf'
  }

  finish(atBoundary: boolean): void {
    if (this.#heldCrlf && !atBoundary) this.#push(CRLF, 0, 2)
    this.#heldCrlf = false
    this.#flush()
    // A boundary right behind the header's blank line would take that line for its own.
    if (this.#empty && atBoundary) this.#out.text('\r\n')
  }

  #push(buf: Buffer, start: number, end: number): void {
    let at = start
    while (at < end) {
      const count = Math.min(end - at, BASE64_LINE_BYTES - this.#length)
      buf.copy(this.#pending, this.#length, at, at + count)
      this.#length += count
      at += count
      if (this.#length === BASE64_LINE_BYTES) this.#flush()
    }
  }

  #flush(): void {
    if (this.#length === 0) return
    this.#out.text(`${base64ToText(this.#pending.subarray(0, this.#length))}\r\n`)
    this.#length = 0
    this.#empty = false
  }
}
