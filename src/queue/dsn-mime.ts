// The few pieces of MIME that a notification is made of: parts, 7-bit encodings, folded fields, dates. Pure.

import { hasEightBit } from '../lib/bytes.ts'

const CRLF: Buffer = Buffer.from('\r\n')
const LINE_MAX = 76
/** RFC 5322 §2.1.1: lines should have at most 78 characters; words beyond 900 are cut, so that 998 always holds. */
const FOLD_AT = 78
const WORD_MAX = 900

export type Encoding = '7bit' | '8bit' | 'quoted-printable' | 'base64'

/** A body part: its type, how its bytes are to travel, and the bytes. */
export interface Part {
  readonly type: string
  readonly description: string
  readonly encoding: Encoding
  readonly bytes: Buffer
}

/** Bytes that end with CRLF, as a part must before its boundary. */
export function encodePart({ type, description, encoding, bytes }: Part): Buffer {
  const lines = [`Content-Type: ${type}`, `Content-Description: ${description}`]
  if (encoding !== '7bit') lines.push(`Content-Transfer-Encoding: ${encoding}`)
  const body = encoding === 'quoted-printable' ? quotedPrintable(bytes) : encoding === 'base64' ? base64(bytes) : bytes
  const ending = endsLine(body) ? [] : [CRLF]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body, ...ending])
}

function endsLine(bytes: Buffer): boolean {
  return bytes.length >= 2 && bytes[bytes.length - 2] === 0x0d && bytes[bytes.length - 1] === 0x0a
}

function base64(bytes: Buffer): Buffer {
  const text = bytes.toString('base64')
  const lines: string[] = []
  for (let at = 0; at < text.length; at += LINE_MAX) lines.push(text.slice(at, at + LINE_MAX))
  return Buffer.from(lines.join('\r\n'))
}

/** RFC 2045 §6.7; line ends of the input are CRLF, and stay. */
export function quotedPrintable(bytes: Buffer): Buffer {
  const lines: string[] = []
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf('\r\n', start, 'latin1')
    const end = found < 0 ? bytes.length : found
    quoteLine(bytes, start, end, lines)
    start = found < 0 ? end : end + 2
    if (found >= 0 && start === bytes.length) lines.push('')
  }
  return Buffer.from(lines.join('\r\n'), 'latin1')
}

/** One line as one or several, joined by soft line breaks. */
function quoteLine(bytes: Buffer, start: number, end: number, lines: string[]): void {
  let line = ''
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    const plain = (byte >= 0x21 && byte <= 0x7e && byte !== 0x3d) || ((byte === 0x20 || byte === 0x09) && at + 1 < end)
    const piece = plain ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (line.length + piece.length > LINE_MAX - 1) {
      lines.push(`${line}=`)
      line = ''
    }
    line += piece
  }
  lines.push(line)
}

/** A header or status field, folded between words (RFC 5322 §2.2.3). */
export function field(name: string, value: string): string {
  return `${wrap(`${name}: ${value}`, ' ', FOLD_AT).join('\r\n')}\r\n`
}

/** Text in lines of at most `width` characters where words allow it; every line but the first begins with `indent`. */
export function wrap(text: string, indent: string, width: number): string[] {
  const [first = '', ...words] = text.split(' ').flatMap(pieces)
  const lines: string[] = []
  let line = first
  for (const word of words) {
    // No line of nothing but spaces (RFC 5322 §3.2.2).
    if (word !== '' && line.trim() !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = `${indent}${word}`
    } else line = `${line} ${word}`
  }
  lines.push(line)
  return lines
}

function pieces(word: string): string[] {
  if (word.length <= WORD_MAX) return [word]
  const cut: string[] = []
  for (let at = 0; at < word.length; at += WORD_MAX) cut.push(word.slice(at, at + WORD_MAX))
  return cut
}

/** Text of one line: whatever would end a line or steer a terminal becomes a question mark. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|[\u2028\u2029]/gu, '?')
}

/** `printable` in US-ASCII, for fields that may hold nothing else. */
export function ascii(text: string): string {
  return printable(text).replace(/[^\x20-\x7e]/gu, '?')
}

export function isAscii(text: string): boolean {
  return !/[\u0080-\uffff]/.test(text)
}

export function isSevenBit(bytes: Buffer): boolean {
  return !hasEightBit(bytes, 0, bytes.length)
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** RFC 5322 §3.3 in universal time, with a numeric zone as RFC 3464 §2.2.5 asks for. */
export function mailDate(ms: number): string {
  const date = new Date(ms)
  const two = (n: number): string => String(n).padStart(2, '0')
  const day = `${DAYS[date.getUTCDay()]}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`
  return `${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`
}
