// What the scheduler thread does for owners and deliver threads: joins channels and queue/schedule.ts.
//
// After a start nothing is granted before every deliver thread has said what it still holds (`deliver.inflight`):
// until then the owners' announcements wait here.

import type { Destination } from '../deliver/ports.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/prng.ts'
import type { BackoffRecord, BlockedRow, GrantItem, Reply, RowRef, SchedulerHost, SchedulerSettings, Site } from '../queue/ports.ts'
import { Scheduler } from '../queue/schedule.ts'
import { shardOf } from '../spool/ids.ts'
import type { Sender } from './channel.ts'
import type { DeliverToScheduler, OwnerToScheduler, SchedulerToDeliver, SchedulerToOwner } from './messages.ts'
import { packItems, unpackRows, unpackSettled } from './messages.ts'
import { ownerOf } from './topology.ts'

const UNROUTED_LOG_MS = 60_000

export interface SchedulerServiceOptions {
  readonly netThreads: number
  readonly deliverThreads: number
  /** Shards of the data directory. */
  readonly shards: number
  readonly clock: Clock
  readonly random: Random
  readonly settings: Partial<SchedulerSettings>
  readonly log: Pick<Log, 'info' | 'warn'>
}

type OwnerChannel = Sender<SchedulerToOwner>

export class SchedulerService implements SchedulerHost<Destination> {
  readonly scheduler: Scheduler<Destination>
  readonly #options: SchedulerServiceOptions
  readonly #owners = new Map<string, OwnerChannel>()
  readonly #delivers = new Map<number, Sender<SchedulerToDeliver>>()
  /** Which deliver thread a connection belongs to. */
  readonly #threadOf = new Map<number, number>()
  /** Announcements that came before all deliver threads had spoken; undefined afterwards. */
  #early: (() => void)[] | undefined = []
  readonly #spoken = new Set<number>()
  #nextRouter = 0
  /** The scan under way, and the owners that have not told all of theirs. */
  #scan = 0
  readonly #scanning = new Set<string>()
  #isScanComplete = true
  #timer: Timer | undefined
  #timerAt = Infinity
  /** Questions about routes that failed since the last log line. */
  #unroutedCount = 0
  #unroutedTellAt = 0

  constructor(options: SchedulerServiceOptions) {
    this.#options = options
    this.scheduler = new Scheduler<Destination>(this, options.clock, options.random, options.settings)
  }

  /** An owner started, for the first time or again. */
  ownerUp(name: string, owner: OwnerChannel): void {
    const predecessor = this.#owners.get(name)
    if (predecessor) {
      predecessor.close()
      this.scheduler.ownerDown(this.#shardsOf(name))
      this.#endScanOf(name, false)
      for (const deliver of this.#delivers.values()) deliver.send({ kind: 'schedule.held' })
    }
    this.#owners.set(name, owner)
  }

  /** A deliver thread started, for the first time or again. */
  deliverUp(index: number, deliver: Sender<SchedulerToDeliver>): void {
    const predecessor = this.#delivers.get(index)
    predecessor?.close()
    // First: what its predecessor was asked and did not answer is asked again at once, perhaps of this one.
    this.#delivers.set(index, deliver)
    if (predecessor) {
      this.scheduler.deliverThreadDown(index)
      for (const [conn, thread] of this.#threadOf) if (thread === index) this.#threadOf.delete(conn)
    }
    this.arm()
  }

  fromOwner(name: string, owner: OwnerChannel, message: OwnerToScheduler): void {
    switch (message.kind) {
      case 'spool.announce': {
        const rows = unpackRows(message.rows)
        this.#inTurn(() => this.scheduler.announce(rows))
        break
      }
      case 'spool.scan': {
        const rows = unpackRows(message.rows)
        this.#inTurn(() => {
          this.scheduler.page(rows)
          owner.send({ kind: 'schedule.more' })
        })
        break
      }
      case 'spool.settled': {
        const items = unpackSettled(message.items)
        this.#inTurn(() => this.scheduler.settled(items))
        break
      }
      case 'spool.scanned': {
        const { residentCount, isPaging } = this.scheduler
        this.#options.log.info({ shards: message.shards, resident: residentCount, paging: isPaging }, 'queue scanned')
        if (message.scan === this.#scan) this.#endScanOf(name, true)
        break
      }
    }
    this.arm()
  }

  fromDeliver(index: number, message: DeliverToScheduler): void {
    switch (message.kind) {
      case 'deliver.inflight':
        this.#hasSpoken(index, message.rows)
        break
      case 'deliver.held':
        this.scheduler.inFlight(index, message.rows)
        break
      case 'deliver.route':
        if (message.answer.kind === 'temporary') this.#unrouted(message.domain, message.answer.reply)
        this.scheduler.routeAnswer(message.domain, message.answer)
        break
      case 'deliver.rerouted':
        this.scheduler.routesChanged()
        break
      case 'deliver.up':
        this.scheduler.connectionUp(message.conn)
        break
      case 'deliver.pull':
        this.scheduler.pull(message.conn, message.want, message.onHand)
        break
      case 'deliver.returned':
        this.scheduler.returned(message.conn, message.items, message.reason)
        break
      case 'deliver.behind':
        this.scheduler.deliverThreadBehind(index, message.behind)
        break
      case 'deliver.down':
        this.#threadOf.delete(message.conn)
        this.scheduler.connectionDown(message.conn, message.down)
        break
    }
    this.arm()
  }

  /** Sets the timer for the scheduler's next duty. To be called after everything that may have changed it. */
  arm(): void {
    const at = this.scheduler.nextTickAt()
    if (at >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = at
    const { clock } = this.#options
    this.#timer = clock.after(at - clock.now(), () => {
      this.#timerAt = Infinity
      this.scheduler.tick()
      this.arm()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  // ---- What the scheduler asks for ----

  askRoute(domain: string): void {
    const channels = [...this.#delivers.values()]
    channels[this.#nextRouter++ % channels.length]?.send({ kind: 'schedule.route', domain })
  }

  openConnection(conn: number, deliverThread: number, site: Site<Destination>, source: string): void {
    this.#threadOf.set(conn, deliverThread)
    this.#delivers.get(deliverThread)?.send({ kind: 'schedule.open', conn, site, source })
  }

  grant(conn: number, items: readonly GrantItem[]): void {
    this.#deliverOf(conn)?.send({ kind: 'schedule.grant', conn, items: packItems(items) })
  }

  closeConnection(conn: number): void {
    this.#deliverOf(conn)?.send({ kind: 'schedule.close', conn })
  }

  expire(rows: readonly BlockedRow[]): void {
    this.#byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.expire', rows: list }))
  }

  warn(rows: readonly BlockedRow[]): void {
    this.#byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.warn', rows: list }))
  }

  bounce(rows: readonly RowRef[], reply: Reply): void {
    this.#byOwner(rows, (owner, list) => owner.send({ kind: 'schedule.bounce', rows: list, reply }))
  }

  /** One line a minute: when DNS is out, every domain is without a route. */
  #unrouted(domain: string, reply: Reply): void {
    this.#unroutedCount++
    const now = this.#options.clock.mono()
    if (now < this.#unroutedTellAt) return
    this.#unroutedTellAt = now + UNROUTED_LOG_MS
    this.#options.log.warn({ domain, reply, failures: this.#unroutedCount }, 'no route for now')
    this.#unroutedCount = 0
  }

  backedOff(record: BackoffRecord): void {
    this.#options.log.warn({ ...record, until: new Date(record.until).toISOString() }, 'site backed off')
  }

  scan(): void {
    this.#scan++
    this.#isScanComplete = true
    for (const [name, owner] of this.#owners) {
      this.#scanning.add(name)
      owner.send({ kind: 'schedule.scan', scan: this.#scan })
    }
  }

  #deliverOf(conn: number): Sender<SchedulerToDeliver> | undefined {
    return this.#delivers.get(this.#threadOf.get(conn) ?? -1)
  }

  #byOwner<T extends RowRef>(rows: readonly T[], send: (owner: OwnerChannel, rows: T[]) => void): void {
    const split = new Map<string, T[]>()
    for (const row of rows) {
      const name = ownerOf(shardOf(row.id), this.#options.netThreads)
      const list = split.get(name)
      if (list) list.push(row)
      else split.set(name, [row])
    }
    // An owner that is down announces its rows again when it is back; they expire then.
    for (const [name, list] of split) {
      const owner = this.#owners.get(name)
      if (owner) send(owner, list)
    }
  }

  /** At once, or as soon as all deliver threads have spoken. */
  #inTurn(act: () => void): void {
    if (this.#early) this.#early.push(act)
    else act()
  }

  /** What a deliver thread holds since before this scheduler, or before its own start. */
  #hasSpoken(index: number, rows: readonly RowRef[]): void {
    this.scheduler.inFlight(index, rows)
    this.scheduler.deliverThreadUp(index)
    this.#spoken.add(index)
    if (!this.#early || this.#spoken.size < this.#options.deliverThreads) return
    for (const act of this.#early) act()
    this.#early = undefined
  }

  /** An owner that was replaced does not finish: what it would have told comes from its successor, which starts with a scan. */
  #endScanOf(name: string, isComplete: boolean): void {
    if (!this.#scanning.delete(name)) return
    this.#isScanComplete &&= isComplete
    if (this.#scanning.size === 0) this.scheduler.scanned(this.#isScanComplete)
  }

  #shardsOf(owner: string): number[] {
    const { shards, netThreads } = this.#options
    return Array.from({ length: shards }, (_, shard) => shard).filter((shard) => ownerOf(shard, netThreads) === owner)
  }
}
