// One question on its way through the servers: tries, timeouts, the turn to TCP, and the first good answer.
//
// Each server keeps one exchange for the whole question and a retry sends the same bytes on it again, so that an answer
// that comes after its try was given up still counts. A server that failed for good is not asked a second time.

import type { Clock, Timer } from '../lib/clock.ts'
import { encodeQuery, readAnswer } from '../wire/dns/message.ts'
import type { Verdict } from '../wire/dns/message.ts'
import type { FailureReason, RecordType } from '../wire/dns/types.ts'
import type { DnsServer, ResolverSettings } from './resolver-config.ts'
import type { DnsExchange, DnsProtocol, DnsTransport } from './resolver-transport.ts'

export type FinalVerdict<T extends RecordType> = Exclude<Verdict<T>, { kind: 'foreign' | 'truncated' | 'noEdns' }>

export interface QueryPorts {
  readonly clock: Clock
  readonly transport: DnsTransport
  /** An unpredictable number from 0 to 65,535. */
  randomId(): number
  /** What a server's behaviour was, for the order of later questions. */
  noteServer(server: DnsServer, answered: boolean): void
}

/** `answerBytes` is the size of the message that decided, 0 when there was none. */
export type QueryDone<T extends RecordType> = (verdict: FinalVerdict<T>, server: DnsServer | undefined, answerBytes: number) => void

interface Attempt {
  readonly server: DnsServer
  tries: number
  protocol: DnsProtocol
  edns: boolean
  exchange: DnsExchange | undefined
  query: Buffer | undefined
  /** Refused, broken or unreachable: not asked again. */
  failed: boolean
}

export class Query<T extends RecordType> {
  readonly #name: string
  readonly #type: T
  readonly #settings: ResolverSettings
  readonly #ports: QueryPorts
  readonly #done: QueryDone<T>
  readonly #attempts: Attempt[]
  #current: Attempt | undefined
  #failure: { reason: FailureReason; text: string } | undefined
  #tryTimer: Timer | undefined
  #deadline: Timer | undefined
  #finished = false

  constructor(name: string, type: T, servers: readonly DnsServer[], settings: ResolverSettings, ports: QueryPorts, done: QueryDone<T>) {
    this.#name = name
    this.#type = type
    this.#settings = settings
    this.#ports = ports
    this.#done = done
    const protocol = settings.tcpOnly ? 'tcp' : 'udp'
    this.#attempts = servers.map((server) => {
      return { server, tries: 0, protocol, edns: true, exchange: undefined, query: undefined, failed: false }
    })
  }

  start(): void {
    this.#deadline = this.#ports.clock.after(this.#settings.deadlineMs, () => this.#giveUp())
    this.#next()
  }

  /** Turns to the server with the fewest tries, in order, or gives up. */
  #next(): void {
    this.#tryTimer?.cancel()
    let best: Attempt | undefined
    for (const attempt of this.#attempts) {
      if (!attempt.failed && attempt.tries < this.#settings.attempts && attempt.tries < (best?.tries ?? Infinity)) best = attempt
    }
    if (!best) return this.#giveUp()
    best.tries++
    this.#current = best
    this.#ask(best)
  }

  #ask(attempt: Attempt): void {
    this.#tryTimer?.cancel()
    this.#tryTimer = this.#ports.clock.after(this.#settings.timeoutMs, () => this.#timedOut(attempt))
    attempt.query ??= encodeQuery(this.#ports.randomId(), this.#name, this.#type, attempt.edns)
    attempt.exchange ??= this.#ports.transport.open(attempt.server, attempt.protocol, {
      message: (bytes) => this.#received(attempt, bytes),
      failed: (cause) => this.#failed(attempt, 'network', cause, false),
    })
    attempt.exchange.send(attempt.query)
  }

  /** Another question to the same server: new id, new port. */
  #askAnew(attempt: Attempt): void {
    attempt.exchange?.close()
    attempt.exchange = undefined
    attempt.query = undefined
    this.#current = attempt
    this.#ask(attempt)
  }

  #timedOut(attempt: Attempt): void {
    this.#ports.noteServer(attempt.server, false)
    this.#failure ??= { reason: 'timeout', text: `${label(attempt.server)}: no answer within ${this.#settings.timeoutMs} ms` }
    // A TCP connection that went silent is not worth a second try on it.
    if (attempt.protocol === 'tcp') this.#drop(attempt)
    this.#next()
  }

  #received(attempt: Attempt, bytes: Buffer): void {
    if (this.#finished || attempt.failed || !attempt.query) return
    const verdict = readAnswer(bytes, attempt.query, this.#type)
    if (verdict.kind === 'foreign') return
    if (verdict.kind === 'failure') return this.#failed(attempt, verdict.reason, verdict.text, true)
    if (verdict.kind === 'noEdns') {
      attempt.edns = false
      return this.#askAnew(attempt)
    }
    if (verdict.kind === 'truncated') {
      if (attempt.protocol === 'tcp') return this.#failed(attempt, 'malformed', 'truncated over TCP', true)
      attempt.protocol = 'tcp'
      return this.#askAnew(attempt)
    }
    this.#ports.noteServer(attempt.server, true)
    this.#finish(verdict, attempt.server, bytes.length)
  }

  #failed(attempt: Attempt, reason: FailureReason, text: string, answered: boolean): void {
    if (this.#finished || attempt.failed) return
    this.#ports.noteServer(attempt.server, answered)
    // What a server said of the question tells more than that another one was silent.
    if (answered || !this.#failure) this.#failure = { reason, text: `${label(attempt.server)}: ${text}` }
    this.#drop(attempt)
    if (attempt === this.#current) this.#next()
  }

  #drop(attempt: Attempt): void {
    attempt.failed = true
    attempt.exchange?.close()
  }

  #giveUp(): void {
    const failure = this.#failure ?? { reason: 'timeout', text: `no answer within ${this.#settings.deadlineMs} ms` }
    this.#finish({ kind: 'failure', ...failure }, undefined, 0)
  }

  #finish(verdict: FinalVerdict<T>, server: DnsServer | undefined, answerBytes: number): void {
    if (this.#finished) return
    this.#finished = true
    this.#tryTimer?.cancel()
    this.#deadline?.cancel()
    for (const attempt of this.#attempts) attempt.exchange?.close()
    this.#done(verdict, server, answerBytes)
  }
}

function label(server: DnsServer): string {
  return server.address.includes(':') ? `[${server.address}]:${server.port}` : `${server.address}:${server.port}`
}
