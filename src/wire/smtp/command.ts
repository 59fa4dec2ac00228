// A command line: the verb and the range of its argument (RFC 5321 §4.1.1). Pure.
//
// A verb is its first four bytes as one number, upper-cased by clearing bit 5; longer verbs are compared to the end.

import { EMPTY, isWord } from '../../lib/bytes.ts'
import type { Slice } from '../../lib/bytes.ts'

const CR = 0x0d
const SP = 0x20
const TAB = 0x09
const COLON = 0x3a

/** Verbs by number, four letters in ASCII; `none` is every other line. */
export const Verb = {
  none: 0,
  helo: 0x48454c4f,
  ehlo: 0x45484c4f,
  /** RFC 2033 §4.1. */
  lhlo: 0x4c484c4f,
  mail: 0x4d41494c,
  rcpt: 0x52435054,
  data: 0x44415441,
  /** RFC 3030 §2. */
  bdat: 0x42444154,
  rset: 0x52534554,
  noop: 0x4e4f4f50,
  quit: 0x51554954,
  vrfy: 0x56524659,
  expn: 0x4558504e,
  help: 0x48454c50,
  /** RFC 3207 §4. */
  starttls: 0x53544152,
  /** RFC 4954 §4. */
  auth: 0x41555448,
  xclient: 0x58434c49,
  /** Not SMTP: browsers and proxies that were sent here to talk to us in somebody's name. */
  get: 0x47455420,
  post: 0x504f5354,
  connect: 0x434f4e4e,
} as const

/** What verbs of more than four letters go on with. */
const TAILS = new Map<number, string>([
  [Verb.starttls, 'TTLS'],
  [Verb.xclient, 'ENT'],
  [Verb.connect, 'ECT'],
])

/** One command line, made once and filled by `read`; the slices hold until the line's buffer changes. */
export class CommandLine implements Slice {
  buf: Buffer = EMPTY
  /** First byte of the argument. */
  start = 0
  /** Behind the last byte of the argument, trailing white space left out (RFC 5321 §4.1.1). */
  end = 0
  verb: number = Verb.none

  get hasArgument(): boolean {
    return this.start < this.end
  }

  /** Lets go of the line's memory. */
  release(): void {
    this.buf = EMPTY
  }

  /** Takes a line without its LF; a CR at the end is no part of it. */
  read(buf: Buffer, start: number, lineEnd: number): void {
    let end = lineEnd
    if (end > start && buf[end - 1] === CR) end--
    while (end > start && isSpace(buf[end - 1] as number)) end--
    this.buf = buf
    this.end = end
    this.start = end
    this.verb = verbAt(buf, start, end)
    if (this.verb === Verb.none) return
    let at = start + 4 + (TAILS.get(this.verb)?.length ?? 0)
    while (at < end && isSpace(buf[at] as number)) at++
    this.start = at
  }
}

function verbAt(buf: Buffer, start: number, end: number): number {
  if (end - start < 4) return Verb.none
  const b = buf
  const raw = ((b[start] as number) << 24) | ((b[start + 1] as number) << 16) | ((b[start + 2] as number) << 8) | (b[start + 3] as number)
  // Clearing bit 5 makes letters upper case and SP a NUL: `GET ` is compared as it was written.
  const verb = (raw & 0xff) === SP ? raw & 0xdfdfdfff : raw & 0xdfdfdfdf
  const tail = TAILS.get(verb)
  const behind = start + 4 + (tail?.length ?? 0)
  if (tail && (behind > end || !isWord(buf, start + 4, behind, tail))) return Verb.none
  return behind >= end || verb === Verb.get || isSpace(buf[behind] as number) ? verb : Verb.none
}

/** Whether a line begins like a header field, `Label:`: a browser's request or somebody's message, but no command. */
export function isLabelled(buf: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end && (buf[at] as number) > SP && buf[at] !== COLON) at++
  return at > start && at < end && buf[at] === COLON
}

/** Position of the path in `MAIL FROM:<…` or `RCPT TO:<…`, given the argument, or -1. Spaces around the colon are tolerated. */
export function pathStart(argument: Slice, keyword: 'FROM' | 'TO'): number {
  const { buf, start, end } = argument
  let at = start + keyword.length
  if (at >= end || !isWord(buf, start, at, keyword)) return -1
  while (at < end && buf[at] === SP) at++
  if (buf[at] !== COLON || at >= end) return -1
  at++
  while (at < end && buf[at] === SP) at++
  return at
}

function isSpace(c: number): boolean {
  return c === SP || c === TAB
}
