// Replies (RFC 5321 §4.2): written by servers, read by clients. Pure.
//
// The parser copies nothing while a reply lies whole in one chunk; text is made when somebody asks for it.

import { EMPTY, latin1, own, utf8 } from '../../lib/bytes.ts'

/** A reply as values. `enhanced` is '' where RFC 2034 §4 wants none; `text` may hold several lines, parted by LF. */
export interface Reply {
  readonly code: number
  readonly enhanced: string
  readonly text: string
}

/** RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, code and CRLF included. */
const REPLY_LINE_OCTETS_MAX = 512

/** The reply's bytes. Control characters, which only text from outside can bring along, become `?`; long lines are cut. */
export function encodeReply(reply: Reply): Buffer {
  const lines = reply.text.split('\n')
  const enhanced = reply.enhanced === '' ? '' : `${reply.enhanced} `
  const room = REPLY_LINE_OCTETS_MAX - 6 - enhanced.length
  let text = ''
  for (let i = 0; i < lines.length; i++) {
    text += `${reply.code}${i + 1 < lines.length ? '-' : ' '}${enhanced}${printable(lines[i] as string, room)}\r\n`
  }
  return Buffer.from(text, 'utf8')
}

/** `text` with control characters as `?`, cut to `octets` of UTF-8. */
function printable(text: string, octets: number): string {
  const clean = text.replace(/\p{Cc}/gu, '?')
  if (clean.length * 3 <= octets || Buffer.byteLength(clean) <= octets) return clean
  let end = Math.min(clean.length, octets)
  while (Buffer.byteLength(clean.slice(0, end)) > octets) end--
  // Half a surrogate pair would become a replacement character.
  return clean.slice(0, end).replace(/[\ud800-\udbff]$/, '')
}

export interface ReplyLimits {
  /** Octets of one line with its CRLF. */
  readonly lineBytesMax: number
  readonly linesMax: number
}

/**
 * `more`: the reply is not complete. `reply`: it is, and the parser's getters tell it. `error`: this is no SMTP, `error`
 * says why, and the connection is of no more use.
 */
export type ReplyStatus = 'more' | 'reply' | 'error'

const CR = 0x0d
const LF = 0x0a
const SP = 0x20
const HYPHEN = 0x2d
const DOT = 0x2e
const QUOTED_OCTETS = 60

/** Reads replies from chunks. What the getters tell holds until the next `feed`. */
export class ReplyParser {
  readonly #limits: ReplyLimits
  #status: ReplyStatus = 'more'
  #error = ''
  #code = 0
  #lineCount = 0
  /** Where the reply lies: in the caller's chunk, or in #held when it came in pieces. */
  #buf: Buffer = EMPTY
  #start = 0
  #end = 0
  #held: Buffer = EMPTY
  #heldLength = 0
  /** Position in #held up to which lines were checked. */
  #heldChecked = 0

  constructor(limits: ReplyLimits) {
    this.#limits = limits
  }

  get status(): ReplyStatus {
    return this.#status
  }

  /** Why the status is `error`; quotes what the peer sent. */
  get error(): string {
    return this.#error
  }

  get code(): number {
    return this.#code
  }

  /** Enhanced status of the last line, `2.1.5`, or '' (RFC 2034 §4: the class must be that of the code). */
  get enhanced(): string {
    const last = this.#lastLine()
    return latin1(this.#buf, last + 4, enhancedEnd(this.#buf, last + 4, this.#end, this.#code))
  }

  /** Text of all lines without codes and enhanced codes, joined by a space. */
  text(): string {
    return this.#texts(true).join(' ')
  }

  /** Text of each line behind the basic code: what EHLO answers with. */
  lines(): string[] {
    return this.#texts(false)
  }

  /** Reads up to the end of one reply and returns the position behind it; `status` says what was found. */
  feed(buf: Buffer, start: number, end: number): number {
    if (this.#status === 'error') return end
    if (this.#status === 'reply') this.#begin()
    return this.#heldLength > 0 ? this.#continue(buf, start, end) : this.#whole(buf, start, end)
  }

  #begin(): void {
    this.#status = 'more'
    this.#lineCount = 0
    this.#heldLength = 0
    this.#heldChecked = 0
  }

  /** The common case: nothing of this reply came before. */
  #whole(buf: Buffer, start: number, end: number): number {
    const stop = this.#check(buf, start, start, end)
    if (this.#status === 'more' && start < end) this.#hold(buf, start, end, stop - start)
    return this.#status === 'reply' ? stop : end
  }

  /** A line of a reply whose beginning is held: it moves over as a whole, so that it is checked in one piece. */
  #continue(buf: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && this.#status === 'more') {
      const lf = buf.indexOf(LF, at)
      const stop = lf < 0 || lf >= end ? end : lf + 1
      this.#append(buf, at, stop)
      this.#heldChecked = this.#check(this.#held, 0, this.#heldChecked, this.#heldLength)
      at = stop
    }
    return at
  }

  /** Checks complete lines from `at`; returns the position behind the last one. */
  #check(buf: Buffer, start: number, from: number, end: number): number {
    let at = from
    while (at < end) {
      const lf = buf.indexOf(LF, at)
      if (lf < 0 || lf >= end) break
      if (!this.#line(buf, at, lf)) return lf + 1
      at = lf + 1
      if (this.#status === 'reply') {
        this.#buf = buf
        this.#start = start
        this.#end = lf
        return at
      }
    }
    if (end - at >= this.#limits.lineBytesMax) this.#fail('reply line too long', buf, at, end)
    return at
  }

  /** RFC 5321 §4.2: `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`. Bare LF passes. */
  #line(buf: Buffer, at: number, lf: number): boolean {
    if (lf + 1 - at > this.#limits.lineBytesMax) return this.#fail('reply line too long', buf, at, lf)
    const end = buf[lf - 1] === CR && lf > at ? lf - 1 : lf
    const code = codeAt(buf, at, end)
    const mark = at + 3 < end ? buf[at + 3] : SP
    if (code === 0 || (mark !== SP && mark !== HYPHEN)) return this.#fail('not an SMTP reply', buf, at, end)
    if (this.#lineCount > 0 && code !== this.#code) return this.#fail('reply code changes between lines', buf, at, end)
    this.#code = code
    this.#lineCount++
    if (mark === SP) this.#status = 'reply'
    else if (this.#lineCount >= this.#limits.linesMax) return this.#fail('reply has too many lines', buf, at, end)
    return true
  }

  #fail(why: string, buf: Buffer, start: number, end: number): false {
    const quoted = latin1(buf, start, Math.min(end, start + QUOTED_OCTETS)).replace(/[^ -~]/g, '?')
    this.#status = 'error'
    this.#error = `${why}: ${quoted}`
    return false
  }

  #hold(buf: Buffer, start: number, end: number, checked: number): void {
    this.#held = own(buf, start, end)
    this.#heldLength = end - start
    this.#heldChecked = checked
  }

  #append(buf: Buffer, start: number, end: number): void {
    const length = this.#heldLength + end - start
    if (length > this.#held.length) {
      const larger = Buffer.allocUnsafe(2 * length)
      this.#held.copy(larger, 0, 0, this.#heldLength)
      this.#held = larger
    }
    buf.copy(this.#held, this.#heldLength, start, end)
    this.#heldLength = length
  }

  #lastLine(): number {
    const lf = this.#end > this.#start ? this.#buf.lastIndexOf(LF, this.#end - 1) : -1
    return lf >= this.#start ? lf + 1 : this.#start
  }

  #texts(stripEnhanced: boolean): string[] {
    const texts: string[] = []
    const { buf, end } = { buf: this.#buf, end: this.#end }
    for (let at = this.#start; at < end;) {
      const lf = buf.indexOf(LF, at)
      const stop = lf < 0 || lf > end ? end : lf
      const lineEnd = stop > at && buf[stop - 1] === CR ? stop - 1 : stop
      let from = Math.min(at + 4, lineEnd)
      if (stripEnhanced) from = skipSpaces(buf, enhancedEnd(buf, from, lineEnd, this.#code), lineEnd)
      texts.push(utf8(buf, from, lineEnd))
      at = stop + 1
    }
    return texts
  }
}

/** Reply-code = %x32-35 %x30-35 %x30-39, or 0. */
function codeAt(buf: Buffer, at: number, end: number): number {
  if (end - at < 3) return 0
  const a = (buf[at] as number) - 0x30
  const b = (buf[at + 1] as number) - 0x30
  const c = (buf[at + 2] as number) - 0x30
  return a >= 2 && a <= 5 && b >= 0 && b <= 9 && c >= 0 && c <= 9 ? a * 100 + b * 10 + c : 0
}

/** Position behind `class.subject.detail` at `at`, or `at` when there is none of the code's class (RFC 3463 §2). */
function enhancedEnd(buf: Buffer, at: number, end: number, code: number): number {
  if (at >= end || (buf[at] as number) - 0x30 !== Math.floor(code / 100) || buf[at + 1] !== DOT) return at
  const subject = digitsEnd(buf, at + 2, end)
  if (subject === at + 2 || buf[subject] !== DOT || subject >= end) return at
  const detail = digitsEnd(buf, subject + 1, end)
  if (detail === subject + 1) return at
  const next = buf[detail]
  return detail >= end || next === SP || next === CR || next === LF ? detail : at
}

/** Behind at most three digits. */
function digitsEnd(buf: Buffer, at: number, end: number): number {
  let i = at
  while (i < end && i < at + 3 && (buf[i] as number) >= 0x30 && (buf[i] as number) <= 0x39) i++
  return i
}

function skipSpaces(buf: Buffer, at: number, end: number): number {
  let i = at
  while (i < end && buf[i] === SP) i++
  return i
}
