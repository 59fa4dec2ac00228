// The content of DATA (RFC 5321 §4.5.2) and of BDAT: line ends checked, dots unstuffed, the end found. Pure.
//
// Invariants:
// - Only CRLF.CRLF ends DATA; the CRLF of the DATA command counts as the first one (RFC 5321 §4.1.1.4).
// - A dot is unstuffed only after CRLF. After a bare LF a dot is content, whatever follows it.
// - What the sink gets holds CRLF line ends only, unless a bare CR was found or line ends are kept; then the flags say so.
// - The state between two chunks is a few numbers; no byte is held back.
//
// The hot loop reads four bytes at a time: text has few bytes below 0x0e, and only those need a look.

/** Takes ranges of decoded content, valid during the call. */
export interface ContentSink {
  content(buf: Buffer, start: number, end: number): void
}

/** What was seen in the decoded content. */
export const DataFlag = {
  /** A line starts with a dot. */
  dots: 1,
  /** A byte above 127. */
  eightBit: 2,
  /** A line over 998 octets without CRLF (RFC 5322 §2.1.1). */
  longLine: 4,
  bareLf: 8,
  bareCr: 16,
  nul: 32,
} as const

/** What becomes of bare LF: made CRLF, left as it is for the caller to refuse, or kept because the content is binary. */
export type LineEnds = 'normalize' | 'refuse' | 'keep'

const State = {
  text: 0,
  /** CR seen. */
  cr: 1,
  /** At the start of a line where a dot is unstuffed: after CRLF in DATA. */
  stuffedLine: 2,
  /** At the start of a line where a dot is content: after a bare LF, and always in BDAT. */
  plainLine: 3,
  /** CRLF and a dot seen. */
  dot: 4,
  /** CRLF, dot and CR seen. */
  dotCr: 5,
  done: 6,
} as const
type State = (typeof State)[keyof typeof State]

const CR = 0x0d
const LF = 0x0a
const DOT = 0x2e
const CRLF: Buffer = Buffer.from('\r\n')
/** 998 octets of text and CRLF. */
const LINE_OCTETS_MAX = 1000

const NO_WORDS: Int32Array = new Int32Array(0)
const NO_SINK: ContentSink = { content: () => undefined }

export class DataDecoder {
  #state: State = State.stuffedLine
  #afterCrlf: State = State.stuffedLine
  #lineEnds: LineEnds = 'normalize'
  #flags = 0
  /** All content bytes or-ed together, for the eighth bit. */
  #bits = 0
  #words: Int32Array = NO_WORDS
  #sink: ContentSink = NO_SINK
  /** Start of the run that the sink has not got yet. */
  #from = 0
  /** Start of the current line, negative when it began in an earlier chunk. */
  #lineAt = 0

  /** For the next message in DATA. */
  startData(lineEnds: LineEnds): void {
    this.#start(lineEnds, State.stuffedLine)
  }

  /** For the next message in BDAT: no dots are stuffed and nothing ends it. */
  startChunks(lineEnds: LineEnds): void {
    this.#start(lineEnds, State.plainLine)
  }

  /** Whether CRLF.CRLF was found. */
  get done(): boolean {
    return this.#state === State.done
  }

  /** DataFlag bits of all content so far. */
  get flags(): number {
    return this.#flags | ((this.#bits & 0x80808080) !== 0 ? DataFlag.eightBit : 0)
  }

  /** Whether the content so far is empty or ends with a line; only BDAT can make one that does not. */
  get atLineStart(): boolean {
    return this.#state === this.#afterCrlf || this.#state === State.plainLine || this.#state === State.done
  }

  /** BDAT LAST: nothing follows, so that a CR at the very end is a bare one. */
  finish(): void {
    if (this.#state === State.cr) this.#flags |= DataFlag.bareCr
    this.#words = NO_WORDS
  }

  /** Decodes up to `end` or the end of the message, and returns the position behind what it used. */
  decode(buf: Buffer, start: number, end: number, sink: ContentSink): number {
    this.#sink = sink
    this.#from = start
    this.#lineAt += start
    // The same memory comes again and again: a view over all of it, made once.
    if (this.#words.buffer !== buf.buffer) this.#words = new Int32Array(buf.buffer, 0, buf.buffer.byteLength >> 2)
    let at = start
    while (at < end && this.#state !== State.done) at = this.#step(buf, at, end)
    this.#emit(buf, at)
    this.#lineAt -= at
    this.#sink = NO_SINK
    // An idle decoder shall not keep the memory of its last chunk.
    if (this.#state === State.done) this.#words = NO_WORDS
    return at
  }

  #start(lineEnds: LineEnds, lineStart: State): void {
    this.#lineEnds = lineEnds
    this.#state = lineStart
    this.#afterCrlf = lineStart
    this.#flags = 0
    this.#bits = 0
    this.#lineAt = 0
  }

  #step(buf: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case State.text:
        return this.#text(buf, at, end)
      case State.cr:
        return this.#afterCr(buf, at)
      case State.stuffedLine:
        return this.#stuffedLine(buf, at)
      case State.plainLine:
        return this.#plainLine(buf, at)
      case State.dot:
        return this.#afterDot(buf, at)
      default:
        return this.#afterDotCr(buf, at)
    }
  }

  /** Text up to the next CR or LF. Whole lines stay in this loop as long as the next one starts with no dot. */
  #text(buf: Buffer, start: number, end: number): number {
    let at = start
    for (;;) {
      at = this.#plain(buf, at, end)
      if (at >= end) return end
      if (buf[at] === LF) return this.#bareLf(buf, at)
      if (at + 2 >= end || buf[at + 1] !== LF) {
        this.#state = State.cr
        return at + 1
      }
      at += 2
      this.#endLine(at)
      if (buf[at] === DOT) {
        this.#state = this.#afterCrlf
        return at
      }
    }
  }

  /** Position of the next CR or LF, or `end`; notes NULs and the eighth bit on the way. */
  #plain(buf: Buffer, start: number, end: number): number {
    const words = this.#words
    const base = buf.byteOffset
    let bits = this.#bits
    let at = start
    while (at < end) {
      if (((at + base) & 3) === 0) {
        // A word holds a byte below 0x0e when subtracting 0x0e from each borrows into a clear top bit.
        let word = (at + base) >> 2
        const last = (end + base) >> 2
        for (; word < last; word++) {
          const w = words[word] as number
          if (((w - 0x0e0e0e0e) & ~w & 0x80808080) !== 0) break
          bits |= w
        }
        at = (word << 2) - base
        if (at >= end) break
      }
      const c = buf[at] as number
      if (c < 0x0e) {
        if (c === CR || c === LF) break
        if (c === 0) this.#flags |= DataFlag.nul
      }
      bits |= c
      at++
    }
    this.#bits = bits
    return at
  }

  #afterCr(buf: Buffer, at: number): number {
    if (buf[at] !== LF) return this.#bareCr(at)
    this.#endLine(at + 1)
    this.#state = this.#afterCrlf
    return at + 1
  }

  #stuffedLine(buf: Buffer, at: number): number {
    if (buf[at] !== DOT) return this.#lineText(at)
    this.#emit(buf, at)
    this.#from = at + 1
    this.#state = State.dot
    return at + 1
  }

  #plainLine(buf: Buffer, at: number): number {
    if (buf[at] === DOT) this.#flags |= DataFlag.dots
    return this.#lineText(at)
  }

  #lineText(at: number): number {
    this.#state = State.text
    return at
  }

  /** The dot is gone from the content whatever follows; a second one is the line's own. */
  #afterDot(buf: Buffer, at: number): number {
    if (buf[at] !== CR) {
      if (buf[at] === DOT) this.#flags |= DataFlag.dots
      return this.#lineText(at)
    }
    this.#from = at + 1
    this.#state = State.dotCr
    return at + 1
  }

  #afterDotCr(buf: Buffer, at: number): number {
    if (buf[at] !== LF) return this.#bareCr(at)
    this.#from = at + 1
    this.#state = State.done
    return at + 1
  }

  /** The byte at `at` follows a CR and is no LF; it is looked at again as text. */
  #bareCr(at: number): number {
    this.#flags |= DataFlag.bareCr
    return this.#lineText(at)
  }

  #bareLf(buf: Buffer, at: number): number {
    this.#flags |= DataFlag.bareLf
    if (this.#lineEnds === 'normalize') {
      this.#emit(buf, at)
      this.#sink.content(CRLF, 0, CRLF.length)
      this.#from = at + 1
    }
    this.#endLine(at + 1)
    this.#state = State.plainLine
    return at + 1
  }

  #endLine(next: number): void {
    if (next - this.#lineAt > LINE_OCTETS_MAX) this.#flags |= DataFlag.longLine
    this.#lineAt = next
  }

  #emit(buf: Buffer, at: number): void {
    if (this.#from < at) this.#sink.content(buf, this.#from, at)
  }
}

const END_AT_LINE_START: Buffer = Buffer.from('.\r\n')
const END_IN_LINE: Buffer = Buffer.from('\r\n.\r\n')
const LINE_AND_DOT: Buffer = Buffer.from('\n.')

/** Content to DATA, for clients: dots stuffed over any chunks, and the end. */
export class DataEncoder {
  #stuff = false
  #lineStart = true
  #last = LF

  /** For the next message. Without `stuff` the content is known to have no dot at a line's start. */
  start(stuff: boolean): void {
    this.#stuff = stuff
    this.#lineStart = true
    this.#last = LF
  }

  /** Hands `sink` the ranges to send. */
  encode(buf: Buffer, start: number, end: number, sink: ContentSink): void {
    if (start >= end) return
    if (this.#stuff) this.#stuffed(buf, start, end, sink)
    else sink.content(buf, start, end)
    // CR counts only before LF, so the byte before the last matters when the chunk has one.
    this.#lineStart = buf[end - 1] === LF && (end - start > 1 ? buf[end - 2] : this.#last) === CR
    this.#last = buf[end - 1] as number
  }

  /** The rest of the message: CRLF where the content did not end in one, and the final dot. */
  end(): Buffer {
    return this.#lineStart ? END_AT_LINE_START : END_IN_LINE
  }

  #stuffed(buf: Buffer, start: number, end: number, sink: ContentSink): void {
    if (this.#last === LF && buf[start] === DOT) sink.content(END_AT_LINE_START, 0, 1)
    // Without the view a search would run on behind `end`, again and again for small ranges of a large buffer.
    const range = end === buf.length ? buf : buf.subarray(0, end)
    let from = start
    for (;;) {
      const lf = range.indexOf(LINE_AND_DOT, from)
      if (lf < 0) break
      sink.content(buf, from, lf + 1)
      sink.content(END_AT_LINE_START, 0, 1)
      from = lf + 1
    }
    sink.content(buf, from, end)
  }
}
