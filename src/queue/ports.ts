// What the scheduler says and hears: its host (the scheduler thread), sites, limits, answers, views. Types only.
//
// Times are ms since 1970, durations ms. Host calls are made synchronously and must not call the scheduler back.

import type { MessageId, QueueClass } from '../spool/types.ts'

/** One group of one message: what a row stands for. */
export interface RowRef {
  readonly id: MessageId
  readonly group: number
}

/** A reply of a peer, or our own words when there was none (`code` 0). Never longer than limits.replyTextBytes. */
export interface Reply {
  readonly code: number
  /** Enhanced status `4.4.1`, '' when none. */
  readonly enhanced: string
  readonly text: string
}

/**
 * A row that did not move because its site or domain did not: what the peer or the resolver said last.
 * `reply` is undefined when the row's own last reply (or nothing) is all there is to tell.
 */
export interface BlockedRow extends RowRef {
  readonly reply: Reply | undefined
  /** `host[address]:port`, '' when no connection was made. */
  readonly peer: string
}

/** One transaction to make: a message and those of its groups that go to this site. */
export interface GrantItem {
  readonly id: MessageId
  readonly groups: number[]
  /** Number of this attempt, from 1. */
  readonly attempt: number
  /** The grant must be returned when MAIL was not sent by then. */
  readonly notAfter: number
}

/** Items of a grant that come back unused. */
export interface ReturnedItem {
  readonly id: MessageId
  readonly groups: readonly number[]
}

/**
 * Why items come back: `unused` (slot over, connection lost before MAIL): they go back to the head of their queue.
 * `error`: this side could not try (body unreadable): they wait `errorDelayMs`, so that nothing spins.
 */
export type ReturnReason = 'unused' | 'error'

/** At most `count` in any span of `periodMs`. */
export interface Rate {
  readonly count: number
  readonly periodMs: number
}

/** What a reply of a provider asks for: when a refusal contains `text`, pause, or send slower for `forMs`. */
export interface Reaction {
  readonly text: string
  readonly pauseMs?: number
  readonly messageRate?: Rate
  readonly forMs?: number
}

/** Limits of one (source, site). `origins` names where each came from, for `explain`. See shaping.ts. */
export interface SiteLimits {
  readonly connections: number
  readonly messagesPerConnection: number
  readonly recipientsPerTransaction: number
  readonly connectionRate: Rate | undefined
  readonly messageRate: Rate | undefined
  /** An unused connection is closed after this long. */
  readonly idleReuseMs: number
  /** Whether the peer must be reached over TLS; the deliver thread keeps it. */
  readonly tlsRequired: boolean
  readonly reactions: readonly Reaction[]
  readonly origins: Readonly<Partial<Record<string, string>>>
}

/** A destination whose domains share limits: a provider, a set of MX hosts, or a static route. `Route` is the deliver thread's own. */
export interface Site<Route = unknown> {
  /** Stable name: the static URL, the provider, or the name of the MX set. */
  readonly key: string
  /** Whose hosts these are: suspensions may name it. Absent or '' when nobody's in particular. */
  readonly provider?: string
  readonly limits: SiteLimits
  readonly route: Route
}

export type RouteAnswer<Route = unknown> =
  | { readonly kind: 'site'; readonly site: Site<Route>; readonly ttlMs: number }
  /** No such domain, null MX, loop: the waiting messages bounce. */
  | { readonly kind: 'permanent'; readonly reply: Reply }
  | { readonly kind: 'temporary'; readonly reply: Reply; readonly retryMs: number }

/**
 * How a connection ended. `failed`: it never came up. `throttled`: refused, bad banner, or 421 before the first MAIL. Both
 * back off the (source, site). `broken`: lost, 421 or nonsense in the midst of a transaction: the message is deferred,
 * and only several in a row back off. `closed`: by us, or by the peer when that harmed no message.
 */
export interface ConnectionEnd {
  readonly kind: 'failed' | 'throttled' | 'broken' | 'closed'
  readonly reply: Reply
  readonly peer: string
  /** Messages of which a transaction was completed on it. */
  readonly messages: number
}

/** The one record of a back-off: for the log and the events. */
export interface BackoffRecord {
  readonly site: string
  readonly source: string
  readonly until: number
  /** Failures in a row, this one included. */
  readonly failures: number
  readonly reply: Reply
  readonly peer: string
  /** Rows that wait for this site now. */
  readonly ready: number
}

/** The scheduler's thread. Calls are synchronous and must not call the scheduler back. */
export interface SchedulerHost<Route = unknown> {
  /** Ask a deliver thread's router; `routeAnswer` follows. One question in flight a domain. */
  askRoute(domain: string): void
  /** `connectionUp` or `connectionDown` follows. `conn` is chosen by the scheduler and unique. */
  openConnection(conn: number, deliverThread: number, site: Site<Route>, source: string): void
  /** The answer to a `pull`. */
  grant(conn: number, items: readonly GrantItem[]): void
  /** The connection shall QUIT; `connectionDown` follows. */
  closeConnection(conn: number): void
  /** Past their time: the owner bounces them (DSN) and answers by `settled`. */
  expire(rows: readonly BlockedRow[]): void
  /** Their DELAY notification is due; the rows stay where they are. */
  warn(rows: readonly BlockedRow[]): void
  /** Their domain has no route: the owner bounces them with this reply and answers by `settled`. */
  bounce(rows: readonly RowRef[], reply: Reply): void
  backedOff(record: BackoffRecord): void
  /** Have every owner tell all of its groups again, by `page`; `scanned` follows. */
  scan(): void
}

/** A source: a local address or proxy with its EHLO name, known to the deliver thread by name. */
export interface Source {
  readonly name: string
  /** Share of connections among the pool's sources, above 0. */
  readonly weight: number
}

export interface SourcePool {
  readonly name: string
  readonly sources: readonly Source[]
}

export interface TenantSettings {
  /** Share among the tenants of one class, 0.01 to 100. */
  readonly weight: number
  /** Messages over all sites, undefined when unlimited. */
  readonly messageRate: Rate | undefined
}

export interface SchedulerSettings {
  /** Share of the transactional class when bulk waits too, 0.5 to 0.99: the rest is bulk's minimum. */
  readonly transactionalShare: number
  readonly grantSlotMs: number
  /** Ready rows that justify one connection. */
  readonly rowsPerConnection: number
  /** When no connection of a site took work for this long, one more is opened within the limits. */
  readonly stallMs: number
  /** The first pause of a path, doubled up to the longest; shorter where no connection came up: a server restarts. */
  readonly backoff: { readonly firstMs: number; readonly unreachedFirstMs: number; readonly maxMs: number }
  /** Connections over all sites. */
  readonly connectionsTotal: number
  /** Questions to the router in flight over all domains. */
  readonly routeQuestions: number
  /** Grants of a dead deliver thread wait this long for settlements under way. */
  readonly settleGraceMs: number
  /** Items returned with `error` wait this long. */
  readonly errorDelayMs: number
  /** Rows in memory. What is beyond stays in the spool and is read again when there is room; see backlog.ts. */
  readonly residentEntries: number
  /** Rows that one `tick` handles before it returns. */
  readonly rowsPerTick: number
  readonly pools: readonly SourcePool[]
  /** Name of the pool that a tenant's class leaves from. */
  readonly poolOf: (tenant: string, cls: QueueClass) => string
  readonly tenant: (name: string) => TenantSettings
}

export type RowStateName = 'held' | 'scheduled' | 'routing' | 'ready' | 'inFlight' | 'leaving'

/** A row as `queue list` shows it; the spool's record has the rest. */
export interface RowView extends RowRef {
  readonly domain: string
  readonly tenant: string
  readonly class: QueueClass
  /** '' until the route is known. */
  readonly site: string
  readonly state: RowStateName
  readonly attempts: number
  /** ms since 1970: when it is due, or later when its site or domain is not tried before; 0 when no time ends the wait. */
  readonly nextAttempt: number
  /** Last reply of the site or the domain that it waits for; the spool has the row's own. '' when none. */
  readonly lastReply: string
}

/** All given must match; '' of `site` means rows without a route. */
export interface RowFilter {
  readonly site?: string
  readonly domain?: string
  readonly tenant?: string
  readonly class?: QueueClass
  readonly state?: RowStateName
}

export interface RowPage {
  readonly rows: RowView[]
  /** Cursor of the next page, undefined after the last. */
  readonly next: number | undefined
}

/** The one reason why a row does not move now. */
export interface Binding {
  /** What holds it: `held`, `due`, `route`, `suspended`, `deliverThread`, `backoff`, `connections`, `connectionRate`, … */
  readonly limit: string
  /** The limit's value or the time it ends. */
  readonly value: string
  /** Who set it: `operator`, `retry`, `provider google`, the reply. */
  readonly origin: string
}

export interface GroupExplanation extends RowView {
  readonly binding: Binding
}

export interface SiteSummary {
  /** '' for all domains without a route. */
  readonly site: string
  readonly domains: number
  readonly scheduled: number
  readonly routing: number
  readonly ready: number
  readonly inFlight: number
  readonly held: number
  readonly connections: number
  /** 0 when not backed off or suspended. */
  readonly backoffUntil: number
  readonly lastReply: string
}
