// Grants: what a connection that asks for work gets, and what becomes of it. Scheduler thread.
//
// Chosen at the last moment: the pull of a connection picks from the ready queues that its source serves, one message at
// slow sites, what it sends in a tenth of a second at fast ones. All groups of a message for the site go in one item.

import type { MessageId } from '../spool/types.ts'
import { close, idle, noLongerIdle, openFor, succeeded, takesWork } from './connect.ts'
import type { Connection, Path, SiteState } from './model.ts'
import { detach, expire, isInFlight, makeDue, place, schedule, takeOff } from './place.ts'
import type { GrantItem, ReturnedItem, ReturnReason } from './ports.ts'
import type { Choice, ReadyQueue } from './ready.ts'
import { NONE } from './rows.ts'
import type { QueueState } from './state.ts'

/** Sites below this many messages a second get one message at a time. */
const FAST_PER_SECOND = 100
/** At faster ones a connection gets what it sends in this time. */
const GRANT_SPAN_S = 0.1
const GRANT_ITEMS_MAX = 64

/** A connection that has `onHand` messages to finish asks for up to `want` items. */
export function pulled<R>(q: QueueState<R>, conn: Connection<R>, want: number, onHand: number): void {
  const { path } = conn
  if (!path || conn.state !== 'up' || want < 1) return
  noLongerIdle(q, conn)
  conn.want = want
  conn.askedAt = q.now
  conn.onHand = onHand
  if (isWorn(conn, path)) close(q, conn)
  else if (!takesWork(q, conn) || !serve(q, conn, path)) idle(q, conn, path)
}

/** It has carried all the messages that one connection may. */
function isWorn<R>(conn: Connection<R>, path: Path<R>): boolean {
  return conn.granted >= path.site.site.limits.messagesPerConnection
}

/** Gives a site's waiting connections work, and opens more when there is work left. */
export function driveSite<R>(q: QueueState<R>, site: SiteState<R>): void {
  const suspension = q.suspension(site)
  if (suspension) {
    if (suspension.until !== Infinity) q.agenda.atMost(site, suspension.until)
    return
  }
  if (site.ready === 0) return
  for (const path of site.paths) serveWaiting(q, path)
  for (const queue of site.queues) {
    const next = nextRow(q, queue)
    if (next.kind === 'row') openFor(q, site, queue)
    else if (next.kind === 'sleep') q.agenda.atMost(site, next.until)
  }
}

function serveWaiting<R>(q: QueueState<R>, path: Path<R>): void {
  for (;;) {
    const isDone = (one: Connection<R>): boolean => one.onHand === 0 && takesWork(q, one)
    const conn = path.waiting.findLast(isDone) ?? path.waiting.findLast((one) => takesWork(q, one))
    if (!conn) return
    // Limits may have become smaller since it asked.
    if (isWorn(conn, path)) close(q, conn)
    else if (serve(q, conn, path)) noLongerIdle(q, conn)
    else return
  }
}

/** Grants what there is for the connection now; false when there is nothing. */
function serve<R>(q: QueueState<R>, conn: Connection<R>, path: Path<R>): boolean {
  const { site } = path
  if (site.ready === 0 || q.suspension(site)) return false
  const items = gather(q, conn, path)
  if (items.length === 0) return false
  conn.want = 0
  conn.granted += items.length
  path.speed.add(q.now, items.length)
  site.progressAt = q.now
  q.host.grant(conn.number, items)
  return true
}

function gather<R>(q: QueueState<R>, conn: Connection<R>, path: Path<R>): GrantItem[] {
  const { site } = path
  const items: GrantItem[] = []
  const size = grantSize(q, conn, path)
  const first = site.turn++
  for (let i = 0; i < site.queues.length && items.length < size; i++) {
    const queue = site.queues[(first + i) % site.queues.length] as ReadyQueue
    if (!queue.pool.sources.some((source) => source.name === path.source)) continue
    while (items.length < size) {
      const freeAt = path.messageFreeAt(q.now)
      const next: Choice = freeAt > q.now ? { kind: 'sleep', until: freeAt } : nextRow(q, queue)
      if (next.kind === 'sleep') q.agenda.atMost(site, next.until)
      if (next.kind !== 'row') break
      items.push(takeItem(q, conn, path, queue, next.row))
    }
  }
  return items
}

function grantSize<R>(q: QueueState<R>, conn: Connection<R>, path: Path<R>): number {
  const fast = path.speed.perSecond(q.now) >= FAST_PER_SECOND
  const size = fast ? Math.min(Math.max(Math.ceil(conn.speed.perSecond(q.now) * GRANT_SPAN_S), 1), GRANT_ITEMS_MAX) : 1
  return Math.min(size, conn.want, path.site.site.limits.messagesPerConnection - conn.granted)
}

/**
 * The queue's next row that may go out. Rows past their time are given up on the way, and those whose route ran out
 * go back to their domain, which is asked about again.
 */
function nextRow<R>(q: QueueState<R>, queue: ReadyQueue): Choice {
  for (;;) {
    const choice = queue.choose(q.now)
    if (choice.kind !== 'row') return choice
    const { row } = choice
    if ((q.rows.expires[row] as number) <= q.tick) expire(q, row)
    else if (q.routed(q.domainOf(row))) return choice
    else {
      detach(q, row)
      makeDue(q, row, false)
    }
  }
}

/** A row and those behind it that are the same message at the same attempt: one transaction. */
function takeItem<R>(q: QueueState<R>, conn: Connection<R>, path: Path<R>, queue: ReadyQueue, first: number): GrantItem {
  const { rows } = q
  const id = rows.id[first] as MessageId
  const attempts = rows.attempts[first] as number
  const room = path.site.site.limits.recipientsPerTransaction
  const groups: number[] = []
  let recipients = 0
  let row = first
  for (;;) {
    const next = rows.next[row] as number
    recipients += rows.recipients[row] as number
    groups.push(rows.group[row] as number)
    queue.take(row, q.tenantOf(row), q.settings.transactionalShare)
    takeOff(q, row, conn)
    if (next === NONE || rows.id[next] !== id || rows.attempts[next] !== attempts) break
    if (recipients + (rows.recipients[next] as number) > room || !goesAlong(q, next)) break
    row = next
  }
  path.messageGranted(q.now)
  q.tenantOf(first).sent(q.now)
  return { id, groups, attempt: attempts + 1, notAfter: q.now + q.settings.grantSlotMs }
}

function goesAlong<R>(q: QueueState<R>, row: number): boolean {
  return q.routed(q.domainOf(row)) && (q.rows.expires[row] as number) > q.tick
}

/** Unused items come back: to the head of their queues in the order they had, or later when this side failed. */
export function giveBack<R>(q: QueueState<R>, number: number, items: readonly ReturnedItem[], reason: ReturnReason): void {
  const conn = q.connections.get(number)
  if (conn) conn.granted -= Math.min(items.length, conn.granted)
  for (let i = items.length - 1; i >= 0; i--) {
    const { id, groups } = items[i] as ReturnedItem
    for (let j = groups.length - 1; j >= 0; j--) giveBackGroup(q, number, id, groups[j] as number, reason)
  }
}

function giveBackGroup<R>(q: QueueState<R>, number: number, id: MessageId, group: number, reason: ReturnReason): void {
  const row = q.rows.find(id, group)
  if (row === NONE) {
    disinherit(q, id, group)
    return
  }
  if (!isInFlight(q, row)) return
  const holder = q.connections.get(q.rows.prev[row] as number)
  // Of an earlier scheduler's connections only the thread is known.
  if (holder && holder.number !== number && holder.path) return
  const facts = q.announced.get(row)
  detach(q, row)
  if (facts?.held) place(q, row, facts)
  else if (reason === 'error') postpone(q, row, q.settings.errorDelayMs)
  else makeDue(q, row, true)
}

/** A detached row is due again after `delayMs`. */
export function postpone<R>(q: QueueState<R>, row: number, delayMs: number): void {
  q.rows.due[row] = q.ticks.from(q.now + delayMs)
  schedule(q, row)
}

/** Nothing of this group is held any more; it was never announced. */
export function disinherit<R>(q: QueueState<R>, id: MessageId, group: number): void {
  const held = q.inherited.get(id)?.filter((entry) => entry.group !== group)
  if (held && held.length > 0) q.inherited.set(id, held)
  else q.inherited.delete(id)
}

/** A row in flight was settled: its connection works, unless it broke off. What that one did before, its end has said. */
export function settledBy<R>(q: QueueState<R>, row: number): void {
  if (!isInFlight(q, row)) return
  const conn = q.connections.get(q.rows.prev[row] as number)
  if (!conn) return
  conn.settled++
  conn.speed.add(q.now, 1)
  if (conn.path && conn.end?.kind !== 'broken') succeeded(q, conn.path)
}
