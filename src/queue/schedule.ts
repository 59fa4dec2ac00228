// The scheduler: the one place that decides what goes next. One scheduler thread, no I/O; time, chance and the other
// threads are ports, so that a seed replays a week.
//
// Batches come in (rows of owners, pulls of deliver threads, answers of the router), and each call ends with `#flush`:
// sites that got work, connections or time are driven, and what owners shall do goes out in batches. Two queues
// (scheduled by time, ready by pool and site), between them the domain that waits for its route:
//
//   announce -> timeline -> (due) -> domain -> (route) -> ready queue -> (pull) -> grant -> settled
//
// The data stands in rows.ts and model.ts, every change of a row's state in place.ts.

import { assert, unreachable } from '../lib/assert.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import { shardOf } from '../spool/ids.ts'
import type { MessageId, QueueRow, Settled } from '../spool/types.ts'
import { beginScan, endScan, isLeftOut, makeRoom, rowWent } from './backlog.ts'
import { connectionIsDown, connectionIsUp, drop, nextStarved, onConnectionTime, release, wakeSite } from './connect.ts'
import { absentBinding, explanationOf, pageOfRows, summarise, viewOf } from './explain.ts'
import { driveSite, disinherit, giveBack, postpone, pulled, settledBy } from './grant.ts'
import { cleanUp } from './janitor.ts'
import type { Connection, SiteState } from './model.ts'
import { addRow, detach, forget, isInFlight, onRowTime, place, setState, takeOff, writeFacts } from './place.ts'
import type {
  Binding,
  ConnectionEnd,
  GroupExplanation,
  ReturnedItem,
  ReturnReason,
  RouteAnswer,
  RowFilter,
  RowPage,
  RowRef,
  RowView,
  SchedulerHost,
  SchedulerSettings,
  SiteSummary,
} from './ports.ts'
import { askAgain, askRoutes } from './route-questions.ts'
import { forgetRoutes, onDomainTime, routeAnswered, wakeDomain } from './route.ts'
import { NONE, RowState } from './rows.ts'
import { checkSettings, DEFAULT_SETTINGS, reconfigure } from './settings.ts'
import { Outbox, QueueState } from './state.ts'

/** Rows in one page of `rows`. */
const PAGE_ROWS = 1000

export class Scheduler<Route = unknown> {
  readonly #clock: Clock
  readonly #q: QueueState<Route>
  /** In a call: the host must not call back. */
  #busy = false

  constructor(host: SchedulerHost<Route>, clock: Clock, random: Random, settings: Partial<SchedulerSettings> = {}) {
    this.#clock = clock
    const complete = { ...DEFAULT_SETTINGS, ...settings }
    checkSettings(complete)
    this.#q = new QueueState(host, clock, random, complete)
  }

  /** Rows in memory: all there are, unless `isPaging`. */
  get residentCount(): number {
    return this.#q.rows.count
  }

  /** Whether groups are in the spool that have no row here. */
  get isPaging(): boolean {
    return this.#q.backlog.absent
  }

  /**
   * Groups that an owner has committed, or whose due time, hold or route was changed by an operator. Known ones are
   * updated, those in flight when they come back unsettled, those about to leave not at all. Ready rows keep the order
   * that they are announced in, so a rescan goes by due time.
   */
  announce(rows: readonly QueueRow[]): void {
    this.#enter()
    for (const facts of rows) this.#announceRow(facts)
    this.#leave()
  }

  /**
   * Groups that a scan found, as they are on disk now: when an owner or the scheduler starts, and after the host was
   * asked to `scan`. Rows that are here keep their place; what has no room is left to the next scan.
   */
  page(rows: readonly QueueRow[]): void {
    this.#enter()
    for (const facts of rows) this.#pageRow(facts)
    this.#leave()
  }

  /** The scan that the host was asked for is over; not `complete` when an owner died on the way. */
  scanned(complete: boolean): void {
    this.#enter()
    endScan(this.#q, complete)
    this.#leave()
  }

  /** What owners have committed: gone, to be tried again, or changed as by `announce`. */
  settled(items: readonly Settled[]): void {
    this.#enter()
    for (const item of items) {
      if (item.kind === 'gone') this.#gone(item.id, item.group)
      else if (item.kind === 'rescheduled') this.#rescheduled(item.row)
      else this.#announceRow(item.row)
    }
    this.#leave()
  }

  routeAnswer(domain: string, answer: RouteAnswer<Route>): void {
    this.#enter()
    routeAnswered(this.#q, domain, answer)
    this.#leave()
  }

  /** The connection is ready for its first MAIL. Unknown numbers, here and below, are an earlier scheduler's. */
  connectionUp(conn: number): void {
    this.#enter()
    const connection = this.#q.connections.get(conn)
    if (connection) connectionIsUp(this.#q, connection)
    this.#leave()
  }

  /**
   * The connection can take up to `want` items: granted now or when there is work; after a while it is closed. `onHand`
   * is the number of messages that it has not finished. Who asks ahead says so, and asks again when it is done with them.
   */
  pull(conn: number, want: number, onHand = 0): void {
    this.#enter()
    const connection = this.#q.connections.get(conn)
    if (connection) pulled(this.#q, connection, want, onHand)
    this.#leave()
  }

  returned(conn: number, items: readonly ReturnedItem[], reason: ReturnReason): void {
    this.#enter()
    giveBack(this.#q, conn, items, reason)
    this.#leave()
  }

  /** What it still holds must be returned or settled as well. */
  connectionDown(conn: number, end: ConnectionEnd): void {
    this.#enter()
    const connection = this.#q.connections.get(conn)
    if (connection?.path) connectionIsDown(this.#q, connection, end)
    this.#leave()
  }

  /** At the start only after every deliver thread said by `inFlight` what it holds: nothing is granted before. */
  deliverThreadUp(index: number): void {
    this.#enter()
    this.#q.thread(index).up = true
    this.#driveAll()
    this.#leave()
  }

  /** A thread that is `behind` gets no work until it is not: what it has delivered waits for the owners' commits. */
  deliverThreadBehind(index: number, behind: boolean): void {
    this.#enter()
    this.#q.thread(index).behind = behind
    if (!behind) this.#driveAll()
    this.#leave()
  }

  /** Its connections are gone and its grants return, after a pause for settlements that are under way. */
  deliverThreadDown(index: number): void {
    this.#enter()
    const q = this.#q
    q.thread(index).up = false
    q.thread(index).behind = false
    for (const conn of q.connections.values()) if (conn.thread === index) drop(q, conn)
    this.#eachRow((row) => {
      if (isInFlight(q, row) && this.#threadOf(row) === index) this.#bringBack(row)
    })
    for (const conn of q.connections.values()) if (conn.thread === index) release(q, conn)
    for (const [id, groups] of q.inherited) {
      for (const held of groups) if (held.thread === index) disinherit(q, id, held.group)
    }
    askAgain(q)
    this.#leave()
  }

  /**
   * The owner of these shards died. Its rows are forgotten until it announces them again, those in flight stay and are
   * orphaned: a settlement may be lost. The host then asks each deliver thread what it holds and says it by `inFlight`.
   */
  ownerDown(shards: readonly number[]): void {
    this.#enter()
    const q = this.#q
    const lost = new Set(shards)
    this.#eachRow((row) => {
      if (!lost.has(shardOf(q.rows.id[row] as MessageId))) return
      if (isInFlight(q, row)) {
        // What the dead owner said may be outdated.
        q.announced.delete(row)
        setState(q, row, RowState.orphaned)
      } else forget(q, row)
    })
    this.#leave()
  }

  /**
   * What a deliver thread holds: at the start, and after `ownerDown`. Orphaned rows that it does not hold are the
   * owner's again: due once it announced them, else forgotten until it does.
   */
  inFlight(deliverThread: number, items: readonly RowRef[]): void {
    this.#enter()
    const q = this.#q
    const { inherited } = q.thread(deliverThread)
    for (const item of items) this.#holds(inherited, item)
    this.#eachRow((row) => {
      if (q.rows.state[row] === RowState.orphaned && this.#threadOf(row) === deliverThread) this.#bringBack(row)
    })
    this.#leave()
  }

  /** Does what is due, a bounded amount of it: ask `nextTickAt` again afterwards, as after every other call. */
  tick(): void {
    this.#enter()
    const q = this.#q
    const reached = q.tick
    for (let n = 0; n < q.settings.rowsPerTick && q.timeline.firstTick <= reached; n++) onRowTime(q, q.timeline.firstRow)
    for (let alarm = q.agenda.due(q.now); alarm; alarm = q.agenda.due(q.now)) {
      switch (alarm.kind) {
        case 'site':
          q.drive(alarm)
          break
        case 'domain':
          onDomainTime(q, alarm)
          break
        case 'connection':
          onConnectionTime(q, alarm)
          break
        case 'janitor':
          cleanUp(q)
          break
        case 'backlog':
          beginScan(q)
          break
        default:
          unreachable(alarm)
      }
    }
    this.#leave()
  }

  /** When `tick` has something to do, ms since 1970; Infinity when nothing is planned. May be in the past. */
  nextTickAt(): number {
    const { timeline, agenda, ticks } = this.#q
    return Math.min(timeline.firstTick === Infinity ? Infinity : ticks.ms(timeline.firstTick), agenda.nextAt)
  }

  /** Nothing is granted to the site or provider before `until` (Infinity: until `wake`), whether it is known or not. */
  suspend(name: string, until: number, reason: string): void {
    this.#enter()
    this.#q.suspensions.set(name, { until, reason })
    for (const site of this.#sitesNamed(name)) this.#q.drive(site)
    this.#leave()
  }

  /** An operator wants a site, a provider or a domain tried now: suspension, back-off and waiting for DNS end. */
  wake(name: string): void {
    this.#enter()
    const q = this.#q
    q.suspensions.delete(name)
    const domain = q.domains.find(name)
    if (domain) wakeDomain(q, domain)
    if (domain?.site) wakeSite(q, domain.site)
    for (const site of this.#sitesNamed(name)) wakeSite(q, site)
    this.#leave()
  }

  /** New settings; routes are asked for again, because limits may have changed with them. */
  configure(settings: Partial<SchedulerSettings>): void {
    this.#enter()
    reconfigure(this.#q, { ...DEFAULT_SETTINGS, ...settings })
    forgetRoutes(this.#q)
    this.#driveAll()
    this.#leave()
  }

  /** A deliver thread has new routes. */
  routesChanged(): void {
    this.#enter()
    forgetRoutes(this.#q)
    this.#driveAll()
    this.#leave()
  }

  /** One entry a site, and one with site '' for the domains without a route. */
  summary(): SiteSummary[] {
    this.#q.now = this.#clock.now()
    return summarise(this.#q)
  }

  /** Rows from a cursor on, page by page, so that a long list does not stop the mail. */
  rows(filter: RowFilter, cursor = 0, max: number = PAGE_ROWS): RowPage {
    return pageOfRows(this.#q, filter, cursor, max)
  }

  /** What is known of these groups, in their order. */
  view(refs: readonly RowRef[]): (RowView | undefined)[] {
    return this.#each(refs, (row) => viewOf(this.#q, row))
  }

  /** Where mail for this domain goes, '' while that is not known. */
  siteOf(domain: string): string {
    return this.#q.domains.find(domain)?.site?.key ?? ''
  }

  /** Why these groups do not move now, in their order; undefined for those that are not here. */
  explain(refs: readonly RowRef[]): (GroupExplanation | undefined)[] {
    return this.#each(refs, (row) => explanationOf(this.#q, row))
  }

  /** Why a group that the spool has is not here, undefined when all are. */
  explainAbsent(): Binding | undefined {
    return absentBinding(this.#q)
  }

  #each<T>(refs: readonly RowRef[], tell: (row: number) => T): (T | undefined)[] {
    this.#q.now = this.#clock.now()
    return refs.map(({ id, group }) => {
      const row = this.#q.rows.find(id, group)
      return row === NONE ? undefined : tell(row)
    })
  }

  #announceRow(facts: QueueRow): void {
    const q = this.#q
    const row = q.rows.find(facts.id, facts.group)
    if (row === NONE) {
      this.#insert(facts)
      return
    }
    if (q.rows.state[row] === RowState.leaving) return
    if (isInFlight(q, row)) {
      q.announced.set(row, facts)
      return
    }
    detach(q, row)
    place(q, row, facts)
  }

  #pageRow(facts: QueueRow): void {
    const q = this.#q
    const row = q.rows.find(facts.id, facts.group)
    if (row !== NONE) {
      if (isInFlight(q, row)) q.announced.set(row, facts)
    } else if (q.inherited.has(facts.id) || !isLeftOut(q, facts)) this.#insert(facts)
  }

  #insert(facts: QueueRow): void {
    const q = this.#q
    if (q.rows.count >= q.backlog.trimAt) makeRoom(q)
    const row = addRow(q, facts)
    const held = q.inherited.size === 0 ? undefined : q.inherited.get(facts.id)?.find(({ group }) => group === facts.group)
    if (!held) {
      place(q, row, facts)
      return
    }
    disinherit(q, facts.id, facts.group)
    writeFacts(q, row, facts)
    takeOff(q, row, q.thread(held.thread).inherited)
  }

  #gone(id: MessageId, group: number): void {
    const q = this.#q
    const row = q.rows.find(id, group)
    if (row === NONE) {
      disinherit(q, id, group)
      return
    }
    settledBy(q, row)
    rowWent(q, row)
    forget(q, row)
  }

  #rescheduled(facts: QueueRow): void {
    const q = this.#q
    const row = q.rows.find(facts.id, facts.group)
    if (row === NONE) {
      disinherit(q, facts.id, facts.group)
      this.#insert(facts)
      return
    }
    settledBy(q, row)
    rowWent(q, row)
    detach(q, row)
    place(q, row, facts)
  }

  /** A deliver thread holds this group. */
  #holds(inherited: Connection<Route>, item: RowRef): void {
    const q = this.#q
    const row = q.rows.find(item.id, item.group)
    if (row === NONE) {
      disinherit(q, item.id, item.group)
      q.inherited.set(item.id, [...(q.inherited.get(item.id) ?? []), { group: item.group, thread: inherited.thread }])
      return
    }
    const state = q.rows.state[row]
    if (state === RowState.orphaned) {
      setState(q, row, RowState.inFlight)
    } else if (state !== RowState.inFlight && state !== RowState.leaving) {
      detach(q, row)
      takeOff(q, row, inherited)
    }
  }

  /** A row in flight that nobody holds any more. */
  #bringBack(row: number): void {
    const q = this.#q
    const orphaned = q.rows.state[row] === RowState.orphaned
    const facts = q.announced.get(row)
    detach(q, row)
    if (orphaned && !facts) forget(q, row)
    else if (facts && (orphaned || facts.held)) place(q, row, facts)
    else postpone(q, row, q.settings.settleGraceMs)
  }

  #threadOf(row: number): number | undefined {
    return this.#q.connections.get(this.#q.rows.prev[row] as number)?.thread
  }

  #eachRow(visit: (row: number) => void): void {
    const { rows } = this.#q
    for (let row = 0; row < rows.end; row++) if (rows.state[row] !== RowState.free) visit(row)
  }

  /** The site of that key, or all of that provider. */
  #sitesNamed(name: string): SiteState<Route>[] {
    return [...this.#q.sites.values()].filter((site) => site.key === name || site.site.provider === name)
  }

  #driveAll(): void {
    for (const site of this.#q.sites.values()) if (site.ready > 0) this.#q.drive(site)
  }

  #enter(): void {
    assert(!this.#busy, 'the host called the scheduler back')
    this.#busy = true
    this.#q.now = this.#clock.now()
  }

  #leave(): void {
    this.#flush()
    this.#busy = false
  }

  #flush(): void {
    const q = this.#q
    // Who waits for a place comes before the site that has just left one.
    const next = (): SiteState<Route> | undefined => nextStarved(q) ?? q.dirty.pop()
    for (let site = next(); site; site = next()) this.#driveOne(site)
    askRoutes(q)
    const { expired, warned, bounced } = q.outbox
    if (expired.length + warned.length + bounced.length === 0) return
    q.outbox = new Outbox()
    if (expired.length > 0) q.host.expire(expired)
    if (warned.length > 0) q.host.warn(warned)
    for (const { rows, reply } of bounced) q.host.bounce(rows, reply)
  }

  #driveOne(site: SiteState<Route>): void {
    site.dirty = false
    driveSite(this.#q, site)
  }
}
