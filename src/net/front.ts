// What happens to a connection before its session: PROXY header, limits by client. One a listener in each net thread.

import type { Socket } from 'node:net'
import { networkKey, type CidrSet } from '../lib/address.ts'
import type { Clock } from '../lib/clock.ts'
import { ProxyDecoder } from './proxy-protocol.ts'
import type { ProxyEndpoints } from './proxy-protocol.ts'

/** Both ends of a connection, after PROXY. */
export interface Endpoints {
  readonly client: string
  readonly clientPort: number
  /** A proxy speaks for somebody whom it cannot name: `client` is the proxy's own address. */
  readonly clientUnknown: boolean
  readonly local: string
  readonly localPort: number
}

/** Why a connection is turned away before it has a session. */
export type FrontRefusal = 'busy' | 'client-busy' | 'proxy-missing' | 'proxy-timeout'

export interface FrontLimits {
  readonly connectionsMax: number
  readonly connectionsPerClientMax: number
  readonly proxyHeaderTimeoutMs: number
}

export interface FrontEvents {
  /** The socket is paused; bytes behind a PROXY header have been pushed back into it. `release` is due when it has closed. */
  admitted(socket: Socket, endpoints: Endpoints, release: () => void): void
  refused(socket: Socket, client: string, why: FrontRefusal): void
}

function socketEndpoints(socket: Socket): Endpoints {
  return {
    client: canonical(socket.remoteAddress),
    clientPort: socket.remotePort ?? 0,
    clientUnknown: false,
    local: canonical(socket.localAddress),
    localPort: socket.localPort ?? 0,
  }
}

function namedEndpoints({ source, sourcePort, destination, destinationPort }: ProxyEndpoints): Endpoints {
  return { client: source, clientPort: sourcePort, clientUnknown: false, local: destination, localPort: destinationPort }
}

/** IPv4 clients of a dual-stack listener come as ::ffff:a.b.c.d. */
function canonical(address: string | undefined): string {
  return address?.startsWith('::ffff:') ? address.slice(7) : (address ?? '')
}

/** Connections that a thread has now, over all its listeners. */
export class ConnectionCounts {
  total = 0
  readonly byClient: Map<string, number> = new Map()
}

export class Front {
  readonly #clock: Clock
  readonly #events: FrontEvents
  #limits: FrontLimits
  #proxies: CidrSet
  readonly #counts: ConnectionCounts

  constructor(clock: Clock, limits: FrontLimits, proxies: CidrSet, events: FrontEvents, counts: ConnectionCounts) {
    this.#clock = clock
    this.#limits = limits
    this.#proxies = proxies
    this.#events = events
    this.#counts = counts
  }

  configure(limits: FrontLimits, proxies: CidrSet): void {
    this.#limits = limits
    this.#proxies = proxies
  }

  /** Takes a paused, just accepted socket. */
  accept(socket: Socket): void {
    const endpoints = socketEndpoints(socket)
    if (!this.#proxies.hasText(endpoints.client)) this.#admit(socket, endpoints)
    else this.#readProxy(socket, endpoints)
  }

  #readProxy(socket: Socket, endpoints: Endpoints): void {
    const decoder = new ProxyDecoder()
    const timer = this.#clock.after(this.#limits.proxyHeaderTimeoutMs, () => end('proxy-timeout'))
    const stop = (): void => {
      timer.cancel()
      socket.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error')
      socket.pause()
    }
    const end = (why: FrontRefusal): void => {
      stop()
      socket.on('error', () => socket.destroy())
      this.#events.refused(socket, endpoints.client, why)
    }
    socket.on('data', (chunk: Buffer) => {
      const step = decoder.ingest(chunk, 0, chunk.length)
      if (step.kind === 'more') return
      if (step.kind === 'invalid') return end('proxy-missing')
      stop()
      if (step.next < chunk.length) socket.unshift(chunk.subarray(step.next))
      const { header } = step
      this.#admit(socket, header.kind === 'tcp' ? namedEndpoints(header) : { ...endpoints, clientUnknown: header.kind === 'unknown' })
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => timer.cancel())
    socket.resume()
  }

  #admit(socket: Socket, endpoints: Endpoints): void {
    const key = networkKey(endpoints.client)
    const { byClient, total } = this.#counts
    const mine = byClient.get(key) ?? 0
    if (total >= this.#limits.connectionsMax) return this.#events.refused(socket, endpoints.client, 'busy')
    if (mine >= this.#limits.connectionsPerClientMax) return this.#events.refused(socket, endpoints.client, 'client-busy')
    this.#counts.total++
    byClient.set(key, mine + 1)
    this.#events.admitted(socket, endpoints, () => this.#release(key))
  }

  #release(key: string): void {
    const { byClient } = this.#counts
    this.#counts.total--
    const left = (byClient.get(key) ?? 1) - 1
    if (left > 0) byClient.set(key, left)
    else byClient.delete(key)
  }
}
