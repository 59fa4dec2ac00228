// A server-side connection: socket, backpressure, TLS upgrade and deadline around a protocol session. Net threads.
//
// The session consumes what it can; while it waits for an answer the rest of the chunk stays here and the socket is paused.
// Replies of one turn leave in one write. Nothing is read while the client does not read its replies.

import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext, type TLSSocketOptions } from 'node:tls'
import type { Clock } from '../lib/clock.ts'

/** What every mail protocol's session offers its connection. */
export interface ProtocolSession {
  /** Ms since 1970 at which `onTimeout` is due; it moves with the phase. */
  readonly deadline: number
  /** Whether the next input is a secret (an AUTH response), to be blanked in traces. */
  readonly secretInput: boolean
  /** Whether the next input is message content. */
  readonly bodyInput: boolean
  greet(now: number): void
  /** Consumes bytes and returns the position up to which it did; less than `end` means that it waits for an answer. */
  ingest(buf: Buffer, start: number, end: number, now: number): number
  onTls(info: TlsInfo, now: number): void
  onTimeout(now: number): void
  /** The client will send nothing more. The session closes the connection when it has said everything. */
  onEnd(now: number): void
  /** The server stops: finish the transaction in progress, then say goodbye. */
  drain(now: number): void
}

/** What a session may know of its TLS layer. `socket` is for channel bindings and client certificates. */
export interface TlsInfo {
  readonly protocol: string
  readonly cipher: string
  /** Name that the client asked for, '' when none. */
  readonly servername: string
  readonly socket: TLSSocket
}

/** Options for a server-side handshake; `context` changes with a reload. */
export interface TlsSource {
  options(): TLSSocketOptions & { readonly secureContext: SecureContext }
}

export interface ConnectionEvents {
  closed(connection: Connection): void
  /** Bytes of the dialogue; an AUTH response is a `secret`, message content a `body`. */
  trace?(connection: Connection, direction: 'in' | 'out', bytes: Buffer, what: 'text' | 'secret' | 'body'): void
}

export interface ConnectionOptions {
  readonly clock: Clock
  readonly tls: TlsSource | undefined
  /** Output that may wait for a client that does not read, in bytes; above it input is not read. */
  readonly outputHighWaterBytes: number
  readonly tlsHandshakeMsMax: number
}

/** Commands read before it is seen whether the client reads their replies, which may be fifty times as long. */
const COMMANDS_BYTES = 8 * 1024

/** How long a client may take to read our last words and to close its side. */
const LINGER_MS = 5000

/** Says `text` to a client that gets no session, and lets go of it whatever it does. */
export function turnAway(socket: Socket, text: string, clock: Clock): void {
  const timer = clock.after(LINGER_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('close', () => timer.cancel())
  // What is not read would reset the connection, and our words with it.
  socket.resume()
  socket.end(text)
}

/** Copies queued replies into one buffer: cheaper than a writev of many small ones. */
function joined(buffers: readonly Buffer[]): Buffer {
  if (buffers.length === 1) return buffers[0] as Buffer
  let length = 0
  for (const buffer of buffers) length += buffer.length
  const all = Buffer.allocUnsafe(length)
  let at = 0
  for (const buffer of buffers) {
    buffer.copy(all, at)
    at += buffer.length
  }
  return all
}

function tlsInfo(socket: TLSSocket): TlsInfo {
  const { servername } = socket as TLSSocket & { servername?: string | false | null }
  const name = typeof servername === 'string' ? servername : ''
  return { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name, servername: name, socket }
}

export class Connection {
  protected readonly clock: Clock
  readonly #options: ConnectionOptions
  readonly #events: ConnectionEvents
  #socket: Socket
  #session: ProtocolSession | undefined
  #rest: Buffer | undefined
  #restAt = 0
  #out: Buffer[] = []
  #busy = false
  #next: 'none' | 'tls' | 'close' = 'none'
  #handshakeBy = Infinity
  /** When the connection is cut, once everything was said. */
  #closedBy = Infinity
  #tls: TlsInfo | undefined
  #ended = false
  #closed = false
  #blocked = false
  readonly #flushLater = (): void => this.#flush()

  constructor(socket: Socket, options: ConnectionOptions, events: ConnectionEvents) {
    this.#socket = socket
    this.#options = options
    this.#events = events
    this.clock = options.clock
    socket.setNoDelay(true)
  }

  /** Starts the session: the greeting first, after a TLS handshake where `implicitTls` says so. */
  start(session: ProtocolSession, implicitTls: boolean): void {
    this.#session = session
    if (implicitTls) {
      this.#handshake(true)
      return
    }
    this.#listen()
    this.#turn(() => session.greet(this.clock.now()))
  }

  get deadline(): number {
    const own = Math.min(this.#handshakeBy, this.#closedBy)
    return own < Infinity ? own : (this.#session?.deadline ?? Infinity)
  }

  /** The TLS layer, once its handshake is done. */
  get tls(): TlsInfo | undefined {
    return this.#tls
  }

  get session(): ProtocolSession | undefined {
    return this.#session
  }

  get closed(): boolean {
    return this.#closed
  }

  write(bytes: Buffer): void {
    this.#out.push(bytes)
    // An answer that came by itself: what the session says to the input it goes on with joins it.
    if (!this.#busy && this.#out.length === 1) queueMicrotask(this.#flushLater)
  }

  startTls(): void {
    this.#next = 'tls'
    if (!this.#busy) this.#settleTurn()
  }

  close(): void {
    if (this.#next === 'close') return
    this.#next = 'close'
    if (!this.#busy) this.#settleTurn()
  }

  /** Cuts the connection without a word. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Does what the session asked for outside of `ingest`: sends, upgrades, closes, reads on. */
  settle(): void {
    this.#settleTurn()
  }

  /** The session can go on with what it left unread. */
  resume(): void {
    if (this.#busy || this.#closed) return
    this.#pump()
  }

  timeout(now: number): void {
    if (this.#handshakeBy < Infinity || this.#closedBy < Infinity) this.destroy()
    else if (this.#session) this.#turn(() => this.#session?.onTimeout(now))
  }

  drain(now: number): void {
    if (this.#handshakeBy < Infinity) this.destroy()
    else if (this.#session) this.#turn(() => this.#session?.drain(now))
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onEnd())
    // The reason of a reset connection is of no use to anybody; 'close' follows every error.
    socket.on('error', () => this.destroy())
    socket.on('close', () => this.#onClose())
    socket.resume()
  }

  #onData(chunk: Buffer): void {
    if (this.#next !== 'none') return
    if (this.#rest) {
      // Only possible when pause() came too late for a chunk that was on its way.
      this.#rest = joined([this.#rest.subarray(this.#restAt), chunk])
      this.#restAt = 0
      return
    }
    this.#rest = chunk
    this.#restAt = 0
    this.#pump()
  }

  #pump(): void {
    const session = this.#session as ProtocolSession
    this.#busy = true
    const now = this.clock.now()
    while (this.#rest && this.#next === 'none' && !this.#blocked) {
      const chunk = this.#rest
      const from = this.#restAt
      const what = session.secretInput ? 'secret' : session.bodyInput ? 'body' : 'text'
      const end = what === 'text' ? Math.min(chunk.length, from + COMMANDS_BYTES) : chunk.length
      const used = session.ingest(chunk, from, end, now)
      if (used > from) this.#events.trace?.(this, 'in', chunk.subarray(from, used), what)
      if (used >= chunk.length) {
        this.#rest = undefined
        break
      }
      this.#restAt = used
      if (used === from) break
      if (used === end) this.#flush()
    }
    this.#busy = false
    this.#settleTurn()
    this.#throttle()
    if (this.#ended && !this.#rest && this.#next === 'none') this.#finish()
  }

  #throttle(): void {
    if (this.#closed || this.#next === 'close') return
    if (this.#rest || this.#blocked) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  #turn(act: () => void): void {
    this.#busy = true
    act()
    this.#busy = false
    this.#settleTurn()
  }

  #settleTurn(): void {
    this.#flush()
    if (this.#next === 'tls') this.#handshake(false)
    else if (this.#next === 'close') this.#end()
  }

  /** What the client still says is read and dropped, so that it hears our last words; one that does not close is cut off. */
  #end(): void {
    if (this.#closedBy < Infinity) return
    this.#closedBy = this.clock.now() + LINGER_MS
    this.#socket.end()
    this.#socket.resume()
  }

  #flush(): void {
    if (this.#out.length === 0) return
    const bytes = joined(this.#out)
    this.#out = []
    if (this.#socket.destroyed) return
    this.#events.trace?.(this, 'out', bytes, 'text')
    this.#socket.write(bytes)
    if (this.#socket.writableLength > this.#options.outputHighWaterBytes) this.#blocked = true
  }

  #onDrain(): void {
    if (!this.#blocked) return
    this.#blocked = false
    this.#pump()
  }

  #onEnd(): void {
    this.#ended = true
    if (!this.#rest) this.#finish()
  }

  #finish(): void {
    this.#turn(() => this.#session?.onEnd(this.clock.now()))
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    if (!this.#ended) this.#session?.onEnd(this.clock.now())
    this.#events.closed(this)
  }

  #handshake(implicit: boolean): void {
    const source = this.#options.tls
    if (!source) throw new Error('TLS was asked for on a listener without it')
    const plain = this.#socket
    this.#next = 'none'
    // RFC 3207 §4.2: what the client pipelined behind STARTTLS is not part of the secure session.
    this.#rest = undefined
    for (const event of ['data', 'drain', 'end', 'close']) plain.removeAllListeners(event)
    plain.pause()
    this.#handshakeBy = this.clock.now() + this.#options.tlsHandshakeMsMax
    const secure = new TLSSocket(plain, { ...source.options(), isServer: true })
    this.#socket = secure
    plain.on('error', () => secure.destroy())
    secure.once('secure', () => {
      this.#handshakeBy = Infinity
      const info = tlsInfo(secure)
      this.#tls = info
      this.#turn(() => {
        this.#session?.onTls(info, this.clock.now())
        if (implicit) this.#session?.greet(this.clock.now())
      })
    })
    this.#listen()
  }
}
