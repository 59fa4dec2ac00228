// Sockets of the sink: accepts, feeds sessions, paces slow readers, upgrades to TLS.

import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { TLSSocketOptions } from 'node:tls'
import type { Clock } from '../../lib/clock.ts'
import { SinkSession } from './session.ts'
import type { SinkHost, SinkSettings, SunkMessage } from './session.ts'

export const SINK_TLS = ['off', 'starttls', 'implicit', 'broken'] as const
export type SinkTls = (typeof SINK_TLS)[number]

export interface SinkServerOptions {
  readonly clock: Clock
  readonly settings: SinkSettings
  readonly tls: SinkTls
  /** Context for handshakes; absent when `tls` is off or broken. */
  readonly tlsOptions: TLSSocketOptions | undefined
  readonly slowRead: boolean
  received(message: SunkMessage, peer: SunkPeer): void
}

export interface SunkPeer {
  readonly address: string
  /** `TLSv1.3` and the like, '' for plain. */
  readonly tls: string
}

/** What passed so far. */
export interface SinkCounts {
  messages: number
  recipients: number
  bytes: number
  /** Messages that got, at least for some recipients, another answer than 250. */
  refused: number
  connections: number
}

/** A slow reader takes 1 KB every 100 ms: 10 KB/s. */
const SLOW_BYTES = 1024
const SLOW_MS = 100

export class SinkServer {
  readonly counts: SinkCounts = { messages: 0, recipients: 0, bytes: 0, refused: 0, connections: 0 }
  readonly #options: SinkServerOptions
  readonly #server: Server
  readonly #connections = new Set<SinkConnection>()

  constructor(options: SinkServerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Opens the listener; resolves to its port. Rejects with the system's error. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: 4096 }, () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  /** Stops listening and cuts all connections, after what was answered is sent. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const connection of this.#connections) connection.close()
    })
  }

  #accept(socket: Socket): void {
    this.counts.connections++
    const connection = new SinkConnection(socket, this.#options, {
      received: (message, peer) => {
        this.counts.messages++
        this.counts.recipients += message.to.length
        this.counts.bytes += message.bytes
        this.#options.received(message, peer)
      },
      refused: () => this.counts.refused++,
      gone: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
    connection.start()
  }
}

interface ConnectionEvents {
  received(message: SunkMessage, peer: SunkPeer): void
  refused(): void
  gone(): void
}

class SinkConnection implements SinkHost {
  readonly #options: SinkServerOptions
  readonly #events: ConnectionEvents
  readonly #session: SinkSession
  #socket: Socket
  #peer: SunkPeer
  #out = ''
  #rest: Buffer | undefined
  #busy = false
  #delayed = false
  #next: 'none' | 'tls' | 'close' = 'none'

  constructor(socket: Socket, options: SinkServerOptions, events: ConnectionEvents) {
    this.#socket = socket
    this.#options = options
    this.#events = events
    this.#peer = { address: socket.remoteAddress ?? '', tls: '' }
    this.#session = new SinkSession(this, options.settings, options.tls === 'implicit')
    // Why a connection broke does not matter here; 'close' follows.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => events.gone())
  }

  start(): void {
    if (this.#options.tls === 'implicit') return this.#handshake(true)
    this.#listen()
    this.#turn(() => this.#session.greet())
  }

  close(): void {
    this.#next = 'close'
    if (!this.#busy) this.#settle()
  }

  write(text: string): void {
    this.#out += text
  }

  startTls(): void {
    this.#next = 'tls'
  }

  delay(delayMs: number, fn: () => void): void {
    this.#delayed = true
    this.#options.clock.after(delayMs, () => {
      this.#delayed = false
      if (this.#socket.destroyed) return
      this.#turn(fn)
      const rest = this.#rest
      this.#rest = undefined
      if (rest) this.#take(rest)
      this.#pace()
    })
  }

  received(message: SunkMessage): void {
    this.#events.received(message, this.#peer)
  }

  refused(): void {
    this.#events.refused()
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('end', () => socket.end())
    socket.on('drain', () => this.#pace())
    if (this.#options.slowRead) {
      // Listening to 'readable' lets the socket fill its buffer and no more.
      socket.on('readable', () => undefined)
      this.#sip()
    } else {
      socket.on('data', (chunk: Buffer) => this.#take(chunk))
    }
  }

  #sip(): void {
    this.#options.clock.after(SLOW_MS, () => {
      if (this.#socket.destroyed || this.#next !== 'none') return
      const socket = this.#socket
      const waits = this.#delayed || socket.writableNeedDrain
      const chunk = waits ? null : (socket.read(Math.min(SLOW_BYTES, socket.readableLength)) as Buffer | null)
      if (chunk) this.#take(chunk)
      this.#sip()
    })
  }

  #take(chunk: Buffer): void {
    if (this.#next !== 'none') return
    const buf = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk
    this.#rest = undefined
    let used = 0
    this.#turn(() => {
      used = this.#session.ingest(buf, 0, buf.length)
    })
    if (used < buf.length && this.#next === 'none') this.#rest = buf.subarray(used)
    this.#pace()
  }

  /** Reads on unless an answer is delayed or the client does not read what it got. */
  #pace(): void {
    if (this.#options.slowRead) return
    if (this.#delayed || this.#socket.writableNeedDrain) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  #turn(act: () => void): void {
    this.#busy = true
    act()
    this.#busy = false
    this.#settle()
  }

  #settle(): void {
    const text = this.#out
    this.#out = ''
    if (text !== '' && this.#socket.writable) this.#socket.write(text)
    if (this.#next === 'tls') this.#handshake(false)
    else if (this.#next === 'close') this.#socket.destroySoon()
  }

  #handshake(implicit: boolean): void {
    const plain = this.#socket
    plain.removeAllListeners('data').removeAllListeners('end').removeAllListeners('drain').removeAllListeners('readable')
    this.#rest = undefined
    if (!this.#options.tlsOptions) return this.#breakHandshake()
    const secure = new TLSSocket(plain, { ...this.#options.tlsOptions, isServer: true })
    secure.on('error', () => plain.destroy())
    this.#socket = secure
    this.#next = 'none'
    secure.once('secure', () => {
      this.#peer = { ...this.#peer, tls: secure.getProtocol() ?? '' }
      if (implicit) this.#turn(() => this.#session.greet())
      else this.#session.onTls()
    })
    this.#listen()
  }

  /** Answers the client's first TLS record with text. */
  #breakHandshake(): void {
    const plain = this.#socket
    plain.once('data', () => plain.end('This is not TLS\r\n'))
    plain.resume()
  }
}
