// Routes that end here: discard takes everything, capture writes it into a Maildir. Deliver threads.

import type { Clock } from '../lib/clock.ts'
import type { GrantItem, RowRef } from '../queue/ports.ts'
import { idToText } from '../spool/ids.ts'
import { Backlog } from './backlog.ts'
import type { Begun } from './backlog.ts'
import { NO_CAPABILITIES } from './capabilities.ts'
import type { Capabilities } from './capabilities.ts'
import { Maildir } from './capture.ts'
import type { Line, LineHost } from './line.ts'
import { deferred, delivered } from './outcome.ts'
import type { Verdict } from './outcome.ts'
import type { DeliverSite, Destination, EgressSource, MessageReader } from './ports.ts'

export type LocalDestination = Exclude<Destination, { kind: 'hosts' }>

/** Nothing has to be converted for us. */
const TAKES_ALL: Capabilities = { ...NO_CAPABILITIES, chunking: true, binaryMime: true, eightBitMime: true, smtpUtf8: true }

export class LocalLine implements Line {
  readonly site: string
  readonly deadline: number = Infinity
  readonly #route: LocalDestination
  readonly #host: LineHost
  readonly #reader: MessageReader
  readonly #clock: Clock
  readonly #hello: string
  readonly #backlog: Backlog
  readonly #maildir: Maildir | undefined
  readonly #startedAt: number
  #busy = false
  #messages = 0
  #down = false

  constructor(host: LineHost, site: DeliverSite, route: LocalDestination, source: EgressSource, reader: MessageReader, clock: Clock) {
    this.site = site.key
    this.#route = route
    this.#host = host
    this.#reader = reader
    this.#clock = clock
    this.#hello = source.hello
    this.#startedAt = clock.now()
    this.#maildir = route.kind === 'capture' ? new Maildir(route.dir) : undefined
    const origin = { site: site.key, source: source.name, peer: '', peerDsn: false, peerDeliverBy: false, tls: '' }
    const options = { protocol: 'lmtp', peer: TAKES_ALL, origin, messagesMost: Infinity } as const
    this.#backlog = new Backlog(options, {
      reader,
      pull: (want, onHand) => host.pull(want, onHand),
      settled: (settlement) => host.settled(settlement),
      returned: (item, reason, cause) => host.returned(item, reason, cause),
    })
  }

  start(): void {
    this.#host.up({ peer: '', tls: '', tlsFallback: '', certificateError: '' })
    this.#advance()
  }

  grant(items: readonly GrantItem[]): void {
    this.#backlog.add(items)
    this.#advance()
  }

  close(): void {
    this.#backlog.close()
    this.#advance()
  }

  abort(): void {
    this.#backlog.end(deferred('4.3.2', 'the server stops'), this.#clock.now())
    this.#end()
  }

  onDeadline(): void {
    // There is no peer to wait for.
  }

  follows(route: Destination): boolean {
    return route.kind === this.#route.kind && (route.kind !== 'capture' || this.#route.kind !== 'capture' || route.dir === this.#route.dir)
  }

  expire(now: number): void {
    this.#backlog.expire(now)
  }

  held(into: RowRef[]): void {
    this.#backlog.held(into)
  }

  #advance(): void {
    while (!this.#busy) {
      const begun = this.#backlog.next(this.#clock.now())
      if (!begun) break
      if (this.#maildir) this.#capture(begun, this.#maildir)
      else this.#settle(begun, delivered('discarded'))
    }
    this.#backlog.ask(this.#clock.now())
    if (!this.#busy && this.#backlog.finished) this.#end()
  }

  #capture(begun: Begun, maildir: Maildir): void {
    const { attempt } = begun
    const { id, groups, attempt: number } = attempt.item
    const name = `${Math.floor(this.#clock.now() / 1000)}.${idToText(id)}_${groups[0] ?? 0}_${number}.${this.#hello}`
    this.#busy = true
    const addresses = attempt.addresses()
    const written = maildir.deliver(name, addresses, attempt.message, this.#reader)
    void written
      .then(
        () => delivered('captured'),
        (error: unknown) => deferred('4.3.0', `cannot write to the Maildir: ${error instanceof Error ? error.message : String(error)}`),
      )
      .then((verdict) => this.#captured(begun, verdict))
  }

  #captured(begun: Begun, verdict: Verdict): void {
    this.#busy = false
    if (this.#down) return
    this.#settle(begun, verdict)
    this.#advance()
  }

  #settle({ attempt }: Begun, verdict: Verdict): void {
    attempt.resolveWaiting(() => verdict)
    this.#backlog.settle(attempt, this.#clock.now())
    if (this.#backlog.completed(attempt)) this.#messages++
  }

  #end(): void {
    if (this.#down) return
    this.#down = true
    this.#host.down({
      kind: 'closed',
      stage: 'idle',
      reply: { code: 0, enhanced: '', text: '' },
      peer: '',
      tls: '',
      messages: this.#messages,
      startedAt: this.#startedAt,
      finishedAt: this.#clock.now(),
    })
  }
}
