// The objects of the scheduler: tenants, domains, sites, paths, connections. Data first; what happens to them is told in
// place.ts, route.ts, connect.ts and grant.ts. Scheduler thread.
//
//   row --domain--> Domain --site--> SiteState --(pool)--> ReadyQueue
//                                        \--(source)--> Path --> Connection

import { assert } from '../lib/assert.ts'
import type { QueueClass } from '../spool/types.ts'
import type { Timed } from './agenda.ts'
import type { ConnectionEnd, Rate, Reply, Site, SchedulerSettings, Source, SourcePool, TenantSettings } from './ports.ts'
import { type RateWindow, Speed, windowFor } from './rate.ts'
import type { ReadyQueue } from './ready.ts'
import { NONE, ROW_STATES } from './rows.ts'

export class Tenant {
  readonly name: string
  /** Number in the table of tenants, the value of the rows' column. */
  readonly number: number
  /** Rows in the table. */
  rows = 0
  settings: TenantSettings
  /** Pool by class. */
  #pools: (SourcePool | undefined)[] = []
  #window: RateWindow | undefined

  constructor(name: string, number: number, settings: TenantSettings) {
    this.name = name
    this.number = number
    this.settings = checked(settings)
    this.#window = windowFor(undefined, settings.messageRate)
  }

  /** When this tenant may send its next message: `now` or later. */
  freeAt(now: number): number {
    return this.#window ? this.#window.freeAt(now) : now
  }

  sent(now: number): void {
    this.#window?.take(now)
  }

  idle(now: number): boolean {
    return this.rows === 0 && (this.#window === undefined || this.#window.idle(now))
  }

  pool(cls: QueueClass, settings: SchedulerSettings): SourcePool {
    return (this.#pools[cls] ??= poolNamed(settings, settings.poolOf(this.name, cls)))
  }

  configure(settings: SchedulerSettings): void {
    this.settings = checked(settings.tenant(this.name))
    this.#window = windowFor(this.#window, this.settings.messageRate)
    this.#pools = []
  }
}

/** A weight of 0 would let the rounds go on for ever. */
function checked(settings: TenantSettings): TenantSettings {
  assert(settings.weight >= 0.01 && settings.weight <= 100, 'a weight is 0.01 to 100')
  return settings
}

/** The pool of that name; the first one when there is none, so that no message is stuck for a name. */
export function poolNamed(settings: SchedulerSettings, name: string): SourcePool {
  return settings.pools.find((pool) => pool.name === name) ?? (settings.pools[0] as SourcePool)
}

/** Question to the router: none needed, waiting for its turn, under way. */
export type Question = 'none' | 'wanted' | 'asked'

export class Domain<R> implements Timed {
  readonly kind = 'domain' as const
  readonly name: string
  readonly number: number
  /** Rows in the table, and how many of them in each RowState. */
  rows = 0
  readonly counts: number[] = Array.from({ length: ROW_STATES }, () => 0)
  /** Where the last answer sent it; kept past `routeUntil` for the rows that are ready there. */
  site: SiteState<R> | undefined
  routeUntil = 0
  question: Question = 'none'
  /** After a temporary failure: no question before this. */
  retryAt = 0
  /** What the router said when it last failed. */
  reply: Reply | undefined
  /** Rows in state `routing`. */
  head: number = NONE
  tail: number = NONE
  /** Wakes for `retryAt`. */
  wakeAt: number = Infinity
  agendaPlace = -1

  constructor(name: string, number: number) {
    this.name = name
    this.number = number
  }
}

export class SiteState<R> implements Timed {
  readonly kind = 'site' as const
  readonly key: string
  /** As the router answered last. */
  site: Site<R>
  /** Domains whose `site` this is. */
  domains = 0
  readonly queues: ReadyQueue[] = []
  readonly paths: Path<R>[] = []
  /** In the list of sites to drive. */
  dirty = false
  /** Which queue goes first at the next grant. */
  turn = 0
  /** When a connection last took work, was opened or came up. */
  progressAt = 0
  /** Wakes for the end of a back-off, a rate, a stall. */
  wakeAt: number = Infinity
  agendaPlace = -1

  constructor(site: Site<R>) {
    this.key = site.key
    this.site = site
  }

  get ready(): number {
    let count = 0
    for (const queue of this.queues) count += queue.count
    return count
  }

  get connections(): number {
    let count = 0
    for (const path of this.paths) count += path.connections
    return count
  }

  path(source: Source): Path<R> {
    let path = this.paths.find((candidate) => candidate.source === source.name)
    if (!path) {
      path = new Path(this, source.name)
      this.paths.push(path)
    }
    return path
  }

  update(site: Site<R>): void {
    this.site = site
    for (const path of this.paths) path.configure()
  }
}

/** One source's way to one site: limits and back-off hang here, because that is what the peer sees. */
export class Path<R> {
  readonly site: SiteState<R>
  readonly source: string
  /** Opening, up and closing ones: what the peer may count. */
  connections = 0
  up = 0
  /** Connections that may be open: 1 until the first is up, twice as many as are up then, few again after a failure. */
  window = 1
  /** Connections that asked for work and got none; the last one is served first, so that the others can go. */
  readonly waiting: Connection<R>[] = []
  backoffUntil = 0
  /** Back-offs in a row without a success in between: a message of which the peer said what becomes of it. */
  failures = 0
  /** Connections in a row that broke off in the midst of a transaction, without a success or a back-off in between. */
  broken = 0
  /** When the last of them did. */
  brokenAt = 0
  reply: Reply | undefined
  peer = ''
  connectionWindow: RateWindow | undefined
  messageWindow: RateWindow | undefined
  /** A slower rate that the peer asked for, until `slowUntil`. */
  #slowWindow: RateWindow | undefined
  slowUntil = 0
  readonly speed: Speed = new Speed()

  constructor(site: SiteState<R>, source: string) {
    this.site = site
    this.source = source
    this.configure()
  }

  configure(): void {
    const { limits } = this.site.site
    this.connectionWindow = windowFor(this.connectionWindow, limits.connectionRate)
    this.messageWindow = windowFor(this.messageWindow, limits.messageRate)
  }

  /** When the next message may be granted: `now` or later. */
  messageFreeAt(now: number): number {
    const free = this.messageWindow ? this.messageWindow.freeAt(now) : now
    if (!this.#slowWindow || now >= this.slowUntil) return free
    return Math.max(free, Math.min(this.#slowWindow.freeAt(now), this.slowUntil))
  }

  messageGranted(now: number): void {
    this.messageWindow?.take(now)
    if (this.#slowWindow && now < this.slowUntil) this.#slowWindow.take(now)
  }

  slow(rate: Rate, until: number): void {
    this.#slowWindow = windowFor(this.#slowWindow, rate)
    this.slowUntil = until
  }

  /** Nothing of it would be missed: failures are remembered for another `memoryMs` after the last back-off. */
  idle(now: number, memoryMs: number): boolean {
    if (this.site.ready > 0 || this.connections > 0 || this.slowUntil > now) return false
    if (this.backoffUntil + memoryMs > now) return false
    return (this.connectionWindow?.idle(now) ?? true) && (this.messageWindow?.idle(now) ?? true)
  }
}

export class Connection<R> implements Timed {
  readonly kind = 'connection' as const
  readonly number: number
  /** Index of the deliver thread. */
  readonly thread: number
  /** Undefined for what a deliver thread held before this scheduler started. */
  readonly path: Path<R> | undefined
  state: 'opening' | 'up' | 'closing' | 'down' = 'opening'
  /** How it ended, once `down`. */
  end: ConnectionEnd | undefined
  /** Items of the pull that was not answered yet, when it asked, and the messages that it had not finished then. */
  want = 0
  askedAt = 0
  onHand = 0
  /** Messages granted in its life. */
  granted = 0
  /** Rows granted and neither settled nor returned; it is forgotten when it is down and this is 0. */
  inFlight = 0
  /** Rows settled in its life. */
  settled = 0
  /** Rows settled a second: what it really sends. */
  readonly speed: Speed = new Speed()
  /** Wakes when it was idle for too long. */
  wakeAt: number = Infinity
  agendaPlace = -1

  constructor(number: number, thread: number, path: Path<R> | undefined) {
    this.number = number
    this.thread = thread
    this.path = path
  }
}

/** Least pause between two scans of the spool. */
export const SCAN_PAUSE_MS = 1_000

/** What of the queue has no row here; see backlog.ts. */
export class Backlog implements Timed {
  readonly kind = 'backlog' as const
  wakeAt: number = Infinity
  agendaPlace = -1
  /** Groups are in the spool that have no row here. */
  absent = false
  scanning = false
  /** Table size at which it is trimmed next. */
  trimAt: number
  /** Rows that each queue may have, while a scan runs. */
  level = 0
  /** Rows of each queue, while a scan runs. */
  counts: Map<number, number> = new Map()
  /** Something was left out since the last scan began. */
  missed = false
  /** When the first of what was left out has its time, ms since 1970. */
  nextAt: number = Infinity
  /** Queues with due rows left out: so many of their rows must go before the rest is fetched. */
  readonly short: Map<number, number> = new Map()
  wanted = false
  beganAt = 0
  endedAt = 0
  pauseMs: number = SCAN_PAUSE_MS

  constructor(limit: number) {
    this.trimAt = limit
  }
}
