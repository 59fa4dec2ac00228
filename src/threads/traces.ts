// Live dialogues for `rohrpost trace in`: who asked, and which connections match. Net threads.
//
// A session is traced from the moment its client's address, or a line of its dialogue, matches. Lines are told whole:
// a piece of one waits here for its end, so that an AUTH line is blanked however it was cut. Bodies are only counted.

import { utf8 } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import type { Answer } from './thread.ts'

const LINE_CHARS_MAX = 1000
const SECRET = '(secret)'
/** AUTH with an initial response (RFC 4954 §4): the mechanism is told, the rest is not. */
const AUTH_LINE = /^(AUTH\s+\S+)\s.*/is

type Direction = 'in' | 'out'

interface Subscription {
  readonly match: string
  readonly answer: Answer
  /** Connections whose dialogue has matched. */
  readonly matched: Set<number>
}

export class Traces {
  readonly #clock: Clock
  readonly #subscriptions = new Set<Subscription>()
  /** Input that waits for its line end, by connection. */
  readonly #partial = new Map<number, string>()

  constructor(clock: Clock) {
    this.#clock = clock
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
      if (!this.active) this.#partial.clear()
      answer.end()
    })
  }

  /** One piece of a dialogue; of a `secret` nothing is told, of a `body` only its size. */
  piece(connection: number, client: string, direction: Direction, bytes: Buffer, what: 'text' | 'secret' | 'body'): void {
    if (what === 'secret') return this.#tell(connection, client, direction, SECRET)
    if (what === 'body') return this.#tell(connection, client, direction, `(${bytes.length} bytes)`)
    const text = utf8(bytes, 0, bytes.length)
    if (direction === 'out') {
      for (const line of text.split('\r\n')) if (line !== '') this.#tell(connection, client, direction, line)
      return
    }
    const lines = ((this.#partial.get(connection) ?? '') + text).split('\n')
    this.#partial.set(connection, (lines.pop() as string).slice(0, LINE_CHARS_MAX))
    for (const line of lines) this.#tell(connection, client, direction, line.replace(/\r$/, '').replace(AUTH_LINE, `$1 ${SECRET}`))
  }

  closed(connection: number): void {
    this.#partial.delete(connection)
    for (const subscription of this.#subscriptions) subscription.matched.delete(connection)
  }

  #tell(connection: number, client: string, direction: Direction, line: string): void {
    const text = line.slice(0, LINE_CHARS_MAX)
    for (const subscription of this.#subscriptions) {
      if (!matches(subscription, connection, client, text)) continue
      subscription.answer.row({ time: new Date(this.#clock.now()).toISOString(), connection, client, direction, text })
    }
  }
}

function matches(subscription: Subscription, connection: number, client: string, text: string): boolean {
  const { match, matched } = subscription
  if (match === '' || matched.has(connection)) return true
  if (client !== match && !text.toLowerCase().includes(match)) return false
  matched.add(connection)
  return true
}
