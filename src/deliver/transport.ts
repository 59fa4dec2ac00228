// Sockets as a port: what a connection needs of the network, so that tests and simulations can play the peer. Types only.

import type { TlsPolicy } from './ports.ts'
import type { TlsResult } from './opening.ts'

export interface ConnectTarget {
  /** An IPv4 or IPv6 address, or the absolute path of a socket on this machine. */
  readonly address: string
  readonly port: number
  /** Address to bind to; undefined leaves it to the system. */
  readonly localAddress: string | undefined
}

export interface TlsTarget {
  /** Name for SNI and the certificate, or an address. */
  readonly name: string
  readonly port: number
  readonly policy: TlsPolicy
}

/** What a socket tells, never from within a call to it. After `closed`, `end` or `destroy` it tells nothing more. */
export interface SocketEvents {
  connected(): void
  /** Bytes, valid during the call. */
  received(buf: Buffer, start: number, end: number): void
  /** There is room again after `write` said false. */
  drained(): void
  secured(result: TlsResult): void
  /** The connection is over: refused, reset, ended by either side, or its handshake failed. `cause` is '' for a plain end. */
  closed(cause: string): void
}

export interface PeerSocket {
  /**
   * The bytes must not change until `done` is called, never without one. False: more than the high-water mark is waiting;
   * `drained` or `closed` follows.
   */
  write(bytes: Buffer, done?: () => void): boolean
  /** Begins a handshake behind what was written; `secured` or `closed` follows. Unread plain text is discarded. */
  startTls(target: TlsTarget): void
  /** Ends the connection behind what was written. */
  end(): void
  /** Cuts the connection. */
  destroy(): void
}

export interface Transport {
  connect(target: ConnectTarget, events: SocketEvents): PeerSocket
}
