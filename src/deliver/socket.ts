// The transport over node:net and node:tls. Deliver threads.
//
// Plain sockets of a thread read into one buffer: libuv fills it and calls back at once, and the client consumes all of
// it before it returns. That saves a 64 KB allocation and the stream's machinery for each read.

import { isSocketPath } from '../config/target.ts'
import type { Clock } from '../lib/clock.ts'
import { connect, isIP } from 'node:net'
import type { NetConnectOpts, Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, createSecureContext } from 'node:tls'
import type { PeerCertificate, SecureContext, TLSSocket } from 'node:tls'
import { BODY_PIECE_BYTES } from './limits.ts'
import { Recent } from './recent.ts'
import type { ConnectTarget, PeerSocket, SocketEvents, TlsTarget, Transport } from './transport.ts'

const READ_BYTES = 64 * 1024

/** How long the last bytes of a connection may take. */
const LINGER_MS = 5000

export interface NetTransportOptions {
  readonly clock: Clock
  /** TLS sessions kept for resumption. */
  readonly tlsSessionsMax: number
  /** Authorities in PEM that `verify` trusts; default: those that Node brings along. */
  readonly ca?: readonly string[]
}

/** What the sockets of a thread share. */
interface Shared {
  readonly clock: Clock
  readonly buffer: Buffer
  /**
   * TLS sessions to resume. The key holds the policy: one that was made without checking the certificate must not stand for
   * a checked one.
   */
  readonly sessions: Recent<Buffer>
  readonly context: () => SecureContext
}

export class NetTransport implements Transport {
  readonly #shared: Shared

  constructor(options: NetTransportOptions) {
    const { clock, ca } = options
    let context: SecureContext | undefined
    this.#shared = {
      clock,
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      sessions: new Recent(options.tlsSessionsMax),
      // Made at the first use, and once: it holds all authorities.
      context: () => (context ??= createSecureContext(ca ? { ca: [...ca] } : {})),
    }
  }

  connect(target: ConnectTarget, events: SocketEvents): PeerSocket {
    return new NetSocket(target, events, this.#shared)
  }
}

function placeOf({ address, port, localAddress }: ConnectTarget): NetConnectOpts {
  if (isSocketPath(address)) return { path: address }
  const local = localAddress === undefined ? {} : { localAddress }
  return { host: address, port, noDelay: true, autoSelectFamily: false, ...local }
}

class NetSocket implements PeerSocket {
  readonly #events: SocketEvents
  readonly #shared: Shared
  #socket: Socket
  #closed = false
  #cause = ''
  #nameError = ''

  constructor(target: ConnectTarget, events: SocketEvents, shared: Shared) {
    this.#events = events
    this.#shared = shared
    const onread = {
      buffer: shared.buffer,
      callback: (count: number, bytes: Uint8Array): boolean => {
        if (!this.#closed) this.#events.received(bytes as Buffer, 0, count)
        return true
      },
    }
    this.#socket = connect({ ...placeOf(target), onread })
    this.#socket.once('connect', () => void (this.#closed || this.#events.connected()))
    this.#watch(this.#socket)
  }

  write(bytes: Buffer, done?: () => void): boolean {
    // `closed` follows: a content must not seem to be sent meanwhile.
    if (this.#socket.destroyed) return false
    this.#socket.write(bytes, done)
    return this.#socket.writableLength < BODY_PIECE_BYTES
  }

  startTls(target: TlsTarget): void {
    const { sessions } = this.#shared
    const plain = this.#socket
    plain.removeAllListeners()
    const key = `${target.name}:${target.port}:${target.policy}`
    const session = sessions.get(key)
    const isAddress = isIP(target.name) !== 0
    const secure = connectTls({
      socket: plain,
      secureContext: this.#shared.context(),
      host: target.name,
      rejectUnauthorized: false,
      // RFC 6066 §3: no addresses in SNI.
      ...(!isAddress && { servername: target.name }),
      ...(session && { session }),
      checkServerIdentity: (_, certificate) => this.#checkName(target, certificate),
    })
    this.#socket = secure
    plain.on('error', (error) => this.#failed(error))
    // Resumption asks for no name again, so a certificate that was refused must not leave a session behind.
    secure.on('session', (ticket: Buffer) => void ((target.policy !== 'verify' || secure.authorized) && sessions.set(key, ticket)))
    secure.once('secureConnect', () => void (this.#closed || this.#onSecure(secure)))
    secure.on('data', (bytes: Buffer) => void (this.#closed || this.#events.received(bytes, 0, bytes.length)))
    this.#watch(secure, () => sessions.delete(key))
  }

  end(): void {
    // Whatever the peer still says concerns nobody; one that does not read is not waited for long.
    this.#closed = true
    const socket = this.#socket
    socket.destroySoon()
    if (socket.destroyed) return
    const timer = this.#shared.clock.after(LINGER_MS, () => socket.destroy())
    socket.once('close', () => timer.cancel())
  }

  destroy(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  /** Names matter only where the certificate does. */
  #checkName(target: TlsTarget, certificate: PeerCertificate): Error | undefined {
    if (target.policy !== 'verify') return undefined
    const error = checkServerIdentity(target.name, certificate)
    this.#nameError = error?.message ?? ''
    return error
  }

  #onSecure(secure: TLSSocket): void {
    // Node types it as an Error, but it is a code.
    const error: unknown = secure.authorizationError
    const certificateError = secure.authorized ? '' : this.#nameError || String(error)
    this.#events.secured({ protocol: secure.getProtocol() ?? '', certificateError })
  }

  #watch(socket: Socket, onError?: () => void): void {
    socket.on('drain', () => void (this.#closed || this.#events.drained()))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      onError?.()
      this.#failed(error)
    })
    socket.on('close', () => this.#onClose())
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#cause === '') this.#cause = error.code ?? error.message
    this.#socket.destroy()
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#events.closed(this.#cause)
  }
}
