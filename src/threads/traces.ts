// Live dialogues for `rohrpost trace in` and `trace out`: who asked, and which connections match. Net and deliver threads.
//
// A connection is traced when its client's address (its site's name), or a line of its dialogue, matches; a note of whom a
// message belongs to is such a line. The lines before the one that matches are told with it: they are kept meanwhile.
// Input is told in whole lines: a piece of one waits here for its end, so that an AUTH line is blanked however it was cut.
// Bodies are only counted.

import { utf8 } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import type { Answer } from './thread.ts'

const LINE_CHARS_MAX = 1000
/** Lines of one connection that are kept for a later match: a greeting, an answer to EHLO and a few transactions. */
const KEPT_LINES_MAX = 64
/** Connections whose lines are kept; those that spoke first are forgotten first. */
const KEPT_CONNECTIONS_MAX = 500
const SECRET = '(secret)'
/** AUTH with an initial response (RFC 4954 §4): the mechanism is told, the rest is not. */
const AUTH_LINE = /^(AUTH\s+\S+)\s.*/is
const AUTH_VERB = /^AUTH\b/i
/** A line of one word that may be base64 and is no command. */
const AUTH_RESPONSE = /^(?!(?:DATA|RSET|NOOP|QUIT|HELP|STARTTLS)$)[a-z0-9+/]*=*$/i

type Direction = 'in' | 'out'

/** The other side: a client by its address, which matches whole, or a site, of whose name a part is enough. */
type PeerKind = 'client' | 'site'

interface Line {
  /** In the order of all lines of this thread. */
  readonly serial: number
  readonly row: Readonly<Record<string, unknown>>
}

/** What a connection said so far. */
interface Kept {
  readonly lines: Line[]
  /** How many at the front belong to no message; undefined before the first message. */
  opening: number | undefined
}

interface Subscription {
  readonly match: string
  readonly answer: Answer
  /** Connections whose dialogue has matched. */
  readonly matched: Set<number>
  /** Serial of the last line before it began. */
  readonly since: number
  /** Serial of the last line told, by connection. */
  readonly told: Map<number, number>
}

export class Traces {
  readonly #clock: Clock
  readonly #peerKind: PeerKind
  readonly #subscriptions = new Set<Subscription>()
  /** Input that waits for its line end, by connection. */
  readonly #partial = new Map<number, string>()
  readonly #kept = new Map<number, Kept>()
  #serial = 0
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
    const wanted = typeof match === 'string' ? match.toLowerCase() : ''
    const subscription: Subscription = { match: wanted, answer, matched: new Set(), since: this.#serial, told: new Map() }
    this.#subscriptions.add(subscription)
    answer.onCancel(() => {
      this.#subscriptions.delete(subscription)
      if (!this.active) {
        this.#partial.clear()
        this.#afterAuth.clear()
        this.#kept.clear()
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
    this.#kept.delete(connection)
    for (const { matched, told } of this.#subscriptions) {
      matched.delete(connection)
      told.delete(connection)
    }
  }

  /** One whole line, or a note of ours between them. */
  line(connection: number, peer: string, direction: Direction | 'note', line: string): void {
    if (!this.active) return
    const text = line.slice(0, LINE_CHARS_MAX)
    const time = new Date(this.#clock.now()).toISOString()
    const kept = this.#keep(connection, { time, connection, [this.#peerKind]: peer, direction, text })
    for (const subscription of this.#subscriptions) {
      if (this.#matches(subscription, connection, peer, text)) tell(subscription, connection, kept)
    }
  }

  /** Another message begins: whoever looked for the one before has seen it. `text` says whose it is. */
  message(connection: number, peer: string, text: string): void {
    for (const { matched } of this.#subscriptions) matched.delete(connection)
    if (!this.active) return
    const kept = this.#keptOf(connection)
    kept.opening ??= kept.lines.length
    kept.lines.length = kept.opening
    this.line(connection, peer, 'note', text)
  }

  #keep(connection: number, row: Line['row']): readonly Line[] {
    const { lines, opening } = this.#keptOf(connection)
    if (lines.length >= KEPT_LINES_MAX) lines.splice(Math.min(opening ?? 0, KEPT_LINES_MAX - 1), 1)
    lines.push({ serial: ++this.#serial, row })
    return lines
  }

  #keptOf(connection: number): Kept {
    let kept = this.#kept.get(connection)
    if (kept === undefined) {
      if (this.#kept.size >= KEPT_CONNECTIONS_MAX) this.#kept.delete(this.#kept.keys().next().value as number)
      kept = { lines: [], opening: undefined }
      this.#kept.set(connection, kept)
    }
    return kept
  }

  #matches(subscription: Subscription, connection: number, peer: string, text: string): boolean {
    const { match, matched } = subscription
    if (match === '' || matched.has(connection)) return true
    const isPeer = this.#peerKind === 'client' ? peer === match : peer.toLowerCase().includes(match)
    if (!isPeer && !text.toLowerCase().includes(match)) return false
    matched.add(connection)
    return true
  }
}

/** Tells what it was not told yet: one line, or all that came before the first that matched. */
function tell(subscription: Subscription, connection: number, lines: readonly Line[]): void {
  const told = subscription.told.get(connection) ?? subscription.since
  let from = lines.length
  while (from > 0 && (lines[from - 1] as Line).serial > told) from--
  for (; from < lines.length; from++) subscription.answer.row((lines[from] as Line).row)
  subscription.told.set(connection, (lines[lines.length - 1] as Line).serial)
}
