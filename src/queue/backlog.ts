// A queue that is longer than memory: which rows stay, which are left to the spool's index, when those are read again.
// Scheduler thread.
//
// Below `residentEntries` nothing of this costs anything. At the limit the table is trimmed to half of it: each queue
// (domain, tenant, class; rows that are due and rows that wait for their time apart) keeps its head, cut at one level
// for all, so that a million messages for a dead site do not take the place of one for a live one. What was left out is
// not remembered row by row: only that something was, when the first of it has its time, and of which queues. When one
// of those runs low, or the time comes, all owners are asked for a scan of their groups. Rows that are here, in flight
// above all, are passed over; those of a queue that has its share are left where they are.
//
// Why a scan and no index by (queue, class, tenant, due): such a key would be written, moved and removed with every message
// and every retry, on the path that all mail takes, for a state that is rare. A scan costs seconds a million (an estimate)
// and brings in up to half of memory. The price: a retry, a warning or an expiry of a group without a row may be late by a scan and its
// pause, and MT-PRIORITY orders rows in memory only.

import type { QueueRow } from '../spool/types.ts'
import { SCAN_PAUSE_MS } from './model.ts'
import { forget, wakeTick } from './place.ts'
import { RowState } from './rows.ts'
import type { QueueState } from './state.ts'
import { TICK_MAX } from './timeline.ts'

/** The pause after a scan is so many times as long as the scan: a long backlog costs a quarter of a thread at most. */
const PAUSE_FACTOR = 3
/** While rows are missing they are looked for at least so often, whatever the books say. */
const SCAN_MS_MAX = 5 * 60_000
const TENANTS_MAX = 2 ** 20

/** Makes room when the table is full. Called before a row is added: nobody holds a row number then. */
export function makeRoom<R>(q: QueueState<R>): void {
  const { backlog, rows } = q
  const limit = q.settings.residentEntries
  const counts = countQueues(q)
  let movable = 0
  for (const count of counts.values()) movable += count
  const target = Math.floor(limit / 2)
  const level = fairLevel(counts.values(), target - (rows.count - movable))
  cut(q, counts, level)
  thinOut(q, Math.floor((limit * 3) / 4))
  backlog.level = Math.min(backlog.level, level)
  if (backlog.scanning) backlog.counts = countQueues(q)
  // When nearly all of it is in flight or about to leave, it may grow a little rather than be trimmed row by row.
  backlog.trimAt = Math.max(limit, rows.count + Math.ceil(limit / 8))
  plan(q)
}

/** The rows that each queue may keep, so that all together are at most `room`; at least one. */
export function fairLevel(counts: Iterable<number>, room: number): number {
  const sorted = [...counts].sort((a, b) => a - b)
  let left = room
  for (let i = 0; i < sorted.length; i++) {
    const share = Math.floor(left / (sorted.length - i))
    if ((sorted[i] as number) > share) return Math.max(share, 1)
    left -= sorted[i] as number
  }
  return Math.max(room, 1)
}

/** Evicts what is behind the first `level` rows of each queue. */
function cut<R>(q: QueueState<R>, counts: ReadonlyMap<number, number>, level: number): void {
  const long = new Map<number, Uint32Array>()
  for (const [key, count] of counts) if (count > level) long.set(key, new Uint32Array(count))
  if (long.size === 0) return
  const bars = barsOf(q, long, level)
  for (let row = 0; row < q.rows.end; row++) {
    if (!isMovable(q, row)) continue
    const bar = bars.get(queueKey(q, row))
    if (!bar) continue
    const due = q.rows.due[row] as number
    if (due < bar.due || (due === bar.due && bar.ties-- > 0)) continue
    evict(q, row, level)
  }
}

/** Rows before `due` stay, and `ties` of those at it. */
interface Bar {
  readonly due: number
  ties: number
}

/** Sorting numbers is many times faster than sorting rows. */
function barsOf<R>(q: QueueState<R>, long: ReadonlyMap<number, Uint32Array>, level: number): Map<number, Bar> {
  const filled = new Map<number, number>()
  for (let row = 0; row < q.rows.end; row++) {
    if (!isMovable(q, row)) continue
    const key = queueKey(q, row)
    const dues = long.get(key)
    if (!dues) continue
    const at = filled.get(key) ?? 0
    dues[at] = q.rows.due[row] as number
    filled.set(key, at + 1)
  }
  const bars = new Map<number, Bar>()
  for (const [key, dues] of long) {
    dues.sort()
    const due = dues[level - 1] as number
    bars.set(key, { due, ties: level - dues.indexOf(due) })
  }
  return bars
}

/** More queues than there is room for one row each: whose is left out changes from time to time. */
function thinOut<R>(q: QueueState<R>, most: number): void {
  const { end } = q.rows
  const start = end > 0 ? q.random.below(end) : 0
  for (let n = 0; n < end && q.rows.count > most; n++) {
    const row = (start + n) % end
    if (isMovable(q, row)) evict(q, row, 0)
  }
}

/** The spool keeps it. */
function evict<R>(q: QueueState<R>, row: number, kept: number): void {
  const isWaiting = waits(q.rows.state[row] as number)
  const tick = q.rows.state[row] === RowState.held ? TICK_MAX : wakeTick(q, row)
  leftOut(q, tick === TICK_MAX ? Infinity : q.ticks.ms(tick))
  if (!isWaiting) q.backlog.short.set(queueKey(q, row), goesUntilLow(kept))
  forget(q, row)
}

function leftOut<R>({ backlog, now }: QueueState<R>, wakeAt: number): void {
  if (!backlog.absent) backlog.endedAt = now
  backlog.absent = true
  backlog.missed = true
  backlog.nextAt = Math.min(backlog.nextAt, wakeAt)
}

function goesUntilLow(count: number): number {
  return Math.ceil((count * 3) / 4)
}

/** A row left its queue: settled, whatever came of it. */
export function rowWent<R>(q: QueueState<R>, row: number): void {
  const { backlog } = q
  if (!backlog.absent || backlog.wanted) return
  const key = dueKey(q.rows.domain[row] as number, q.rows.tenant[row] as number, q.rows.class[row] as number)
  const left = backlog.short.get(key)
  if (left !== undefined && left > 1) backlog.short.set(key, left - 1)
  if ((left === undefined || left > 1) && q.rows.count > q.settings.residentEntries / 4) return
  backlog.wanted = true
  plan(q)
}

/** Sets the time of the next scan. */
function plan<R>(q: QueueState<R>): void {
  const { backlog } = q
  if (!backlog.absent || backlog.scanning) {
    q.agenda.set(backlog, Infinity)
    return
  }
  const at = backlog.wanted ? q.now : Math.min(backlog.nextAt, backlog.endedAt + SCAN_MS_MAX)
  q.agenda.set(backlog, Math.max(at, backlog.endedAt + backlog.pauseMs))
}

export function beginScan<R>(q: QueueState<R>): void {
  const { backlog } = q
  backlog.scanning = true
  backlog.wanted = false
  backlog.missed = false
  backlog.nextAt = Infinity
  backlog.beganAt = q.now
  backlog.short.clear()
  backlog.counts = countQueues(q)
  backlog.level = fairLevel(backlog.counts.values(), Math.floor(q.settings.residentEntries / 2))
  plan(q)
  q.host.scan()
}

/** All owners have told all of their groups; `complete` is false when one died on the way. */
export function endScan<R>(q: QueueState<R>, complete: boolean): void {
  const { backlog } = q
  if (!backlog.scanning) return
  backlog.scanning = false
  backlog.absent = backlog.missed || !complete
  if (!complete) backlog.nextAt = q.now
  backlog.endedAt = q.now
  backlog.pauseMs = Math.max(SCAN_PAUSE_MS, PAUSE_FACTOR * (q.now - backlog.beganAt))
  const counts = countQueues(q)
  for (const [key, left] of backlog.short) {
    const count = counts.get(key) ?? 0
    backlog.short.set(key, Math.min(left, goesUntilLow(count)))
    if (count === 0) backlog.wanted = true
  }
  backlog.counts = new Map()
  if (!backlog.absent) backlog.short.clear()
  plan(q)
}

/** Whether a group that a scan found stays in the spool, until the next scan at least. */
export function isLeftOut<R>(q: QueueState<R>, facts: QueueRow): boolean {
  const { backlog } = q
  if (!backlog.scanning) return false
  if (!facts.held && facts.expires <= q.now) {
    // It leaves as soon as its owner has the time; a crowd of them must not fill the table, though.
    if (q.rows.count < q.settings.residentEntries) return false
    leftOut(q, q.now)
    return true
  }
  const domain = q.domains.find(facts.domain)
  const tenant = q.tenants.find(facts.tenant)
  if (!domain || !tenant) return false
  const isWaiting = facts.held || facts.due > q.now
  const key = dueKey(domain.number, tenant.number, facts.class) + (isWaiting ? 1 : 0)
  const count = backlog.counts.get(key) ?? 0
  backlog.counts.set(key, Math.min(count + 1, Math.max(count, backlog.level)))
  if (count < backlog.level) return false
  if (!isWaiting) backlog.short.set(key, goesUntilLow(count))
  leftOut(q, wakeOf(q, facts))
  return true
}

/** When something is to be done for a group without a row. Its warning needs no row: it goes out now when it is due. */
function wakeOf<R>(q: QueueState<R>, { id, group, held, due, expires, warnAt }: QueueRow): number {
  if (held) return Infinity
  let at = due > q.now ? Math.min(due, expires) : expires
  if (warnAt > q.now) at = Math.min(at, warnAt)
  else if (warnAt > 0) q.outbox.warned.push({ id, group, reply: undefined, peer: '' })
  return at
}

function countQueues<R>(q: QueueState<R>): Map<number, number> {
  const counts = new Map<number, number>()
  for (let row = 0; row < q.rows.end; row++) {
    if (!isMovable(q, row)) continue
    const key = queueKey(q, row)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

/** Rows in flight stay until they are settled, those that leave until they are gone. */
function isMovable<R>(q: QueueState<R>, row: number): boolean {
  const state = q.rows.state[row] as number
  return state === RowState.ready || state === RowState.routing || waits(state)
}

function waits(state: number): boolean {
  return state === RowState.scheduled || state === RowState.held
}

function queueKey<R>({ rows }: QueueState<R>, row: number): number {
  const key = dueKey(rows.domain[row] as number, rows.tenant[row] as number, rows.class[row] as number)
  return key + (waits(rows.state[row] as number) ? 1 : 0)
}

function dueKey(domain: number, tenant: number, cls: number): number {
  return ((domain * TENANTS_MAX + tenant) * 2 + cls) * 2
}
