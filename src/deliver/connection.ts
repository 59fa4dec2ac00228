// One outbound connection of the scheduler's: the addresses tried for it, the socket, and the client that speaks over it.
//
// Hosts and their addresses are tried in order until a session is open; only when none is left has the connection failed.
// A failed opportunistic handshake is tried once more on the same address in plain text. Invariant: `down` is said once.

import { isSocketPath } from '../config/target.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import type { ConnectionEnd, GrantItem, ReturnedItem, ReturnReason, RowRef } from '../queue/ports.ts'
import type { Settlement } from '../spool/types.ts'
import type { Reply } from '../wire/smtp/reply.ts'
import { PieceReader } from './body-reader.ts'
import { SmtpClient } from './client.ts'
import type { ClientHost, ClientOptions, SessionEnd, SessionInfo } from './client.ts'
import { IDLE_GRACE_MS } from './limits.ts'
import type { DeliverLimits } from './limits.ts'
import type { Line, LineHost } from './line.ts'
import type { PiecePool } from './piece.ts'
import type { TlsResult } from './opening.ts'
import type { Output } from './output.ts'
import type { Destination, DeliverSite, EgressSource, HostsDestination, MessageReader, StoredMessage, TlsPolicy } from './ports.ts'
import type { Failures } from './recent.ts'
import { hostKey, peerOf, targetsOf } from './targets.ts'
import type { Guard, Reach, Target, TargetList } from './targets.ts'
import type { PeerSocket, SocketEvents, Transport } from './transport.ts'
import type { LineTrace } from './writer.ts'

/** What all connections of a thread share. */
export interface ConnectionContext {
  readonly clock: Clock
  readonly limits: DeliverLimits
  readonly reader: MessageReader
  readonly transport: Transport
  readonly output: Output
  readonly pieces: PiecePool
  /** Failed opportunistic handshakes by `name:port`. */
  readonly tlsFailures: Failures
  readonly reach: Reach
  readonly refuses: Guard
  readonly nonce: () => string
  readonly random: Random
}

/** `connect` and `tls` are ours; afterwards the client knows what it waits for. */
type Phase = 'connect' | 'tls' | 'session' | 'down'

export class Connection implements Line, ClientHost, SocketEvents {
  readonly site: string
  readonly reader: MessageReader
  readonly #context: ConnectionContext
  readonly #host: LineHost
  readonly #route: HostsDestination
  readonly #policy: TlsPolicy
  readonly #limits: DeliverSite['limits']
  readonly #source: EgressSource
  readonly #trace: LineTrace | undefined
  readonly #pieces: PieceReader
  readonly #list: TargetList
  #at = 0
  #triedAt = 0
  #phase: Phase = 'connect'
  #deadline = Infinity
  #socket: PeerSocket | undefined
  #client: SmtpClient | undefined
  #handshaking = false
  /** Why this address is spoken to in plain text although TLS was tried, '' when it is not. */
  #tlsFallback = ''
  #tls = ''
  #closing = false
  #last: SessionEnd | undefined
  readonly #startedAt: number

  constructor(
    context: ConnectionContext,
    host: LineHost,
    site: DeliverSite,
    route: HostsDestination,
    source: EgressSource,
    trace: LineTrace | undefined,
  ) {
    this.site = site.key
    this.reader = context.reader
    this.#context = context
    this.#host = host
    this.#route = route
    this.#policy = strictest(route, site.limits.tlsRequired)
    this.#limits = site.limits
    this.#source = source
    this.#trace = trace
    this.#startedAt = context.clock.now()
    this.#pieces = new PieceReader(context.reader, context.pieces, context.clock, {
      piece: (ticket, piece) => this.#client?.onPiece(ticket, piece, this.#now()),
      failed: (ticket, cause) => this.#client?.onPieceError(ticket, cause, this.#now()),
    })
    this.#list = targetsOf(route, source, context.limits, context.refuses, context.reach, context.random, this.#startedAt)
  }

  // ---- The dispatcher's side ----

  get deadline(): number {
    return this.#phase === 'session' && !this.#handshaking ? (this.#client?.deadline ?? Infinity) : this.#deadline
  }

  start(): void {
    this.#try()
  }

  grant(items: readonly GrantItem[]): void {
    if (this.#phase === 'session' && this.#client) this.#client.grant(items, this.#now())
    else for (const item of items) this.#host.returned(item, 'unused')
  }

  close(): void {
    this.#closing = true
    if (this.#client) this.#client.close(this.#now())
    else this.#down('closed', 'connect', reply('', 'closed before it was open'))
  }

  abort(): void {
    this.#closing = true
    this.#client?.abort('the server stops', this.#now())
    this.#socket?.destroy()
    this.#down('closed', 'connect', reply('', 'the server stops'))
  }

  onDeadline(now: number): void {
    if (this.#phase === 'session' && !this.#handshaking) this.#client?.onTimeout(now)
    else if (this.#phase !== 'down') this.closed('timed out')
  }

  follows(route: Destination): boolean {
    const target = this.#target
    if (route.kind !== 'hosts' || !target || route.protocol !== this.#route.protocol || route.tls !== this.#route.tls) return false
    if (route.auth?.user !== this.#route.auth?.user || route.auth?.password !== this.#route.auth?.password) return false
    const { name, port } = target.host
    return route.hosts.some((host) => host.name === name && host.port === port && host.addresses.includes(target.address))
  }

  expire(now: number): void {
    this.#client?.expire(now)
  }

  held(into: RowRef[]): void {
    this.#client?.held(into)
  }

  // ---- Addresses ----

  /** The one that is tried or used; undefined when none is left. */
  get #target(): Target | undefined {
    return this.#list.targets[this.#at]
  }

  #try(): void {
    const target = this.#target
    if (!target) return this.#exhausted()
    const { host, address, localAddress } = target
    this.#phase = 'connect'
    this.#client = undefined
    this.#tls = ''
    this.#tlsFallback ||= this.#policy === 'opportunistic' ? this.#context.tlsFailures.cause(hostKey(host), this.#now()) : ''
    this.#triedAt = this.#now()
    this.#deadline = this.#triedAt + this.#list.connectTimeoutMs
    this.#trace?.line('note', `connecting to ${peerOf(target)}`)
    this.#socket = this.#context.transport.connect({ address, port: host.port, localAddress }, this)
  }

  #next(): void {
    this.#at++
    this.#tlsFallback = ''
    this.#try()
  }

  #exhausted(): void {
    const last = this.#last
    if (last) this.#down(last.stage === 'connect' ? 'failed' : 'throttled', last.stage, last.reply)
    else this.#down('failed', 'connect', reply('4.4.4', this.#list.leftOut || 'the destination has no address'))
  }

  /** The target did not give a session. */
  #failed(stage: string, why: Reply): void {
    this.#trace?.line('note', `${stage}: ${why.code === 0 ? '' : `${why.code} `}${why.text}`)
    this.#last = { opened: false, kind: 'throttled', stage, reply: why, messages: 0 }
    if (this.#closing) return this.#down('closed', stage, why)
    const now = this.#now()
    if (why.code === 0) this.#context.reach.failed(this.#target as Target, why.text, now - this.#triedAt, now)
    // A password that was refused is not tried at every address: accounts get locked.
    if (stage === 'auth') this.#down('throttled', stage, why)
    else this.#next()
  }

  // ---- The socket's side ----

  connected(): void {
    if (this.#phase !== 'connect') return
    if (this.#route.implicitTls) this.#handshake('tls')
    else this.#speak()
  }

  received(buf: Buffer, start: number, end: number): void {
    this.#client?.ingest(buf, start, end, this.#now())
  }

  drained(): void {
    this.#client?.onDrain(this.#now())
  }

  secured(result: TlsResult): void {
    this.#handshaking = false
    this.#tls = result.protocol
    if (this.#phase === 'tls') this.#speak(result)
    else this.#client?.onTls(result, this.#now())
  }

  closed(cause: string): void {
    const target = this.#target
    if (this.#phase === 'down' || !target) return
    const handshaking = this.#handshaking
    this.#handshaking = false
    if (handshaking) this.#handshakeFailed(target, cause)
    else if (this.#phase === 'session') this.#client?.onEnd(cause, this.#now())
    else this.#unreachable(target, cause)
  }

  #unreachable(target: Target, cause: string): void {
    this.#socket?.destroy()
    this.#failed('connect', reply('4.4.1', `cannot connect to ${peerOf(target)}: ${connectProblem(target, cause)}`))
  }

  /** RFC 7435 §3: opportunistic security falls back to what is there; anything stricter does not. */
  #handshakeFailed(target: Target, cause: string): void {
    this.#socket?.destroy()
    const text = `TLS handshake with ${peerOf(target)} failed: ${cause || 'closed'}`
    if (this.#policy !== 'opportunistic' || this.#route.implicitTls) return this.#failed('tls', reply('4.7.5', text))
    this.#trace?.line('note', text)
    this.#context.tlsFailures.add(hostKey(target.host), text, this.#now())
    this.#tlsFallback = text
    if (this.#closing) this.#down('closed', 'tls', reply('', text))
    else this.#try()
  }

  #handshake(phase: Phase): void {
    const { host } = this.#target as Target
    this.#phase = phase
    this.#handshaking = true
    this.#deadline = this.#now() + this.#context.limits.startTlsTimeoutMs
    this.#socket?.startTls({ name: host.name, port: host.port, policy: this.#policy })
  }

  #speak(tls?: TlsResult): void {
    const target = this.#target as Target
    this.#phase = 'session'
    this.#client = new SmtpClient(this.#clientOptions(target), this, this.#context.output, this.#trace)
    this.#client.start(this.#now(), tls)
  }

  #clientOptions(target: Target): ClientOptions {
    const { limits, nonce } = this.#context
    const { recipientsPerTransaction, messagesPerConnection, idleReuseMs } = this.#limits
    return {
      protocol: this.#route.protocol,
      hello: this.#source.hello,
      tls: isSocketPath(target.address) ? 'off' : this.#policy,
      tlsFallback: this.#tlsFallback,
      auth: this.#route.auth,
      loopCheck: this.#route.fromMx,
      nonce,
      site: this.site,
      source: this.#source.name,
      peer: peerOf(target),
      limits,
      recipientsMost: Math.max(1, Math.min(limits.recipientsPerTransactionMax, recipientsPerTransaction)),
      messagesMost: Math.max(1, messagesPerConnection),
      idleMs: idleReuseMs + IDLE_GRACE_MS,
    }
  }

  // ---- The client's side ----

  write(bytes: Buffer, done?: () => void): boolean {
    return this.#socket?.write(bytes, done) ?? true
  }

  startTls(): void {
    this.#handshake('session')
  }

  hangUp(): void {
    this.#socket?.end()
  }

  readBody(ticket: number, message: StoredMessage, offset: number): void {
    this.#pieces.read(ticket, message, offset)
  }

  closeBody(): void {
    this.#pieces.close()
  }

  opened(session: SessionInfo): void {
    const target = this.#target as Target
    this.#context.reach.worked(target)
    this.#host.up({
      peer: peerOf(target),
      tls: session.tls?.protocol ?? '',
      tlsFallback: session.tlsFallback,
      certificateError: session.tls?.certificateError ?? '',
    })
  }

  pull(want: number, onHand: number): void {
    this.#host.pull(want, onHand)
  }

  settled(settlement: Settlement): void {
    this.#host.settled(settlement)
  }

  returned(item: ReturnedItem, reason: ReturnReason, cause?: string): void {
    this.#host.returned(item, reason, cause)
  }

  ended(end: SessionEnd): void {
    this.#pieces.close()
    this.#last = end
    if (end.opened || this.#closing) this.#down(this.#closing ? 'closed' : end.kind, end.stage, end.reply)
    else this.#failed(end.stage, end.reply)
  }

  #down(kind: ConnectionEnd['kind'], stage: string, why: Reply): void {
    if (this.#phase === 'down') return
    const target = this.#target ?? this.#list.targets.at(-1)
    if (!this.#client) this.#socket?.destroy()
    this.#phase = 'down'
    this.#deadline = Infinity
    this.#host.down({
      kind,
      stage,
      reply: why,
      peer: target ? peerOf(target) : '',
      tls: this.#tls,
      messages: this.#last?.messages ?? 0,
      startedAt: this.#startedAt,
      finishedAt: this.#now(),
    })
  }

  #now(): number {
    return this.#context.clock.now()
  }
}

function reply(enhanced: string, text: string): Reply {
  return { code: 0, enhanced, text }
}

/** What an operator can mend about a socket on this machine is said in words. */
const SOCKET_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket (ENOENT)',
  ECONNREFUSED: 'nobody listens on this socket (ECONNREFUSED)',
  EACCES: 'this user may not write to the socket, or not enter its directory (EACCES)',
}

function connectProblem({ address }: Target, cause: string): string {
  const known = isSocketPath(address) ? SOCKET_PROBLEMS[cause] : undefined
  return known ?? (cause || 'closed')
}

/** A site may ask for TLS where its route would do without. */
function strictest(route: HostsDestination, required: boolean): TlsPolicy {
  return required && (route.tls === 'off' || route.tls === 'opportunistic') ? 'required' : route.tls
}
