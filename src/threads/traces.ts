// Live dialogues for `rohrpost trace in` and `trace out`: who asked, and which connections match. Net and deliver threads.
//
// A connection is traced from the moment its client's address (its site's name), or a line of its dialogue, matches; a note
// of whom a message belongs to is such a line. Input is told in whole lines: a piece of one waits here for its end, so
// that an AUTH line is blanked however it was cut. Bodies are only counted.

import { utf8 } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import type { Answer } from './thread.ts'

const LINE_CHARS_MAX = 1000
const SECRET = '(secret)'
/** AUTH with an initial response (RFC 4954 §4): the mechanism is told, the rest is not. */
const AUTH_LINE = /^(AUTH\s+\S+)\s.*/is
const AUTH_VERB = /^AUTH\b/i
/** A line of one word that may be base64 and is no command. */
const AUTH_RESPONSE = /^(?!(?:DATA|RSET|NOOP|QUIT|HELP|STARTTLS)$)[a-z0-9+/]*=*$/i

type Direction = 'in' | 'out'

/** The other side: a client by its address, which matches whole, or a site, of whose name a part is enough. */
type PeerKind = 'client' | 'site'

interface Subscription {
  readonly match: string
  readonly answer: Answer
  /** Connections whose dialogue has matched. */
  readonly matched: Set<number>
}

export class Traces {
  readonly #clock: Clock
  readonly #peerKind: PeerKind
  readonly #subscriptions = new Set<Subscription>()
  /** Input that waits for its line end, by connection. */
  readonly #partial = new Map<number, string>()
  /** Connections that said AUTH and no command since: name and password may come though it was refused. */
  readonly #afterAuth = new Set<number>()

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
    const subscription = { match: typeof match === 'string' ? match.toLowerCase() : '', answer, matched: new Set<number>() }
    this.#subscriptions.add(subscription)
    answer.onCancel(() => {
      this.#subscriptions.delete(subscription)
      if (!this.active) {
        this.#partial.clear()
        this.#afterAuth.clear()
      }
      answer.end()
    })
  }

  /** One piece of a dialogue; of a `secret` nothing is told, of a `body` only its size. */
  piece(connection: number, peer: string, direction: Direction, bytes: Buffer, what: 'text' | 'secret' | 'body'): void {
    if (what === 'secret') return this.line(connection, peer, direction, SECRET)
    if (what === 'body') return this.line(connection, peer, direction, `(${bytes.length} bytes)`)
    const text = utf8(bytes, 0, bytes.length)
    if (direction === 'out') {
      for (const line of text.split('\r\n')) if (line !== '') this.line(connection, peer, direction, line)
      return
    }
    const lines = ((this.#partial.get(connection) ?? '') + text).split('\n')
    this.#partial.set(connection, (lines.pop() as string).slice(0, LINE_CHARS_MAX))
    for (const line of lines) this.line(connection, peer, direction, this.#harmless(connection, line.replace(/\r$/, '')))
  }

  #harmless(connection: number, line: string): string {
    if (this.#afterAuth.has(connection) && AUTH_RESPONSE.test(line)) return SECRET
    if (AUTH_VERB.test(line)) this.#afterAuth.add(connection)
    else this.#afterAuth.delete(connection)
    return line.replace(AUTH_LINE, `$1 ${SECRET}`)
  }

  closed(connection: number): void {
    this.#partial.delete(connection)
    this.#afterAuth.delete(connection)
    for (const subscription of this.#subscriptions) subscription.matched.delete(connection)
  }

  /** One whole line, or a note of ours between them. */
  line(connection: number, peer: string, direction: Direction | 'note', line: string): void {
    const text = line.slice(0, LINE_CHARS_MAX)
    for (const subscription of this.#subscriptions) {
      if (!this.#matches(subscription, connection, peer, text)) continue
      const time = new Date(this.#clock.now()).toISOString()
      subscription.answer.row({ time, connection, [this.#peerKind]: peer, direction, text })
    }
  }

  /** Another message begins: whoever looked for the one before has seen it. `text` says whose it is. */
  message(connection: number, peer: string, text: string): void {
    for (const { matched } of this.#subscriptions) matched.delete(connection)
    this.line(connection, peer, 'note', text)
  }

  #matches(subscription: Subscription, connection: number, peer: string, text: string): boolean {
    const { match, matched } = subscription
    if (match === '' || matched.has(connection)) return true
    const isPeer = this.#peerKind === 'client' ? peer === match : peer.toLowerCase().includes(match)
    if (isPeer) return true
    if (!text.toLowerCase().includes(match)) return false
    matched.add(connection)
    return true
  }
}
