// SMTP, submission and LMTP connections of a net thread: joins a socket, a session, the spool and authentication.

import type { Socket } from 'node:net'
import type { Config, ListenerConfig } from '../config/schema.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { ThreadMetrics } from '../lib/metrics.ts'
import { Connection, type ConnectionEvents, type ConnectionOptions, type TlsInfo } from '../net/connection.ts'
import type { Endpoints } from '../net/front.ts'
import type { ServerTls } from '../net/tls.ts'
import type { RelayDecision, RelayPolicy } from '../policy/relay.ts'
import type { Authenticator } from '../session/auth/authenticator.ts'
import { authTls } from '../session/auth/binding.ts'
import type { AuthContext, AuthExchange, AuthTls } from '../session/auth/ports.ts'
import type { SmtpSessionConfig } from '../session/smtp/config.ts'
import type { Intake, RecipientFacts, SenderDecision, SmtpEvent, SmtpHost, SpoolError } from '../session/smtp/ports.ts'
import { SmtpSession } from '../session/smtp/session.ts'
import type { SpoolOwner } from '../spool/owner.ts'
import { RefusalBudget } from '../policy/refusal-budget.ts'
import { Enhanced, ReplyCode } from '../wire/smtp/codes.ts'
import { cidrs, relayPolicy } from './net-settings.ts'
import type { Traces } from './traces.ts'

export interface SmtpServiceOptions {
  readonly config: () => Config
  readonly owner: SpoolOwner
  readonly authenticator: Authenticator
  readonly tls: ServerTls | undefined
  readonly traces: Traces
  readonly metrics: ThreadMetrics
  readonly log: Log
  readonly clock: Clock
  /** All connections of the thread; this service adds and removes its own. */
  readonly connections: Set<Connection>
}

/** To wait would not help. */
const ACCOUNT_GONE = {
  kind: 'refuse',
  rule: 'account-gone',
  reply: { code: ReplyCode.mailboxUnavailable, enhanced: Enhanced.refused, text: 'your account has been removed or disabled' },
} as const

/** One connection as its session sees it. */
class SmtpConnection extends Connection implements SmtpHost {
  readonly id: number
  readonly client: string
  readonly #service: SmtpService
  readonly #release: () => void
  #session: SmtpSession | undefined
  #exchange: AuthExchange | undefined

  constructor(
    service: SmtpService,
    id: number,
    socket: Socket,
    endpoints: Endpoints,
    release: () => void,
    options: ConnectionOptions,
    events: ConnectionEvents,
  ) {
    super(socket, options, events)
    this.#service = service
    this.id = id
    this.client = endpoints.client
    this.#release = release
  }

  serve(session: SmtpSession, implicitTls: boolean): void {
    this.#session = session
    this.start(session, implicitTls)
  }

  openMessage(): Intake {
    return this.#service.owner.openMessage()
  }

  admission(): SpoolError | undefined {
    return this.#service.admission()
  }

  askRecipient(): void {
    throw new Error('the relay policy never asks')
  }

  auth(ticket: number, mechanism: string, response: Buffer | undefined): void {
    const session = this.#session as SmtpSession
    this.#exchange ??= this.#service.beginAuth(mechanism, session, this.tls)
    this.#exchange.respond(response, (step) => {
      if (step.kind !== 'challenge') this.#exchange = undefined
      session.onAuth(ticket, step, this.clock.now())
      this.settle()
    })
  }

  abandonAuth(): void {
    this.#exchange?.abandon()
    this.#exchange = undefined
  }

  observe(event: SmtpEvent): void {
    this.#service.observe(event, this.#session?.client ?? this.client, this.id)
  }

  released(): void {
    this.abandonAuth()
    this.#release()
  }
}

export class SmtpService {
  readonly owner: SpoolOwner
  /** Called after each connection that has ended. */
  onClosed: () => void = () => undefined
  readonly #options: SmtpServiceOptions
  #connectionOptions: ConnectionOptions
  readonly #events: ConnectionEvents
  #sessionConfigs = new Map<string, SmtpSessionConfig>()
  #nextId = 1
  #refusal: SpoolError | undefined
  readonly #budget = new RefusalBudget()
  readonly #tlsByInfo = new WeakMap<TlsInfo, AuthTls>()

  constructor(options: SmtpServiceOptions) {
    this.#options = options
    this.owner = options.owner
    this.#connectionOptions = connectionOptions(options)
    this.#events = {
      closed: (connection) => this.#closed(connection as SmtpConnection),
      trace: (connection, direction, bytes, what) => {
        const { traces } = options
        if (!traces.active) return
        const { id, client } = connection as SmtpConnection
        traces.piece(id, client, direction, bytes, what)
      },
    }
  }

  /** New connections see the new configuration; those that exist keep theirs. */
  reload(): void {
    this.#sessionConfigs = new Map()
    this.#connectionOptions = connectionOptions(this.#options)
  }

  serve(listener: ListenerConfig, socket: Socket, endpoints: Endpoints, release: () => void): void {
    const { connections, clock } = this.#options
    const connection = new SmtpConnection(this, this.#nextId++, socket, endpoints, release, this.#connectionOptions, this.#events)
    connections.add(connection)
    const { client: address, clientPort: port, clientUnknown: unknown, local: localAddress, localPort } = endpoints
    const facts = { address, port, unknown, localAddress, localPort }
    const session = new SmtpSession(this.#sessionConfig(listener), facts, connection, clock.now())
    connection.serve(session, listener.tls === 'implicit')
  }

  /** Why nothing can be taken now: the disk is full or does not work. */
  admission(): SpoolError | undefined {
    return this.#refusal
  }

  /** Looks at the disk. */
  second(): void {
    const { full, failing } = this.owner.stress()
    if (full) this.#refusal = { kind: 'full', cause: 'free disk space is below limits.minFreeBytes' }
    else if (failing) this.#refusal = { kind: 'stress', cause: 'the last commit failed' }
    else this.#refusal = undefined
  }

  beginAuth(mechanism: string, { client, clientUnknown }: SmtpSession, info: TlsInfo | undefined): AuthExchange {
    const tls = this.#authTls(info)
    const context: AuthContext = { client, clientUnknown, successData: false, ...(tls && { tls }) }
    return this.#options.authenticator.begin(mechanism, context)
  }

  #authTls(info: TlsInfo | undefined): AuthTls | undefined {
    if (!info) return undefined
    let tls = this.#tlsByInfo.get(info)
    if (!tls) this.#tlsByInfo.set(info, (tls = authTls(info.socket)))
    return tls
  }

  observe(event: SmtpEvent, client: string, connection: number): void {
    switch (event.kind) {
      case 'accepted':
        this.#options.metrics.add('rohrpost_bytes_accepted_total', event.bytes)
        this.#options.metrics.acceptLatency((this.#options.clock.now() - event.receivedAt) * 1000)
        break
      case 'refused':
        this.#recordRefusal(event, client)
        break
      case 'authenticated':
        this.#options.log.debug({ client, mechanism: event.mechanism, account: event.account }, 'authenticated')
        this.#options.traces.line(connection, client, 'note', `authenticated as ${event.account} by ${event.mechanism}`)
        break
      case 'closed':
        this.#options.log.debug({ client, reason: event.reason }, 'session ended')
        break
    }
  }

  #recordRefusal(event: Extract<SmtpEvent, { kind: 'refused' }>, client: string): void {
    const now = this.#options.clock.now()
    this.#options.metrics.add('rohrpost_refused_total')
    if (!this.#budget.take(client, now)) return
    const { code, enhanced, text } = event.reply
    this.owner.record({
      type: 'rejection',
      time: now,
      id: 0,
      recipient: event.recipient,
      tenant: '',
      source: client,
      site: event.rule,
      code,
      enhanced,
      reply: text,
      attempt: 0,
    })
  }

  #sessionConfig(listener: ListenerConfig): SmtpSessionConfig {
    let made = this.#sessionConfigs.get(listener.name)
    if (!made) {
      made = this.#makeSessionConfig(listener)
      this.#sessionConfigs.set(listener.name, made)
    }
    return made
  }

  #makeSessionConfig(listener: ListenerConfig): SmtpSessionConfig {
    const config = this.#options.config()
    const { authenticator } = this.#options
    const policy = relayPolicy(config)
    const hasAuth = listener.protocol !== 'lmtp'
    const startTls = listener.tls === 'starttls' && this.#options.tls !== undefined
    const xclient = cidrs(config.xclientFrom)
    return {
      kind: listener.protocol,
      hostname: config.hostname,
      banner: config.smtp.banner,
      startTls,
      tlsRequired: false,
      authRequired: listener.protocol === 'submission',
      // A session hands back the facts that its connection gave it.
      mechanisms: (tls) => (hasAuth ? authenticator.mechanisms(this.#authTls(tls as TlsInfo | undefined)) : []),
      tlsMechanisms: hasAuth && startTls ? authenticator.tlsMechanisms() : [],
      extensions: {
        chunking: true,
        binaryMime: true,
        smtpUtf8: true,
        dsn: true,
        mtPriority: true,
        deliverBySeconds: Math.ceil(config.limits.deliverByMsMin / 1000),
        futureReleaseSeconds: Math.floor(config.limits.futureReleaseMsMax / 1000),
      },
      bareLf: config.smtp.bareLf,
      limits: config.limits,
      mayRelay: (address) => policy.mayRelay(address),
      mayXclient: (address) => xclient.hasText(address),
      mayUse: (account, address) => authenticator.mayUse(account, address),
      tenantOf: (account) => (config.tenantFrom === 'listener' ? listener.name : account),
      decideSender: ({ account }) => this.#decideSender(account),
      decideRecipient: (facts) => this.#decideRecipient(policy, facts),
    }
  }

  #decideSender(account: string): SenderDecision {
    if (account === '' || this.#options.authenticator.takeMessage(account)) return { kind: 'accept' }
    return this.#quotaRefusal(account, 'message')
  }

  #decideRecipient(policy: RelayPolicy, facts: RecipientFacts): RelayDecision {
    const decision = policy.decide(facts)
    if (decision.kind !== 'accept' || facts.account === '' || this.#options.authenticator.takeRecipient(facts.account)) return decision
    return this.#quotaRefusal(facts.account, 'recipient')
  }

  #quotaRefusal(account: string, what: 'message' | 'recipient'): Extract<RelayDecision, { kind: 'refuse' }> {
    if (this.#options.authenticator.isGone(account)) return ACCOUNT_GONE
    const text = `${what === 'message' ? 'Message' : 'Recipient'} quota of this hour is used up`
    return { kind: 'refuse', rule: 'account-quota', reply: { code: ReplyCode.localError, enhanced: Enhanced.temporaryRefusal, text } }
  }

  #closed(connection: SmtpConnection): void {
    this.#options.connections.delete(connection)
    this.#options.traces.closed(connection.id)
    connection.released()
    this.onClosed()
  }
}

function connectionOptions({ config, clock, tls }: SmtpServiceOptions): ConnectionOptions {
  const { replyBacklogBytes, tlsHandshakeTimeoutMs } = config().limits
  return { clock, tls, outputHighWaterBytes: replyBacklogBytes, tlsHandshakeMsMax: tlsHandshakeTimeoutMs }
}
