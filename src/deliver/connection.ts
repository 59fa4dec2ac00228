// One outbound connection of the scheduler's: the addresses tried for it, the socket, and the client that speaks over it.
//
// Hosts and their addresses are tried in order until a session is open; only when none is left has the connection failed.
// A failed opportunistic handshake is tried once more on the same address in plain text. Invariant: `down` is said once.

import { isIPv6 } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import type { GrantItem, ReturnedItem, ReturnReason, RowRef } from '../queue/ports.ts'
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
import type {
  Destination,
  DestinationHost,
  DeliverSite,
  EgressSource,
  HostsDestination,
  MessageReader,
  StoredMessage,
  TlsPolicy,
} from './ports.ts'
import type { TlsFailures } from './tls-memory.ts'
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
  readonly tlsFailures: TlsFailures
  /** Why an address of a foreign host must not be connected to, undefined when it may. */
  readonly refuses: (host: string, address: string) => string | undefined
  readonly nonce: () => string
}

/** One address to try. */
interface Target {
  readonly host: DestinationHost
  readonly address: string
  readonly localAddress: string | undefined
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
  readonly #targets: Target[]
  /** Why addresses were left out, for the case that none is left. */
  readonly #leftOut: string
  #at = 0
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
    const { targets, leftOut } = targetsOf(route, source, context)
    this.#targets = targets
    this.#leftOut = leftOut
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
    const target = this.#targets[this.#at]
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

  #try(): void {
    const target = this.#targets[this.#at]
    if (!target) return this.#exhausted()
    const { host, address, localAddress } = target
    this.#phase = 'connect'
    this.#client = undefined
    this.#tls = ''
    this.#tlsFallback ||= this.#policy === 'opportunistic' ? this.#context.tlsFailures.cause(hostKey(host), this.#now()) : ''
    this.#deadline = this.#now() + this.#context.limits.connectTimeoutMs
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
    else this.#down('failed', 'connect', reply('4.4.4', this.#leftOut || 'the destination has no address'))
  }

  /** A target did not give a session. */
  #failed(stage: string, why: Reply): void {
    this.#trace?.line('note', `${stage}: ${why.code === 0 ? '' : `${why.code} `}${why.text}`)
    this.#last = { opened: false, kind: 'throttled', stage, reply: why, messages: 0 }
    if (this.#closing) this.#down('closed', stage, why)
    // A password that was refused is not tried at every address: accounts get locked.
    else if (stage === 'auth') this.#down('throttled', stage, why)
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
    const target = this.#targets[this.#at]
    if (this.#phase === 'down' || !target) return
    const handshaking = this.#handshaking
    this.#handshaking = false
    if (handshaking) this.#handshakeFailed(target, cause)
    else if (this.#phase === 'session') this.#client?.onEnd(cause, this.#now())
    else this.#unreachable(target, cause)
  }

  #unreachable(target: Target, cause: string): void {
    this.#socket?.destroy()
    this.#failed('connect', reply('4.4.1', `cannot connect to ${peerOf(target)}: ${cause || 'closed'}`))
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
    const { host } = this.#targets[this.#at] as Target
    this.#phase = phase
    this.#handshaking = true
    this.#deadline = this.#now() + this.#context.limits.startTlsTimeoutMs
    this.#socket?.startTls({ name: host.name, port: host.port, policy: this.#policy })
  }

  #speak(tls?: TlsResult): void {
    const target = this.#targets[this.#at] as Target
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
      tls: this.#policy,
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
    this.#host.up({
      peer: peerOf(this.#targets[this.#at] as Target),
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

  #down(kind: 'failed' | 'throttled' | 'closed', stage: string, why: Reply): void {
    if (this.#phase === 'down') return
    const target = this.#targets[Math.min(this.#at, this.#targets.length - 1)]
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

function hostKey(host: DestinationHost): string {
  return `${host.name}:${host.port}`
}

function peerOf(target: Target): string {
  return `${target.host.name}[${target.address}]:${target.host.port}`
}

/** A site may ask for TLS where its route would do without. */
function strictest(route: HostsDestination, required: boolean): TlsPolicy {
  return required && (route.tls === 'off' || route.tls === 'opportunistic') ? 'required' : route.tls
}

/** The addresses to try, in order; those that must not or cannot be reached are left out. */
function targetsOf(route: HostsDestination, source: EgressSource, context: ConnectionContext): { targets: Target[]; leftOut: string } {
  const targets: Target[] = []
  let leftOut = ''
  const bound = source.address4 !== undefined || source.address6 !== undefined
  for (const host of route.hosts) {
    for (const address of host.addresses) {
      const refused = route.fromMx ? context.refuses(host.name, address) : undefined
      const localAddress = isIPv6(address) ? source.address6 : source.address4
      if (refused !== undefined) leftOut = `${host.name} has the address ${address}, which is refused (${refused})`
      else if (bound && localAddress === undefined) leftOut = `source ${source.name} has no address to reach ${address} from`
      else targets.push({ host, address, localAddress })
    }
  }
  return { targets: targets.slice(0, context.limits.addressesPerConnectionMax), leftOut }
}
