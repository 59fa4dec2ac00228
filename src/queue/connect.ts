// Connections: when to open one, from which source, on which thread; what their end means. Scheduler thread.
//
// A site gets as many connections as its waiting rows justify, starting with one and at most doubling while they work, so
// that an unknown or ailing site is not stormed. A failure to connect, a bad banner or a 421 there backs off the path, that
// is the (source, site), with one record; the rows stay where they are. What breaks off a transaction is first taken for
// the message's fault, and the others go on over a new connection; a few times in a row, it is the site's.

import { assert } from '../lib/assert.ts'
import { backoffDelay } from '../lib/backoff.ts'
import { Connection, type Path, type SiteState } from './model.ts'
import type { ConnectionEnd, Reaction } from './ports.ts'
import type { ReadyQueue } from './ready.ts'
import type { DeliverThread, QueueState } from './state.ts'

const LOOK_AHEAD_MS = 250

/** A connection that is busy when its idle time is over is looked at again, but not all the time where that is 0. */
const BUSY_LOOK_MS = 1000

/** So many connections that broke off one after the other back off their path: messages at fault seldom come so close. */
const BROKEN_MOST = 3

/** What broke off longer ago is not in a row with it: longer than any reply is waited for, shorter than most retries. */
const BROKEN_MEMORY_MS = 15 * 60_000

/** Why no connection is opened: the limit that binds, and when it may end (Infinity: when something happens). */
export interface Hindrance {
  readonly limit: 'backoff' | 'connections' | 'connectionRate' | 'messageRate' | 'rampUp'
  readonly until: number
}

/** A source's way to the site that may be used now, or what hinders the one that comes free first. */
export function choosePath<R>(q: QueueState<R>, site: SiteState<R>, queue: ReadyQueue): Path<R> | Hindrance {
  let best: Path<R> | undefined
  let load = Infinity
  let least: Hindrance | undefined
  for (const source of queue.pool.sources) {
    const path = site.path(source)
    const hindrance = hindranceOf(q, path)
    if (hindrance) {
      if (!least || hindrance.until < least.until) least = hindrance
    } else if (path.connections / source.weight < load) {
      best = path
      load = path.connections / source.weight
    }
  }
  const answer = best ?? least
  assert(answer, 'a pool has at least one source')
  return answer
}

export function isPath<R>(answer: Path<R> | Hindrance): answer is Path<R> {
  return 'site' in answer
}

/** What keeps a path from one more connection. */
function hindranceOf<R>(q: QueueState<R>, path: Path<R>): Hindrance | undefined {
  if (path.backoffUntil > q.now) return { limit: 'backoff', until: path.backoffUntil }
  const messageAt = path.messageFreeAt(q.now)
  if (messageAt > q.now) return { limit: 'messageRate', until: messageAt }
  if (path.connections >= path.site.site.limits.connections) return { limit: 'connections', until: Infinity }
  if (path.connections >= path.window) return { limit: 'rampUp', until: Infinity }
  const openAt = path.connectionWindow?.freeAt(q.now) ?? q.now
  return openAt > q.now ? { limit: 'connectionRate', until: openAt } : undefined
}

/**
 * Whether a connection that asks for work will begin it soon, and its thread can take the outcome. One that still has
 * messages on hand gets more only when it asked just now and usually sends so many in a quarter of a second: nothing shall
 * wait behind a message that takes long.
 */
export function takesWork<R>(q: QueueState<R>, conn: Connection<R>): boolean {
  if (q.thread(conn.thread).behind) return false
  if (conn.onHand === 0) return true
  return q.now - conn.askedAt <= LOOK_AHEAD_MS && conn.onHand * 1000 <= conn.speed.perSecond(q.now) * LOOK_AHEAD_MS
}

/** Opens what the queue's rows justify and the limits allow; otherwise the site wakes when that may change. */
export function openFor<R>(q: QueueState<R>, site: SiteState<R>, queue: ReadyQueue): void {
  const { rowsPerConnection, stallMs } = q.settings
  for (;;) {
    const thread = leastBusy(q)
    if (!thread) return
    const path = choosePath(q, site, queue)
    if (!isPath(path)) {
      if (path.until !== Infinity) q.agenda.atMost(site, path.until)
      return
    }
    const stalledAt = site.progressAt + stallMs
    if (connectionsFor(site, queue) >= Math.ceil(queue.count / rowsPerConnection) && stalledAt > q.now) {
      q.agenda.atMost(site, stalledAt)
      return
    }
    if (!roomForOne(q, site)) return
    open(q, path, thread)
  }
}

function connectionsFor<R>(site: SiteState<R>, queue: ReadyQueue): number {
  let count = 0
  for (const source of queue.pool.sources) count += site.path(source).connections
  return count
}

/** Within `connectionsTotal`; at its bound the longest idle connection goes, and this site waits for its place. */
function roomForOne<R>(q: QueueState<R>, site: SiteState<R>): boolean {
  if (q.openConnections < q.settings.connectionsTotal) return true
  if (q.starved.has(site)) return false
  q.starved.add(site)
  for (const candidate of q.idleConnections) {
    if (candidate.inFlight > 0) continue
    close(q, candidate)
    break
  }
  return false
}

function open<R>(q: QueueState<R>, path: Path<R>, thread: DeliverThread<R>): void {
  const conn = new Connection(q.connectionNumber(), thread.index, path)
  q.connections.set(conn.number, conn)
  q.openConnections++
  thread.connections++
  path.connections++
  path.connectionWindow?.take(q.now)
  path.site.progressAt = q.now
  q.host.openConnection(conn.number, thread.index, path.site.site, path.source)
}

function leastBusy<R>(q: QueueState<R>): DeliverThread<R> | undefined {
  let least: DeliverThread<R> | undefined
  for (const thread of q.threads.values()) {
    if (thread.up && !thread.behind && (!least || thread.connections < least.connections)) least = thread
  }
  return least
}

export function connectionIsUp<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (conn.state !== 'opening') return
  conn.state = 'up'
  if (!conn.path) return
  conn.path.up++
  // It asks for work at once: who waited for it alone needs no other.
  conn.path.site.progressAt = q.now
  // One at a time where the last one broke off.
  if (conn.path.broken === 0) conn.path.window = Math.max(conn.path.window, 2 * conn.path.up)
  q.drive(conn.path.site)
}

/** The connection has nothing to do and waits for work; after a while it is closed. */
export function idle<R>(q: QueueState<R>, conn: Connection<R>, path: Path<R>): void {
  path.waiting.push(conn)
  q.idleConnections.add(conn)
  q.agenda.atMost(conn, q.now + path.site.site.limits.idleReuseMs)
  yieldPlace(q, conn)
}

/** Others wait for a place among all connections: one that has nothing to do and nothing in flight leaves its own. */
export function yieldPlace<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (q.starved.size === 0 || conn.inFlight > 0 || q.openConnections < q.settings.connectionsTotal) return
  if (q.idleConnections.has(conn)) close(q, conn)
}

/** The connection gets work, or goes. */
export function noLongerIdle<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (!q.idleConnections.delete(conn)) return
  q.agenda.set(conn, Infinity)
  const { waiting } = conn.path as Path<R>
  waiting.splice(waiting.lastIndexOf(conn), 1)
}

/** An idle connection's time is over; one that asked ahead and still has something in flight is not idle yet. */
export function onConnectionTime<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (!q.idleConnections.has(conn)) return
  if (conn.inFlight === 0) close(q, conn)
  else q.agenda.set(conn, q.now + Math.max((conn.path as Path<R>).site.site.limits.idleReuseMs, BUSY_LOOK_MS))
}

export function close<R>(q: QueueState<R>, conn: Connection<R>): void {
  noLongerIdle(q, conn)
  if (conn.state === 'up' && conn.path) conn.path.up--
  conn.state = 'closing'
  q.host.closeConnection(conn.number)
}

/** The connection ended. Rows that it has in flight stay so until they are settled or returned. */
export function connectionIsDown<R>(q: QueueState<R>, conn: Connection<R>, end: ConnectionEnd): void {
  // Ours to close: the peer's last words are no news of the site.
  const closing = conn.state === 'closing'
  drop(q, conn)
  conn.end = closing ? undefined : end
  if (conn.path && conn.end) judge(q, conn.path, conn.end)
  release(q, conn)
}

/** Whether a connection's end is the site's fault. A reply that the site's limits know is, wherever it was said. */
function judge<R>(q: QueueState<R>, path: Path<R>, end: ConnectionEnd): void {
  let isSites = end.kind === 'failed' || end.kind === 'throttled'
  if (end.kind === 'broken') {
    if (end.messages > 0) succeeded(q, path)
    if (q.now - path.brokenAt > BROKEN_MEMORY_MS) path.broken = 0
    path.broken++
    path.brokenAt = q.now
    path.window = path.up + 1
    isSites = path.broken >= BROKEN_MOST
  }
  if (isSites || reactionTo(path, end)) backOff(q, path, end)
}

/** Takes a connection out of all counts; it may have been opened, up or closing. */
export function drop<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (conn.state === 'down' || !conn.path) return
  noLongerIdle(q, conn)
  if (conn.state === 'up') conn.path.up--
  conn.state = 'down'
  conn.path.connections--
  // After a back-off a single connection probes, beside those that still work.
  if (conn.path.backoffUntil > q.now) conn.path.window = conn.path.up + 1
  q.openConnections--
  q.thread(conn.thread).connections--
  q.drive(conn.path.site)
}

/** While places are free: the site that waits for one the longest. Whether it still has a use for it shows when it is driven. */
export function nextStarved<R>(q: QueueState<R>): SiteState<R> | undefined {
  if (q.openConnections >= q.settings.connectionsTotal) return undefined
  for (const site of q.starved) {
    q.starved.delete(site)
    return site
  }
  return undefined
}

/** Forgets a connection that is down when the last of its rows is settled or returned. */
export function release<R>(q: QueueState<R>, conn: Connection<R>): void {
  if (conn.state !== 'down' || conn.inFlight > 0) return
  if (!q.connections.delete(conn.number)) return
  // A peer that closes each connection without taking anything would be connected to without end.
  if (conn.path && conn.end?.kind === 'closed' && conn.settled === 0 && conn.path.site.ready > 0) backOff(q, conn.path, conn.end)
}

/** One back-off for all connections that fail until it ends, with one record. */
function backOff<R>(q: QueueState<R>, path: Path<R>, end: ConnectionEnd): void {
  path.reply = end.reply
  path.peer = end.peer
  path.broken = 0
  q.drive(path.site)
  if (path.backoffUntil > q.now) return
  const reaction = reactionTo(path, end)
  path.failures++
  path.window = path.up + 1
  const { firstMs, unreachedFirstMs, maxMs } = q.settings.backoff
  const first = end.kind === 'failed' ? unreachedFirstMs : firstMs
  const delay = backoffDelay(path.failures, { firstMs: first, maxMs }, q.random)
  path.backoffUntil = q.now + Math.max(delay, reaction?.pauseMs ?? 0)
  if (reaction) slowDown(q, path, reaction)
  q.host.backedOff({
    site: path.site.key,
    source: path.source,
    until: path.backoffUntil,
    failures: path.failures,
    reply: end.reply,
    peer: end.peer,
    ready: path.site.ready,
  })
}

function reactionTo<R>(path: Path<R>, end: ConnectionEnd): Reaction | undefined {
  return path.site.site.limits.reactions.find(({ text }) => end.reply.text.includes(text))
}

function slowDown<R>(q: QueueState<R>, path: Path<R>, reaction: Reaction): void {
  if (!reaction.messageRate || !reaction.forMs) return
  path.slow(reaction.messageRate, q.now + reaction.forMs)
}

/** The peer said what becomes of a message: the path works. */
export function succeeded<R>(q: QueueState<R>, path: Path<R>): void {
  path.failures = 0
  path.broken = 0
  if (path.reply && path.backoffUntil <= q.now) {
    path.reply = undefined
    path.peer = ''
  }
}

/** An operator wants the site tried now. */
export function wakeSite<R>(q: QueueState<R>, site: SiteState<R>): void {
  for (const path of site.paths) {
    path.backoffUntil = 0
    path.failures = 0
    path.broken = 0
    path.slowUntil = 0
    path.window = path.up + 1
  }
  q.drive(site)
}
