// Where rows are and how they get there: every change of RowState is made here. Scheduler thread.
//
//   announce -> scheduled -> due -> routing -> ready -> inFlight -> settled
//                  ^                                       |
//                  +------------- rescheduled -------------+          held and leaving stand aside

import type { QueueRow } from '../spool/types.ts'
import { release, yieldPlace } from './connect.ts'
import type { Connection, Domain, SiteState } from './model.ts'
import type { BlockedRow, RowRef } from './ports.ts'
import { ReadyQueue } from './ready.ts'
import { NONE, RowState } from './rows.ts'
import { IDLE_DOMAINS_MAX, type QueueState } from './state.ts'
import { wantRoute } from './route-questions.ts'
import { TICK_MAX } from './timeline.ts'

/** A new row for a group that is not in the table, in no list yet. */
export function addRow<R>(q: QueueState<R>, facts: QueueRow): number {
  const row = q.rows.add(facts.id, facts.group)
  const domain = q.domains.named(facts.domain)
  const tenant = q.tenants.named(facts.tenant)
  if (domain.rows++ === 0) q.idleDomains.delete(domain)
  if (tenant.rows++ === 0) q.planJanitor()
  domain.counts[RowState.free] = (domain.counts[RowState.free] as number) + 1
  q.rows.domain[row] = domain.number
  q.rows.tenant[row] = tenant.number
  return row
}

/** Takes a row out of the list it is in: its state is `free` until it is placed again. */
export function detach<R>(q: QueueState<R>, row: number): void {
  switch (q.rows.state[row]) {
    case RowState.routing:
      unlinkRouting(q.rows, q.domainOf(row), row)
      break
    case RowState.ready:
      readyQueueOf(q, row).unlink(row, q.tenantOf(row))
      break
    case RowState.inFlight:
    case RowState.orphaned:
      land(q, row)
      break
    default:
  }
  setState(q, row, RowState.free)
}

/** Places a detached row by what its owner says of it. */
export function place<R>(q: QueueState<R>, row: number, facts: QueueRow): void {
  writeFacts(q, row, facts)
  if (facts.held) hold(q, row)
  else if (facts.expires <= q.now) expire(q, row)
  else if (facts.due > q.now) schedule(q, row)
  else makeDue(q, row, false)
}

/** Fills the columns of a row that is in no list or in flight. */
export function writeFacts<R>(q: QueueState<R>, row: number, facts: QueueRow): void {
  const { rows } = q
  rows.due[row] = q.ticks.from(facts.due)
  rows.expires[row] = q.ticks.from(facts.expires)
  rows.warnAt[row] = facts.warnAt === 0 ? 0 : q.ticks.from(facts.warnAt)
  rows.attempts[row] = Math.min(facts.attempts, 0xffff)
  rows.recipients[row] = Math.min(Math.max(facts.recipients, 1), 0xffff)
  rows.priority[row] = facts.priority
  rows.class[row] = facts.class
  rebind(q, row, facts)
}

/** The domain or the tenant of a known row may change (an operator moves it to another route). */
function rebind<R>(q: QueueState<R>, row: number, facts: QueueRow): void {
  const state = q.rows.state[row] as number
  const domain = q.domainOf(row)
  if (domain.name !== facts.domain) {
    const other = q.domains.named(facts.domain)
    if (other.rows++ === 0) q.idleDomains.delete(other)
    other.counts[state] = (other.counts[state] as number) + 1
    q.rows.domain[row] = other.number
    domain.counts[state] = (domain.counts[state] as number) - 1
    leaveDomain(q, domain)
  }
  const tenant = q.tenantOf(row)
  if (tenant.name !== facts.tenant) {
    const other = q.tenants.named(facts.tenant)
    other.rows++
    tenant.rows--
    q.rows.tenant[row] = other.number
  }
}

/** A detached row that is due: ready at its site, or waiting for its domain's route. */
export function makeDue<R>(q: QueueState<R>, row: number, atHead: boolean): void {
  const domain = q.domainOf(row)
  if (q.routed(domain)) {
    const site = domain.site as SiteState<R>
    queueOf(q, site, row).push(row, q.tenantOf(row), atHead)
    setState(q, row, RowState.ready)
    q.drive(site)
  } else {
    linkRouting(q.rows, domain, row)
    setState(q, row, RowState.routing)
    wantRoute(q, domain)
  }
  q.timeline.set(row, wakeTick(q, row))
}

/** A detached row, due at the time in its column. */
export function schedule<R>(q: QueueState<R>, row: number): void {
  setState(q, row, RowState.scheduled)
  q.timeline.set(row, wakeTick(q, row))
}

function hold<R>(q: QueueState<R>, row: number): void {
  setState(q, row, RowState.held)
  q.timeline.remove(row)
}

/** A detached row goes out with this connection. Its place in the timeline is looked at when it fires. */
export function takeOff<R>(q: QueueState<R>, row: number, conn: Connection<R>): void {
  q.rows.prev[row] = conn.number
  q.rows.due[row] = q.tick
  setState(q, row, RowState.inFlight)
  conn.inFlight++
}

/** A row in flight is no longer its connection's. */
function land<R>(q: QueueState<R>, row: number): void {
  if (q.announced.size > 0) q.announced.delete(row)
  const conn = q.connections.get(q.rows.prev[row] as number)
  if (!conn) return
  conn.inFlight--
  release(q, conn)
  // It asked for work before its last message was settled.
  yieldPlace(q, conn)
}

/** The owner gives this row up; `settled` follows. */
export function expire<R>(q: QueueState<R>, row: number): void {
  q.outbox.expired.push(blockedRow(q, row))
  leave(q, row)
}

/** The row is the owner's to end. */
export function leave<R>(q: QueueState<R>, row: number): void {
  detach(q, row)
  setState(q, row, RowState.leaving)
  q.timeline.remove(row)
}

/** The row is gone for good. */
export function forget<R>(q: QueueState<R>, row: number): void {
  detach(q, row)
  q.timeline.remove(row)
  const domain = q.domainOf(row)
  domain.counts[RowState.free] = (domain.counts[RowState.free] as number) - 1
  q.tenantOf(row).rows--
  q.rows.remove(row)
  leaveDomain(q, domain)
}

/** Whether a connection has it, or had it when its owner died. */
export function isInFlight<R>(q: QueueState<R>, row: number): boolean {
  const state = q.rows.state[row]
  return state === RowState.inFlight || state === RowState.orphaned
}

/** The timeline fired for this row. */
export function onRowTime<R>(q: QueueState<R>, row: number): void {
  const { rows } = q
  const reached = q.tick
  if (isInFlight(q, row)) {
    q.timeline.remove(row)
    return
  }
  if ((rows.expires[row] as number) <= reached) {
    expire(q, row)
    return
  }
  const warnAt = rows.warnAt[row] as number
  if (warnAt !== 0 && warnAt <= reached) {
    rows.warnAt[row] = 0
    q.outbox.warned.push(blockedRow(q, row))
  }
  if (rows.state[row] === RowState.scheduled && (rows.due[row] as number) <= reached) makeDue(q, row, false)
  else q.timeline.set(row, wakeTick(q, row))
}

export function setState<R>(q: QueueState<R>, row: number, state: RowState): void {
  const { counts } = q.domainOf(row)
  const old = q.rows.state[row] as number
  counts[old] = (counts[old] as number) - 1
  counts[state] = (counts[state] as number) + 1
  q.rows.state[row] = state
}

/** The queue that a ready row is in. */
export function readyQueueOf<R>(q: QueueState<R>, row: number): ReadyQueue {
  return queueOf(q, q.domainOf(row).site as SiteState<R>, row)
}

export function rowRef<R>(q: QueueState<R>, row: number): RowRef {
  return { id: q.rows.id[row] as number, group: q.rows.group[row] as number }
}

function queueOf<R>(q: QueueState<R>, site: SiteState<R>, row: number): ReadyQueue {
  const pool = q.tenantOf(row).pool(q.rows.class[row] as 0 | 1, q.settings)
  for (const queue of site.queues) if (queue.pool.name === pool.name) return queue
  const queue = new ReadyQueue(pool, q.rows)
  site.queues.push(queue)
  return queue
}

/** What kept a row that did not get its own try: the last words of its site or of the resolver. */
function blockedRow<R>(q: QueueState<R>, row: number): BlockedRow {
  const ref = rowRef(q, row)
  const domain = q.domainOf(row)
  if (q.rows.state[row] === RowState.routing) return { ...ref, reply: domain.reply, peer: '' }
  const path = q.rows.state[row] === RowState.ready ? domain.site?.paths.find((candidate) => candidate.reply) : undefined
  return { ...ref, reply: path?.reply, peer: path?.peer ?? '' }
}

/** The earliest tick at which something happens to a row that is not in flight. */
export function wakeTick<R>(q: QueueState<R>, row: number): number {
  const { rows } = q
  const warnAt = rows.warnAt[row] as number
  const end = Math.min(rows.expires[row] as number, warnAt === 0 ? TICK_MAX : warnAt)
  return rows.state[row] === RowState.scheduled ? Math.min(end, rows.due[row] as number) : end
}

function linkRouting<R>(rows: QueueState<R>['rows'], domain: Domain<R>, row: number): void {
  rows.next[row] = NONE
  rows.prev[row] = domain.tail
  if (domain.tail === NONE) domain.head = row
  else rows.next[domain.tail] = row
  domain.tail = row
}

function unlinkRouting<R>(rows: QueueState<R>['rows'], domain: Domain<R>, row: number): void {
  const next = rows.next[row] as number
  const prev = rows.prev[row] as number
  if (prev === NONE) domain.head = next
  else rows.next[prev] = next
  if (next === NONE) domain.tail = prev
  else rows.prev[next] = prev
}

/** One row less: without any, a domain is kept only for a route that is still good. */
function leaveDomain<R>(q: QueueState<R>, domain: Domain<R>): void {
  if (--domain.rows > 0) return
  if (!q.routed(domain)) {
    dropDomain(q, domain)
    return
  }
  q.idleDomains.add(domain)
  q.planJanitor()
  if (q.idleDomains.size <= IDLE_DOMAINS_MAX) return
  for (const oldest of q.idleDomains) {
    dropDomain(q, oldest)
    break
  }
}

/** Forgets a domain without rows. One whose question is under way stays until the answer, so that it is asked once. */
export function dropDomain<R>(q: QueueState<R>, domain: Domain<R>): void {
  q.idleDomains.delete(domain)
  if (domain.question === 'asked') return
  q.wanted.delete(domain)
  q.agenda.set(domain, Infinity)
  if (domain.site) domain.site.domains--
  q.domains.remove(domain)
}
