// Live dialogues for `rohrpost trace in` and `trace out`: who asked, and which connections match. Net and deliver threads.
//
// A connection is traced when its client's address (its site's name), or a line of its dialogue, matches; a note of whom a
// message belongs to is such a line. With the first line that matches, what was said before it is told, which is kept
// meanwhile: of a client its session, of a delivery no more than the message, since others share the connection.
// Input is told in whole lines: a piece of one waits here for its end, so that an AUTH line is blanked however it was cut.
// Bodies are only counted, and not kept.

import { utf8 } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import type { Answer } from './thread.ts'

const LINE_CHARS_MAX = 1000
/** Last lines of one connection that are kept for a later match: a greeting, an answer to EHLO and a few transactions. */
const KEPT_LINES_MAX = 64
/** Connections whose lines are kept; those that spoke first are forgotten first. */
const KEPT_CONNECTIONS_MAX = 500
const SECRET = '(secret)'
/** AUTH with an initial response (RFC 4954 §4), well-formed or not: the first word behind it is told, the rest is not. */
const AUTH_LINE = /^(\s*AUTH[\s=]+\S+)\s.*/is
const AUTH_VERB = /^\s*AUTH\b/i
/** A line that is a command for sure, and no part of an AUTH exchange. */
const COMMAND = /^(?:EHLO|HELO|LHLO|STARTTLS|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|VRFY|EXPN|HELP|XCLIENT)(?:\s|$)/i

type Direction = 'in' | 'out'

/** The other side: a client by its address, which matches whole, or a site, of whose name a part is enough. */
type PeerKind = 'client' | 'site'

interface Line {
  /** In the order of all lines of this thread. */
  readonly serial: number
  readonly row: Readonly<Record<string, unknown>>
}

interface Subscription {
  readonly match: string
  readonly answer: Answer
  /** Connections whose dialogue has matched. */
  readonly matched: Set<number>
  /** Serial of the last line before it began. */
  readonly since: number
}

export class Traces {
  readonly #clock: Clock
  readonly #peerKind: PeerKind
  readonly #subscriptions = new Set<Subscription>()
  /** Input that waits for its line end, by connection. */
  readonly #partial = new Map<number, string>()
  /** What was said last, by connection. */
  readonly #kept = new Map<number, Line[]>()
  #serial = 0
  /**
   * Connections that were greeted or said a command since they said AUTH. Any other's line that is no command may be a
   * name or a password: it comes though AUTH was refused, and a trace may begin in the middle of an exchange.
   */
  readonly #harmless = new Set<number>()

  constructor(clock: Clock, peerKind: PeerKind) {
    this.#clock = clock
    this.#peerKind = peerKind
  }

  /** Whether anybody looks: checked for each piece of each dialogue. */
  get active(): boolean {
    return this.#subscriptions.size > 0
  }

  add(args: unknown, answer: Answer): void {
    const match = (args as { match?: unknown }).match
    const wanted = typeof match === 'string' ? match.toLowerCase() : ''
    const subscription: Subscription = { match: wanted, answer, matched: new Set(), since: this.#serial }
    this.#subscriptions.add(subscription)
    answer.onCancel(() => {
      this.#subscriptions.delete(subscription)
      if (!this.active) {
        this.#partial.clear()
        this.#harmless.clear()
        this.#kept.clear()
      }
      answer.end()
    })
  }

  /** One piece of a dialogue; of a `secret` nothing is told, of a `body` only its size. */
  piece(connection: number, peer: string, direction: Direction, bytes: Buffer, what: 'text' | 'secret' | 'body'): void {
    if (what === 'secret') return this.line(connection, peer, direction, SECRET)
    if (what === 'body') return this.#tell(this.#lineOf(connection, peer, direction, `(${bytes.length} bytes)`), connection, peer, '')
    const text = utf8(bytes, 0, bytes.length)
    if (direction === 'out') {
      if (text.startsWith('220')) this.#harmless.add(connection)
      for (const line of text.split('\r\n')) if (line !== '') this.line(connection, peer, direction, line)
      return
    }
    const lines = ((this.#partial.get(connection) ?? '') + text).split('\n')
    this.#partial.set(connection, (lines.pop() as string).slice(0, LINE_CHARS_MAX))
    for (const line of lines) this.line(connection, peer, direction, this.#blanked(connection, line.replace(/\r$/, '')))
  }

  closed(connection: number): void {
    this.#partial.delete(connection)
    this.#harmless.delete(connection)
    this.#kept.delete(connection)
    for (const { matched } of this.#subscriptions) matched.delete(connection)
  }

  /** One whole line, or a note of ours between them. */
  line(connection: number, peer: string, direction: Direction | 'note', text: string): void {
    if (!this.active) return
    const line = this.#lineOf(connection, peer, direction, text.slice(0, LINE_CHARS_MAX))
    this.#tell(line, connection, peer, text)
    this.#keep(connection, line)
  }

  /** Another message begins: whoever looked for the one before has seen it. `text` says whose it is. */
  message(connection: number, peer: string, text: string): void {
    for (const { matched } of this.#subscriptions) matched.delete(connection)
    this.#kept.delete(connection)
    this.line(connection, peer, 'note', text)
  }

  #blanked(connection: number, line: string): string {
    if (AUTH_VERB.test(line)) {
      this.#harmless.delete(connection)
      return line.replace(AUTH_LINE, `$1 ${SECRET}`)
    }
    if (COMMAND.test(line)) this.#harmless.add(connection)
    return this.#harmless.has(connection) ? line : SECRET
  }

  #lineOf(connection: number, peer: string, direction: Direction | 'note', text: string): Line {
    const time = new Date(this.#clock.now()).toISOString()
    return { serial: ++this.#serial, row: { time, connection, [this.#peerKind]: peer, direction, text } }
  }

  /** `text` is what may match. */
  #tell(line: Line, connection: number, peer: string, text: string): void {
    for (const subscription of this.#subscriptions) {
      const { match, matched, since, answer } = subscription
      if (!matched.has(connection) && !this.#isPeer(match, peer)) {
        if (!text.toLowerCase().includes(match)) continue
        matched.add(connection)
        for (const before of this.#kept.get(connection) ?? []) if (before.serial > since) answer.row(before.row)
      }
      answer.row(line.row)
    }
  }

  #isPeer(match: string, peer: string): boolean {
    if (match === '') return true
    return this.#peerKind === 'client' ? peer === match : peer.toLowerCase().includes(match)
  }

  #keep(connection: number, line: Line): void {
    let lines = this.#kept.get(connection)
    if (lines === undefined) {
      if (this.#kept.size >= KEPT_CONNECTIONS_MAX) this.#kept.delete(this.#kept.keys().next().value as number)
      this.#kept.set(connection, (lines = []))
    }
    if (lines.length >= KEPT_LINES_MAX) lines.shift()
    lines.push(line)
  }
}
