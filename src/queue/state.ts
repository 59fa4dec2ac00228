// Everything the scheduler knows, in one place; the steps in place.ts, route.ts, connect.ts and grant.ts work on it.
// Scheduler thread. Invariants: a row is in exactly one list (RowState), a domain's and a site's counts are sums over
// rows and connections, and a connection is in `connections` until it is down and nothing of it is in flight.

import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import type { MessageId, QueueRow } from '../spool/types.ts'
import { Agenda, type Timed } from './agenda.ts'
import { Interned } from './interned.ts'
import { Backlog, Connection, Domain, type SiteState, Tenant } from './model.ts'
import type { BlockedRow, Reply, RowRef, SchedulerHost, SchedulerSettings } from './ports.ts'
import { RowTable } from './rows.ts'
import { Ticks, Timeline } from './timeline.ts'

/** Domains that are kept for their route's sake alone. */
export const IDLE_DOMAINS_MAX = 10_000
/** How often what is no longer needed is forgotten. */
const JANITOR_MS = 60_000
const CONNECTION_NUMBER_END = 0x7fff_ffff

export interface DeliverThread<R> {
  readonly index: number
  up: boolean
  /** It has so many outcomes that their owners have not written down that it gets no more work. */
  behind: boolean
  /** Connections that are not down. */
  connections: number
  /** Stands for all that the thread held before this scheduler started. */
  readonly inherited: Connection<R>
}

export interface Suspension {
  readonly until: number
  readonly reason: string
}

/** Forgets domains, sites and tenants that nobody needs. */
export interface Janitor extends Timed {
  readonly kind: 'janitor'
}

export type Alarm<R> = SiteState<R> | Domain<R> | Connection<R> | Janitor | Backlog

/** A held grant of a group that was not announced yet. */
export interface InheritedGroup {
  readonly group: number
  readonly thread: number
}

/** What goes to the host at the end of a call, in batches. */
export class Outbox {
  expired: BlockedRow[] = []
  warned: BlockedRow[] = []
  bounced: { rows: RowRef[]; reply: Reply }[] = []
}

export class QueueState<R> {
  readonly host: SchedulerHost<R>
  readonly random: Random
  settings: SchedulerSettings
  /** Time of the call being served. */
  now: number

  readonly rows: RowTable = new RowTable()
  readonly timeline: Timeline = new Timeline()
  readonly ticks: Ticks
  readonly agenda: Agenda<Alarm<R>> = new Agenda<Alarm<R>>()
  /** What the owners have beyond these rows. */
  readonly backlog: Backlog
  readonly janitor: Janitor = { kind: 'janitor', wakeAt: Infinity, agendaPlace: -1 }

  readonly domains: Interned<Domain<R>> = new Interned<Domain<R>>((name, number) => new Domain(name, number))
  readonly tenants: Interned<Tenant>
  readonly sites: Map<string, SiteState<R>> = new Map()
  readonly connections: Map<number, Connection<R>> = new Map()
  readonly threads: Map<number, DeliverThread<R>> = new Map()
  readonly suspensions: Map<string, Suspension> = new Map()

  /** Domains without rows whose route is still good. */
  readonly idleDomains: Set<Domain<R>> = new Set()
  /** Domains whose question waits for its turn, and those asked. */
  readonly wanted: Set<Domain<R>> = new Set()
  readonly asked: Set<Domain<R>> = new Set()
  /** Connections without work, the longest idle first. */
  readonly idleConnections: Set<Connection<R>> = new Set()
  /** Sites that may not open a connection because of `connectionsTotal`. */
  readonly starved: Set<SiteState<R>> = new Set()
  /** Connections over all threads that are not down. */
  openConnections = 0

  /** What deliver threads hold of groups that are not announced yet. */
  readonly inherited: Map<MessageId, InheritedGroup[]> = new Map()
  /** What owners announced of rows in flight: it holds when such a row comes back unsettled. */
  readonly announced: Map<number, QueueRow> = new Map()

  dirty: SiteState<R>[] = []
  outbox: Outbox = new Outbox()
  #lastConnection: number

  constructor(host: SchedulerHost<R>, clock: Clock, random: Random, settings: SchedulerSettings) {
    this.host = host
    this.random = random
    this.settings = settings
    this.backlog = new Backlog(settings.residentEntries)
    this.now = clock.now()
    this.ticks = new Ticks(this.now)
    this.tenants = new Interned<Tenant>((name, number) => new Tenant(name, number, this.settings.tenant(name)))
    // Not from 1, so that a number of an earlier scheduler hardly ever means one of ours.
    this.#lastConnection = random.below(CONNECTION_NUMBER_END - 1)
  }

  /** The last tick that has begun. */
  get tick(): number {
    return this.ticks.reached(this.now)
  }

  connectionNumber(): number {
    do this.#lastConnection = (this.#lastConnection % (CONNECTION_NUMBER_END - 1)) + 1
    while (this.connections.has(this.#lastConnection))
    return this.#lastConnection
  }

  /** The thread, known from the first time it is named. */
  thread(index: number): DeliverThread<R> {
    let thread = this.threads.get(index)
    if (!thread) {
      const inherited = new Connection<R>(this.connectionNumber(), index, undefined)
      inherited.state = 'up'
      thread = { index, up: false, behind: false, connections: 0, inherited }
      this.threads.set(index, thread)
      this.connections.set(inherited.number, inherited)
    }
    return thread
  }

  threadsUp(): DeliverThread<R>[] {
    return [...this.threads.values()].filter((thread) => thread.up)
  }

  /** The site is looked at before the call ends: it got work, a connection, or time. */
  drive(site: SiteState<R>): void {
    if (site.dirty) return
    site.dirty = true
    this.dirty.push(site)
  }

  domainOf(row: number): Domain<R> {
    return this.domains.at(this.rows.domain[row] as number)
  }

  tenantOf(row: number): Tenant {
    return this.tenants.at(this.rows.tenant[row] as number)
  }

  routed(domain: Domain<R>): boolean {
    return domain.site !== undefined && domain.routeUntil > this.now
  }

  suspension(site: SiteState<R>): Suspension | undefined {
    if (this.suspensions.size === 0) return undefined
    const suspension = this.suspensions.get(site.key) ?? this.suspensions.get(site.site.provider ?? '')
    return suspension && suspension.until > this.now ? suspension : undefined
  }

  planJanitor(): void {
    this.agenda.atMost(this.janitor, this.now + JANITOR_MS)
  }
}
