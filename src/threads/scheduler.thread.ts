// The scheduler thread: the one place that decides what goes next. Wiring between channels and queue/schedule.ts.
//
// After a start nothing is granted before every deliver thread has said what it still holds (`deliver.inflight`):
// until then the owners' announcements wait here.

import type { MessagePort } from 'node:worker_threads'
import type { Destination } from '../deliver/ports.ts'
import { systemClock, type Timer } from '../lib/clock.ts'
import { systemRandom } from '../lib/prng.ts'
import type { Binding, BlockedRow, Reply, RowRef, SchedulerHost } from '../queue/ports.ts'
import { Scheduler } from '../queue/schedule.ts'
import { schedulerSettings } from '../queue/settings.ts'
import { shardOf } from '../spool/ids.ts'
import { Channel } from './channel.ts'
import type { DeliverToScheduler, OwnerToScheduler, SchedulerToDeliver, SchedulerToOwner } from './messages.ts'
import { packItems, unpackRows, unpackSettled } from './messages.ts'
import { thisThread, type Answer } from './thread.ts'
import { kindOf, ownerOf } from './topology.ts'

const thread = thisThread()
const netThreads = thread.data.config.threads.net
const deliverThreads = thread.data.config.threads.deliver

const owners = new Map<string, Channel<SchedulerToOwner, OwnerToScheduler>>()
const delivers = new Map<number, Channel<SchedulerToDeliver, DeliverToScheduler>>()
/** Which deliver thread a connection belongs to. */
const threadOf = new Map<number, number>()

/** Announcements that came before all deliver threads had spoken; undefined afterwards. */
let early: (() => void)[] | undefined = []
const spoken = new Set<number>()

function byOwner<T extends RowRef>(
  rows: readonly T[],
  send: (owner: Channel<SchedulerToOwner, OwnerToScheduler>, rows: T[]) => void,
): void {
  const split = new Map<string, T[]>()
  for (const row of rows) {
    const name = ownerOf(shardOf(row.id), netThreads)
    const list = split.get(name)
    if (list) list.push(row)
    else split.set(name, [row])
  }
  // An owner that is down announces its rows again when it is back; they expire then.
  for (const [name, list] of split) {
    const owner = owners.get(name)
    if (owner) send(owner, list)
  }
}

let nextRouter = 0
const host: SchedulerHost<Destination> = {
  askRoute(domain) {
    const channels = [...delivers.values()]
    channels[nextRouter++ % channels.length]?.send({ kind: 'schedule.route', domain })
  },
  openConnection(conn, deliverThread, site, source) {
    threadOf.set(conn, deliverThread)
    delivers.get(deliverThread)?.send({ kind: 'schedule.open', conn, site, source })
  },
  grant(conn, items) {
    delivers.get(threadOf.get(conn) ?? -1)?.send({ kind: 'schedule.grant', conn, items: packItems(items) })
  },
  closeConnection(conn) {
    delivers.get(threadOf.get(conn) ?? -1)?.send({ kind: 'schedule.close', conn })
  },
  expire: (rows: readonly BlockedRow[]) => byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.expire', rows: list })),
  warn: (rows: readonly BlockedRow[]) => byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.warn', rows: list })),
  bounce: (rows: readonly RowRef[], reply: Reply) =>
    byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.bounce', rows: list, reply })),
  backedOff: (record) => thread.log.warn({ ...record, until: new Date(record.until).toISOString() }, 'site backed off'),
  scan: startScan,
}

/** The scan under way, and the owners that have not told all of theirs. */
let scan = 0
const scanning = new Set<string>()
let isScanComplete = true

function startScan(): void {
  scan++
  isScanComplete = true
  for (const [name, owner] of owners) {
    scanning.add(name)
    owner.send({ kind: 'schedule.scan', scan })
  }
}

/** An owner that was replaced does not finish: what it would have told comes from its successor, which starts with a scan. */
function endScanOf(name: string, isComplete: boolean): void {
  if (!scanning.delete(name)) return
  isScanComplete &&= isComplete
  if (scanning.size === 0) scheduler.scanned(isScanComplete)
}

const scheduler = new Scheduler<Destination>(host, systemClock, systemRandom(), schedulerSettings(thread.data.config))

let timer: Timer | undefined
let timerAt = Infinity

/** Sets the timer for the scheduler's next duty. Called after everything that may have changed it. */
function arm(): void {
  const at = scheduler.nextTickAt()
  if (at >= timerAt) return
  timer?.cancel()
  timerAt = at
  timer = systemClock.after(at - systemClock.now(), () => {
    timerAt = Infinity
    scheduler.tick()
    arm()
  })
}

function fromOwner(name: string, owner: Channel<SchedulerToOwner, OwnerToScheduler>, message: OwnerToScheduler): void {
  switch (message.kind) {
    case 'spool.announce': {
      const rows = unpackRows(message.rows)
      if (early) early.push(() => scheduler.announce(rows))
      else scheduler.announce(rows)
      break
    }
    case 'spool.scan': {
      const rows = unpackRows(message.rows)
      const take = (): void => {
        scheduler.page(rows)
        owner.send({ kind: 'schedule.more' })
      }
      if (early) early.push(take)
      else take()
      break
    }
    case 'spool.settled': {
      const items = unpackSettled(message.items)
      if (early) early.push(() => scheduler.settled(items))
      else scheduler.settled(items)
      break
    }
    case 'spool.scanned':
      thread.log.info({ shards: message.shards, resident: scheduler.residentCount, paging: scheduler.isPaging }, 'queue scanned')
      if (message.scan === scan) endScanOf(name, true)
      break
  }
  arm()
}

function fromDeliver(index: number, message: DeliverToScheduler): void {
  switch (message.kind) {
    case 'deliver.inflight':
      scheduler.inFlight(index, message.rows)
      scheduler.deliverThreadUp(index)
      spoken.add(index)
      if (early && spoken.size === deliverThreads) {
        for (const act of early) act()
        early = undefined
      }
      break
    case 'deliver.held':
      scheduler.inFlight(index, message.rows)
      break
    case 'deliver.route':
      scheduler.routeAnswer(message.domain, message.answer)
      break
    case 'deliver.rerouted':
      scheduler.routesChanged()
      break
    case 'deliver.up':
      scheduler.connectionUp(message.conn)
      break
    case 'deliver.pull':
      scheduler.pull(message.conn, message.want, message.onHand)
      break
    case 'deliver.returned':
      scheduler.returned(message.conn, message.items, message.reason)
      break
    case 'deliver.down':
      threadOf.delete(message.conn)
      scheduler.connectionDown(message.conn, message.down)
      break
  }
  arm()
}

function peer(name: string, port: MessagePort): void {
  if (kindOf(name) === 'net') {
    if (owners.has(name)) {
      scheduler.ownerDown(shardsOf(name))
      endScanOf(name, false)
      for (const deliver of delivers.values()) deliver.send({ kind: 'schedule.held' })
    }
    const owner: Channel<SchedulerToOwner, OwnerToScheduler> = new Channel<SchedulerToOwner, OwnerToScheduler>(port, (message) =>
      fromOwner(name, owner, message),
    )
    owners.set(name, owner)
    return
  }
  const index = Number(name.split('.')[1]) - 1
  if (delivers.has(index)) {
    scheduler.deliverThreadDown(index)
    for (const [conn, owner] of threadOf) if (owner === index) threadOf.delete(conn)
  }
  delivers.set(index, new Channel<SchedulerToDeliver, DeliverToScheduler>(port, (message) => fromDeliver(index, message)))
  arm()
}

function shardsOf(owner: string): number[] {
  const shards: number[] = []
  for (let shard = 0; shard < thread.data.shards; shard++) if (ownerOf(shard, netThreads) === owner) shards.push(shard)
  return shards
}

function counts(): Record<string, number> {
  const total = { scheduled: 0, ready: 0, active: 0, held: 0 }
  for (const site of scheduler.summary()) {
    total.scheduled += site.scheduled
    total.ready += site.ready + site.routing
    total.active += site.inFlight
    total.held += site.held
  }
  return total
}

const QUEUE_STATES = {
  held: 'held',
  scheduled: 'scheduled',
  routing: 'ready',
  ready: 'ready',
  inFlight: 'active',
  leaving: 'active',
} as const

/** Of a group without an entry only the site is known here; the stored record tells the rest. */
function overlay(refs: readonly (RowRef & { readonly domain: string })[]): unknown[] {
  return scheduler.view(refs).map((view, index) => {
    if (!view) return { site: scheduler.siteOf(refs[index]?.domain ?? '') || refs[index]?.domain }
    const { state, nextAttempt, lastReply } = view
    return { site: view.site || view.domain, state: QUEUE_STATES[state], nextAttempt, lastReply }
  })
}

function explain(ref: RowRef): unknown {
  const row = scheduler.explain(ref.id).find((one) => one.group === ref.group)
  if (!row) return { state: 'unknown', nextAttempt: '', binding: scheduler.isPaging ? leftOut() : null }
  const nextAttempt = row.nextAttempt > 0 ? new Date(row.nextAttempt).toISOString() : ''
  return { domain: row.domain, site: row.site, state: QUEUE_STATES[row.state], nextAttempt, binding: row.binding, lastReply: row.lastReply }
}

/** Why a group has no entry here. */
function leftOut(): Binding {
  const { residentEntriesMax } = thread.data.config.limits
  return {
    limit: 'residentEntries',
    value: `${residentEntriesMax} in memory; read from the spool when its queue runs low`,
    origin: 'limits.residentEntriesMax',
  }
}

function ask(verb: string, args: unknown, answer: Answer): void {
  switch (verb) {
    case 'summary':
      for (const row of scheduler.summary()) answer.row(row)
      break
    case 'counts':
      answer.row(counts())
      break
    case 'overlay':
      answer.row(overlay(args as readonly (RowRef & { readonly domain: string })[]))
      break
    case 'paging':
      answer.row(scheduler.isPaging)
      break
    case 'explain':
      answer.row(explain(args as RowRef))
      break
    case 'wake':
      for (const name of args as readonly string[]) scheduler.wake(name)
      arm()
      break
    default:
      return answer.end(`the scheduler has no verb ${verb}`)
  }
  answer.end()
}

thread.run({
  peer,
  ask,
  reload: (config) => {
    scheduler.configure(schedulerSettings(config))
    arm()
  },
  drain: () => thread.drained(),
  stop: () => {
    timer?.cancel()
    thread.exit()
  },
  second: () => undefined,
})
thread.up()
