// The header of a message that streams by: where it ends, and how many hops it tells of. Pure; nothing is copied.
//
// A few numbers are the whole state, so that a header may come in any pieces. What is no field and no continuation
// ends the header as an empty line does.

const CR = 0x0d
const LF = 0x0a
const SP = 0x20
const TAB = 0x09
const COLON = 0x3a
const RECEIVED: Buffer = Buffer.from('received')

const State = {
  lineStart: 0,
  name: 1,
  /** White space between name and colon (RFC 5322 §4.5). */
  nameEnd: 2,
  rest: 3,
  /** CR at the start of a line. */
  emptyLine: 4,
  ended: 5,
} as const
type State = (typeof State)[keyof typeof State]

/** Longest field name (RFC 5322 §2.1.1 limits a line to 998). */
const NAME_OCTETS_MAX = 996

export class HeaderScan {
  #state: State = State.lineStart
  #nameLength = 0
  #matches = true
  #lines = 0
  #received = 0
  #headless = false
  #malformed = false

  start(): void {
    this.#state = State.lineStart
    this.#lines = 0
    this.#received = 0
    this.#headless = false
    this.#malformed = false
  }

  /** Number of Received fields so far (RFC 5321 §6.3). */
  get received(): number {
    return this.#received
  }

  get ended(): boolean {
    return this.#state === State.ended
  }

  /** Whether the first line was seen to be a field, an empty line, or neither. */
  get decided(): boolean {
    return this.#lines > 0 || this.#state >= State.rest
  }

  /** The message begins with a line that is neither a field nor empty: it has no header at all. */
  get headless(): boolean {
    return this.#headless
  }

  /** The header ended in a line that is neither a field nor empty. */
  get malformed(): boolean {
    return this.#malformed
  }

  /** Reads on; returns the position behind the header when it ends in this range, else `end`. */
  feed(buf: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && this.#state !== State.ended) at = this.#step(buf, at, end)
    return at
  }

  #step(buf: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case State.lineStart:
        return this.#lineStart(buf[at] as number, at)
      case State.name:
        return this.#name(buf, at, end)
      case State.nameEnd:
        return this.#nameEnd(buf[at] as number, at)
      case State.rest:
        return this.#rest(buf, at, end)
      default:
        return this.#emptyLine(buf[at] as number, at)
    }
  }

  #lineStart(c: number, at: number): number {
    if (c === CR) {
      this.#state = State.emptyLine
      return at + 1
    }
    if (c === LF) return this.#end(at + 1)
    if (c === SP || c === TAB) {
      // A continuation needs a field before it.
      if (this.#lines === 0) return this.#noField(at)
      this.#state = State.rest
      return at + 1
    }
    this.#state = State.name
    this.#nameLength = 0
    this.#matches = true
    return at
  }

  /** field-name = 1*ftext (RFC 5322 §3.6.8); octets above 127 pass, as RFC 6532 readers are lenient. */
  #name(buf: Buffer, start: number, end: number): number {
    let length = this.#nameLength
    for (let at = start; at < end; at++) {
      const c = buf[at] as number
      if (c === COLON || c === SP || c === TAB) {
        this.#nameLength = length
        if (length === 0) return this.#noField(at)
        this.#state = State.nameEnd
        return at
      }
      if (c < 0x21 || c === 0x7f || length > NAME_OCTETS_MAX) return this.#noField(at)
      if (this.#matches && (c | 0x20) !== RECEIVED[length]) this.#matches = false
      length++
    }
    this.#nameLength = length
    return end
  }

  #nameEnd(c: number, at: number): number {
    if (c === SP || c === TAB) return at + 1
    if (c !== COLON) return this.#noField(at)
    if (this.#matches && this.#nameLength === RECEIVED.length) this.#received++
    this.#state = State.rest
    return at + 1
  }

  #rest(buf: Buffer, at: number, end: number): number {
    const lf = buf.indexOf(LF, at)
    if (lf < 0 || lf >= end) return end
    this.#lines++
    this.#state = State.lineStart
    return lf + 1
  }

  #emptyLine(c: number, at: number): number {
    return c === LF ? this.#end(at + 1) : this.#noField(at)
  }

  #end(at: number): number {
    this.#state = State.ended
    return at
  }

  #noField(at: number): number {
    this.#malformed = true
    if (this.#lines === 0) this.#headless = true
    return this.#end(at)
  }
}

/** A field of a whole header block: name and value without the CRLF at its end. */
export interface HeaderField {
  /** Start of the field. */
  readonly start: number
  readonly nameEnd: number
  readonly valueStart: number
  readonly valueEnd: number
  /** Behind the field's last LF. */
  readonly end: number
}

/** The fields of a header block that lies in one piece; an empty line and what is no field are left out. */
export function headerFields(buf: Buffer, start: number, end: number): HeaderField[] {
  const fields: HeaderField[] = []
  for (let at = start; at < end;) {
    const next = fieldEnd(buf, at, end)
    const colon = buf.indexOf(COLON, at)
    if (colon > at && colon < next) {
      let nameEnd = colon
      while (nameEnd > at && (buf[nameEnd - 1] === SP || buf[nameEnd - 1] === TAB)) nameEnd--
      let valueEnd = next
      while (valueEnd > colon + 1 && (buf[valueEnd - 1] === LF || buf[valueEnd - 1] === CR)) valueEnd--
      fields.push({ start: at, nameEnd, valueStart: colon + 1, valueEnd, end: next })
    }
    at = next
  }
  return fields
}

/** Behind the field at `at`, its continuation lines included (RFC 5322 §2.2.3). */
function fieldEnd(buf: Buffer, at: number, end: number): number {
  let next = at
  do {
    const lf = buf.indexOf(LF, next)
    next = lf < 0 || lf >= end ? end : lf + 1
  } while (next < end && (buf[next] === SP || buf[next] === TAB))
  return next
}
