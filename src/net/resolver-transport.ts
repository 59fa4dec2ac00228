// Sockets under the resolver: one connected socket an exchange, so that the kernel takes datagrams from the server's
// address and port only and gives each question a port of its own (RFC 5452 §9.2). Any thread that asks DNS.

import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { own } from '../lib/bytes.ts'
import { MESSAGE_BYTES_MAX } from '../wire/dns/message.ts'
import type { DnsServer } from './resolver-config.ts'

export type DnsProtocol = 'udp' | 'tcp'

/** What comes of an exchange. Never called from within `open` or `send`, never after `close`. */
export interface DnsExchangeEvents {
  /** One whole message; the bytes belong to the receiver. */
  message(bytes: Buffer): void
  /** The server cannot be reached or closed the connection; nothing follows. */
  failed(cause: string): void
}

export interface DnsExchange {
  /** Sends a message, as soon as the socket is ready. */
  send(message: Buffer): void
  close(): void
}

export interface DnsTransport {
  open(server: DnsServer, protocol: DnsProtocol, events: DnsExchangeEvents): DnsExchange
}

export const systemTransport: DnsTransport = {
  open: (server, protocol, events) => (protocol === 'udp' ? openUdp(server, events) : openTcp(server, events)),
}

function openUdp(server: DnsServer, events: DnsExchangeEvents): DnsExchange {
  const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4')
  let state: 'opening' | 'open' | 'closed' = 'opening'
  let unsent: Buffer[] = []
  const fail = (error: Error | null | undefined): void => {
    if (!error || state === 'closed') return
    close()
    events.failed(error.message)
  }
  const close = (): void => {
    if (state !== 'closed') socket.close()
    state = 'closed'
  }
  socket.on('error', fail)
  socket.on('message', (bytes) => {
    if (state !== 'closed') events.message(bytes)
  })
  socket.connect(server.port, server.address, (error?: Error) => {
    if (error || state === 'closed') return fail(error)
    state = 'open'
    for (const message of unsent) socket.send(message, fail)
    unsent = []
  })
  return {
    send: (message) => {
      if (state === 'open') socket.send(message, fail)
      else if (state === 'opening') unsent.push(message)
    },
    close,
  }
}

function openTcp(server: DnsServer, events: DnsExchangeEvents): DnsExchange {
  const socket = connect({ host: server.address, port: server.port, noDelay: true })
  const frames = new FrameReader((message) => events.message(message))
  let closed = false
  const fail = (cause: string): void => {
    if (closed) return
    closed = true
    socket.destroy()
    events.failed(cause)
  }
  socket.on('error', (error) => fail(error.message))
  socket.on('close', () => fail('connection closed'))
  socket.on('data', (bytes) => {
    if (!closed) frames.ingest(bytes)
  })
  return {
    send: (message) => {
      socket.cork()
      socket.write(Buffer.of(message.length >> 8, message.length & 0xff))
      socket.write(message)
      socket.uncork()
    },
    close: () => {
      closed = true
      socket.destroy()
    },
  }
}

/** Cuts a TCP stream into messages: two bytes of length before each (RFC 1035 §4.2.2). Holds at most one message. */
export class FrameReader {
  readonly #frame: (message: Buffer) => void
  #buffer: Buffer = Buffer.allocUnsafe(2)
  /** Bytes of #buffer that are there; the first two are the length. */
  #filled = 0

  constructor(frame: (message: Buffer) => void) {
    this.#frame = frame
  }

  ingest(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const taken = Math.min(bytes.length - at, this.#buffer.length - this.#filled)
      bytes.copy(this.#buffer, this.#filled, at, at + taken)
      at += taken
      this.#filled += taken
      if (this.#filled === this.#buffer.length) this.#step()
    }
  }

  #step(): void {
    const length = this.#buffer.readUInt16BE(0)
    if (this.#filled === 2 && length > 0) {
      const grown = Buffer.allocUnsafe(2 + Math.min(length, MESSAGE_BYTES_MAX))
      this.#buffer.copy(grown, 0, 0, 2)
      this.#buffer = grown
      return
    }
    const message = own(this.#buffer, 2, this.#filled)
    this.#buffer = Buffer.allocUnsafe(2)
    this.#filled = 0
    if (message.length > 0) this.#frame(message)
  }
}
