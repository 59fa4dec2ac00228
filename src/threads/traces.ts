// Live dialogues for `rohrpost trace in`: who asked, and which connections match. Net threads.
//
// A session is traced from the moment its client's address, or a line of its dialogue, matches; secrets are blanked and
// message bodies only counted.

import type { Clock } from '../lib/clock.ts'
import { utf8 } from '../lib/bytes.ts'
import type { Answer } from './thread.ts'

const LINE_BYTES_MAX = 1000
const BLANKED = '(secret)'

interface Subscription {
  readonly match: string
  readonly answer: Answer
  /** Connections whose dialogue has matched. */
  readonly matched: Set<number>
}

export class Traces {
  readonly #clock: Clock
  readonly #subscriptions = new Set<Subscription>()

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
      answer.end()
    })
  }

  /** One piece of a dialogue. `body`: message content, of which only the size is told. */
  piece(connection: number, client: string, direction: 'in' | 'out', bytes: Buffer, what: 'text' | 'secret' | 'body'): void {
    const text = what === 'text' ? utf8(bytes, 0, Math.min(bytes.length, LINE_BYTES_MAX)) : what === 'secret' ? BLANKED : `(${bytes.length} bytes)`
    for (const subscription of this.#subscriptions) {
      if (!this.#wants(subscription, connection, client, text)) continue
      const time = new Date(this.#clock.now()).toISOString()
      for (const line of text.split('\r\n')) if (line !== '') subscription.answer.row({ time, connection, client, direction, text: line })
    }
  }

  closed(connection: number): void {
    for (const subscription of this.#subscriptions) subscription.matched.delete(connection)
  }

  #wants(subscription: Subscription, connection: number, client: string, text: string): boolean {
    if (subscription.match === '' || subscription.matched.has(connection)) return true
    if (client !== subscription.match && !text.toLowerCase().includes(subscription.match)) return false
    subscription.matched.add(connection)
    return true
  }
}
