// A DeliverCore with a spool in memory and a host that keeps what it is told, and says so by promises.

import { defaultLimits } from '../../../src/config/limits.ts'
import { DeliverCore } from '../../../src/deliver/dispatcher.ts'
import type { DeliverOptions } from '../../../src/deliver/dispatcher.ts'
import { deliverLimits } from '../../../src/deliver/limits.ts'
import type { ConnectionDown, DeliverHost, DeliverSite, Destination, HostsDestination, PeerInfo } from '../../../src/deliver/ports.ts'
import { NetTransport } from '../../../src/deliver/socket.ts'
import { ManualClock } from '../../../src/lib/clock.ts'
import type { Random } from '../../../src/lib/prng.ts'
import type { GrantItem, ReturnedItem, ReturnReason, SiteLimits } from '../../../src/queue/ports.ts'
import type { RecipientResult, Settlement } from '../../../src/spool/types.ts'
import { caPem } from '../../support/tls.ts'
import { within } from '../../support/wait.ts'
import { MemoryReader } from './spool.ts'
import type { TestMessage } from './spool.ts'

const WAIT_MS = 10_000

export const SITE_LIMITS: SiteLimits = {
  connections: 10,
  messagesPerConnection: 100,
  recipientsPerTransaction: 100,
  connectionRate: undefined,
  messageRate: undefined,
  idleReuseMs: 60_000,
  tlsRequired: false,
  reactions: [],
  origins: {},
}

export class RecordingHost implements DeliverHost {
  readonly ups: Map<number, PeerInfo> = new Map()
  readonly downs: Map<number, ConnectionDown> = new Map()
  readonly pulls: Map<number, number> = new Map()
  readonly returns: { readonly conn: number; readonly item: ReturnedItem; readonly reason: ReturnReason }[] = []
  readonly settlements: Settlement[] = []
  batches = 0
  readonly #waiting = new Set<() => void>()

  connectionUp(conn: number, info: PeerInfo): void {
    this.ups.set(conn, info)
    this.#wake()
  }

  pull(conn: number, want: number): void {
    this.pulls.set(conn, want)
    this.#wake()
  }

  returned(conn: number, items: readonly ReturnedItem[], reason: ReturnReason): void {
    for (const item of items) this.returns.push({ conn, item, reason })
    this.#wake()
  }

  connectionDown(conn: number, down: ConnectionDown): void {
    this.downs.set(conn, down)
    this.#wake()
  }

  settle(settlements: Settlement[]): void {
    this.batches++
    this.settlements.push(...settlements)
    this.#wake()
  }

  async until(what: string, met: () => boolean): Promise<void> {
    const promise = new Promise<void>((resolve) => {
      const wake = (): void => {
        if (!met()) return
        this.#waiting.delete(wake)
        resolve()
      }
      this.#waiting.add(wake)
      wake()
    })
    await within(WAIT_MS, what, promise)
  }

  async settled(count: number): Promise<readonly Settlement[]> {
    await this.until(`${count} settlements`, () => this.settlements.length >= count)
    return this.settlements
  }

  async up(conn: number): Promise<PeerInfo> {
    await this.until(`connection ${conn} is up`, () => this.ups.has(conn))
    return this.ups.get(conn) as PeerInfo
  }

  async down(conn: number): Promise<ConnectionDown> {
    await this.until(`connection ${conn} is down`, () => this.downs.has(conn))
    return this.downs.get(conn) as ConnectionDown
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }
}

/** Shuffles nothing. */
export const AS_IT_IS: Random = { float: () => 0, below: (bound) => bound - 1 }

export interface TestCore {
  readonly core: DeliverCore
  readonly host: RecordingHost
  readonly reader: MemoryReader
  readonly clock: ManualClock
}

/** The tests' authority is trusted; loopback is not, for mail exchangers. */
export function makeCore(messages: readonly TestMessage[] = [], options: Partial<DeliverOptions> = {}): TestCore {
  const host = new RecordingHost()
  const reader = new MemoryReader()
  for (const message of messages) reader.add(message)
  const clock = new ManualClock()
  const core = new DeliverCore({
    host,
    reader,
    clock,
    sources: [{ name: 'default', hello: 'relay.example.org' }],
    limits: deliverLimits(defaultLimits),
    allowHosts: [],
    ownAddresses: [],
    transport: new NetTransport({ clock, tlsSessionsMax: 10, ca: [caPem] }),
    random: AS_IT_IS,
    ...options,
  })
  return { core, host, reader, clock }
}

export function hostsRoute(
  port: number,
  route: Partial<HostsDestination> = {},
  addresses: readonly string[] = ['127.0.0.1'],
): HostsDestination {
  const hosts = [{ name: 'localhost', port, addresses, preference: 0 }]
  return { kind: 'hosts', protocol: 'smtp', hosts, tls: 'opportunistic', fromMx: false, ...route }
}

export function siteOf(route: Destination, limits: Partial<SiteLimits> = {}): DeliverSite {
  return { key: 'site', route, limits: { ...SITE_LIMITS, ...limits } }
}

export function grantOf(clock: ManualClock, ...ids: number[]): GrantItem[] {
  return ids.map((id) => ({ id, groups: [0], attempt: 1, notAfter: clock.now() + 5000 }))
}

/** `delivered 250 2.0.0 text` and the like, of all recipients of a settlement. */
export function outcomes(settlement: Settlement | undefined): string[] {
  const names = ['delivered', 'deferred', 'bounced']
  const line = (result: RecipientResult): string => `${names[result.outcome]} ${result.code} ${result.enhanced} ${result.text}`
  return (settlement?.results ?? []).map(line)
}
