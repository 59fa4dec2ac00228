// A small world around the scheduler: owners with a durable store, deliver threads with connections, a router, peers with
// tempers, and days of virtual time. Everything is drawn from one seed. What must never happen is checked as it happens.

import assert from 'node:assert/strict'
import { ManualClock } from '../../src/lib/clock.ts'
import { Prng } from '../../src/lib/prng.ts'
import type {
  BackoffRecord,
  BlockedRow,
  ConnectionEnd,
  GrantItem,
  Reply,
  RouteAnswer,
  RowRef,
  SchedulerHost,
  SchedulerSettings,
  Site,
  SiteLimits,
} from '../../src/queue/ports.ts'
import { Scheduler } from '../../src/queue/schedule.ts'
import { limitsFor } from '../../src/queue/shaping.ts'
import { shardOf } from '../../src/spool/ids.ts'
import type { MessageId, QueueRow, Settled } from '../../src/spool/types.ts'

export const MINUTE: number = 60_000
export const HOUR: number = 60 * MINUTE
export const DAY: number = 24 * HOUR
const START = 1_800_000_000_000

/** A destination and its temper. Shares are of connections or messages. */
export interface Peer {
  readonly key: string
  readonly limits: SiteLimits
  /** Nobody answers there. */
  dead: boolean
  readonly connectMs: number
  readonly messageMs: number
  /** Share of connections that are refused with 421. */
  refuses: number
  /** Share of messages that get a 4xx. */
  defers: number
  /** Share of messages in which the connection is lost. */
  drops: number
  /** The connection is lost at every message of this tenant, '' when at none's. */
  poison: string
  /** Share of messages that take a minute. */
  stalls: number
}

export interface DomainModel {
  readonly name: string
  peer: Peer
  /** How long DNS takes; Infinity: it never answers. */
  dnsMs: number
  readonly ttlMs: number
  /** What the router says instead of a site. */
  failure: 'none' | 'temporary' | 'permanent'
}

interface Row {
  facts: QueueRow
  granted: number
  delivered: number
}

interface Owner {
  readonly shards: readonly number[]
  up: boolean
  epoch: number
  readonly rows: Map<string, Row>
  /** Batches of settlements that are on the books. */
  readonly committed: Set<number>
}

interface Batch {
  readonly number: number
  readonly thread: number
  readonly owner: number
  readonly results: readonly { readonly ref: RowRef; readonly delivered: boolean }[]
}

interface Line {
  readonly conn: number
  readonly peer: Peer
  readonly source: string
  state: 'opening' | 'up' | 'closing' | 'down'
  readonly items: GrantItem[]
  busy: boolean
  asked: boolean
  messages: number
  /** Of these, what the peer answered. */
  answered: number
}

interface Deliver {
  up: boolean
  epoch: number
  lines: Map<number, Line>
  unacknowledged: Map<number, Batch>
}

interface Event {
  readonly at: number
  readonly seq: number
  readonly run: () => void
}

const key = (ref: RowRef): string => `${ref.id}/${ref.group}`
const NO_REPLY: Reply = { code: 0, enhanced: '', text: '' }
/** The ends of connections; what they did is added. */
const TIMEOUT = { kind: 'failed', reply: { ...NO_REPLY, text: 'timeout' }, peer: '' } as const
const REFUSED = { kind: 'throttled', reply: { code: 421, enhanced: '4.7.0', text: 'too many connections' }, peer: 'peer' } as const
const BROKEN = { kind: 'broken', reply: { ...NO_REPLY, enhanced: '4.4.2', text: 'connection lost' }, peer: 'peer' } as const
const CLOSED = { kind: 'closed', reply: NO_REPLY, peer: '' } as const

export class World implements SchedulerHost<Peer> {
  readonly clock: ManualClock = new ManualClock(START)
  readonly random: Prng
  readonly peers: Map<string, Peer> = new Map()
  readonly domains: Map<string, DomainModel> = new Map()
  readonly owners: Owner[]
  readonly delivers: Deliver[]
  scheduler: Scheduler<Peer>
  schedulerEpoch = 0
  /** Ticks made: what the scheduler's thread was woken for. */
  ticks = 0
  /** A digest of all that happened, to compare runs. */
  digest = 0
  faults = 0
  readonly delivered: {
    readonly id: MessageId
    readonly at: number
    readonly tenant: string
    readonly class: number
    readonly domain: string
    readonly waitedMs: number
  }[] = []
  readonly backoffs: BackoffRecord[] = []
  warnings = 0
  expiries = 0
  bounces = 0
  maxHeld = 0
  scans = 0
  /** Rows in the scheduler's memory, at most. */
  maxResident = 0

  readonly #settings: Partial<SchedulerSettings>
  #events: Event[] = []
  #seq = 0
  #batch = 0
  #nextSequence = 1
  /** Who holds a row now: granted, and neither returned nor settled. */
  readonly #holder = new Map<string, number>()
  readonly #asked = new Set<string>()
  /** Open connections and the times of openings and messages by source and site. */
  readonly #open = new Map<string, number>()
  readonly #openings = new Map<string, number[]>()
  readonly #messages = new Map<string, number[]>()

  constructor(seed: number, settings: Partial<SchedulerSettings> = {}, delivers = 2, owners = 2) {
    this.random = new Prng(seed)
    this.#settings = settings
    this.owners = Array.from({ length: owners }, (_, i) => ({
      shards: Array.from({ length: 4 }, (_s, shard) => shard).filter((shard) => shard % owners === i),
      up: true,
      epoch: 0,
      rows: new Map(),
      committed: new Set(),
    }))
    this.delivers = Array.from({ length: delivers }, () => ({ up: true, epoch: 0, lines: new Map(), unacknowledged: new Map() }))
    this.scheduler = new Scheduler<Peer>(this, this.clock, new Prng(seed ^ 0x5bd1e995), settings)
    this.delivers.forEach((_, index) => this.scheduler.deliverThreadUp(index))
  }

  get now(): number {
    return this.clock.now()
  }

  /** Rows that owners have on disk. */
  get queued(): number {
    return this.owners.reduce((count, owner) => count + owner.rows.size, 0)
  }

  addPeer(name: string, fields: Partial<Omit<Peer, 'limits' | 'key'>> & { limits?: Partial<SiteLimits> } = {}): Peer {
    const { limits, ...temper } = fields
    const peer: Peer = {
      key: name,
      limits: { ...limitsFor(name, ''), ...limits },
      dead: false,
      connectMs: 20,
      messageMs: 30,
      refuses: 0,
      defers: 0,
      drops: 0,
      poison: '',
      stalls: 0,
      ...temper,
    }
    this.peers.set(name, peer)
    return peer
  }

  addDomain(name: string, peer: Peer, fields: Partial<DomainModel> = {}): DomainModel {
    const domain: DomainModel = { name, peer, dnsMs: 20, ttlMs: 10 * MINUTE, failure: 'none', ...fields }
    this.domains.set(name, domain)
    return domain
  }

  /** Accepts a message with one group a domain. */
  accept(domains: readonly string[], fields: Partial<QueueRow> = {}): MessageId {
    const shard = this.random.below(4)
    const id = shard * 2 ** 46 + this.#nextSequence++
    const owner = this.owners.find(({ shards, up }) => up && shards.includes(shard))
    if (!owner) {
      if (this.owners.some(({ up }) => up)) return this.accept(domains, fields)
      // All are down at once: the client comes again.
      this.later(1000, () => void this.accept(domains, fields))
      return id
    }
    const rows = domains.map((domain, group): QueueRow => this.#facts(id, group, domain, fields))
    for (const facts of rows) owner.rows.set(key(facts), { facts, granted: 0, delivered: 0 })
    this.#note(id)
    this.scheduler.announce(rows)
    this.maxResident = Math.max(this.maxResident, this.scheduler.residentCount)
    return id
  }

  #facts(id: MessageId, group: number, domain: string, fields: Partial<QueueRow>): QueueRow {
    const { now } = this
    const plain = {
      tenant: 'anna',
      class: 1 as const,
      priority: 0,
      due: now,
      expires: now + 5 * DAY,
      warnAt: 0,
      attempts: 0,
      recipients: 1,
      bytes: 1000,
      held: false,
    }
    return { ...plain, ...fields, id, group, domain }
  }

  /** Runs `fn` after `delayMs`. */
  later(delayMs: number, fn: () => void): void {
    const event = { at: this.now + Math.max(0, Math.round(delayMs)), seq: this.#seq++, run: fn }
    const heap = this.#events
    let place = heap.push(event) - 1
    while (place > 0 && before(event, heap[(place - 1) >> 1] as Event)) {
      heap[place] = heap[(place - 1) >> 1] as Event
      place = (place - 1) >> 1
    }
    heap[place] = event
  }

  #pop(): Event {
    const heap = this.#events
    const first = heap[0] as Event
    const last = heap.pop() as Event
    if (heap.length === 0) return first
    let place = 0
    for (;;) {
      let child = place * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!before(heap[child] as Event, last)) break
      heap[place] = heap[child] as Event
      place = child
    }
    heap[place] = last
    return first
  }

  /** Lets `ms` of the world pass, or less when `done` says so. */
  run(ms: number, done: () => boolean = () => false): void {
    const until = this.now + ms
    for (;;) {
      const eventAt = this.#events[0]?.at ?? Infinity
      const tickAt = Math.max(this.scheduler.nextTickAt(), this.now)
      const at = Math.min(eventAt, tickAt)
      if (at > until || done()) break
      this.clock.advance(at - this.now)
      if (eventAt <= tickAt) this.#pop().run()
      else {
        this.ticks++
        this.scheduler.tick()
      }
    }
    if (!done()) this.clock.advance(until - this.now)
  }

  // ---- The scheduler's host ----

  askRoute(name: string): void {
    assert.ok(!this.#asked.has(name) || this.faults > 0, `${name} was asked about twice`)
    this.#asked.add(name)
    const domain = this.domains.get(name) as DomainModel
    const { dnsMs } = domain
    if (dnsMs === Infinity) return
    const epoch = this.schedulerEpoch
    this.later(dnsMs * (0.5 + this.random.float()), () => {
      this.#asked.delete(name)
      if (epoch === this.schedulerEpoch) this.scheduler.routeAnswer(name, this.#routeOf(domain))
    })
  }

  #routeOf({ peer, ttlMs, failure }: DomainModel): RouteAnswer<Peer> {
    const reply = { code: 0, enhanced: failure === 'permanent' ? '5.1.2' : '4.4.3', text: failure }
    if (failure === 'permanent') return { kind: 'permanent', reply }
    if (failure === 'temporary') return { kind: 'temporary', reply, retryMs: 5 * MINUTE }
    return { kind: 'site', site: { key: peer.key, limits: peer.limits, route: peer }, ttlMs }
  }

  openConnection(conn: number, thread: number, site: Site<Peer>, source: string): void {
    const peer = site.route
    const deliver = this.delivers[thread] as Deliver
    assert.ok(deliver.up, 'a connection is opened on a thread that is down')
    const line: Line = { conn, peer, source, state: 'opening', items: [], busy: false, asked: false, messages: 0, answered: 0 }
    deliver.lines.set(conn, line)
    this.#count(line, 1)
    this.#checkRate(this.#openings, line, peer.limits.connectionRate, 'connections')
    const alive = this.#while(thread)
    this.later(peer.connectMs * (0.5 + this.random.float()), () => alive() && this.#connected(thread, line))
  }

  grant(conn: number, items: readonly GrantItem[]): void {
    const thread = this.delivers.findIndex((deliver) => deliver.lines.has(conn))
    const line = this.delivers[thread]?.lines.get(conn)
    assert.ok(line && line.state === 'up', 'a grant for a connection that is not up')
    assert.ok(line.asked, 'a grant that nobody asked for')
    line.asked = false
    for (const item of items) {
      for (const group of item.groups) this.#checkGrant(line, { id: item.id, group }, item)
      this.#checkRate(this.#messages, line, line.peer.limits.messageRate, 'messages')
    }
    line.messages += items.length
    assert.ok(line.messages <= line.peer.limits.messagesPerConnection, 'more messages than a connection may carry')
    line.items.push(...items)
    this.maxHeld = Math.max(this.maxHeld, this.#holder.size)
    const alive = this.#while(thread)
    this.later(1, () => alive() && this.#work(thread, line))
  }

  closeConnection(conn: number): void {
    const thread = this.delivers.findIndex((deliver) => deliver.lines.has(conn))
    const line = this.delivers[thread]?.lines.get(conn) as Line
    line.state = 'closing'
    const alive = this.#while(thread)
    this.later(5, () => alive() && this.#work(thread, line))
  }

  expire(rows: readonly BlockedRow[]): void {
    for (const row of rows) {
      const record = this.#record(row)
      if (record) assert.ok(record.facts.expires <= this.now, 'given up before its time')
    }
    this.#end(rows, () => this.expiries++)
  }

  bounce(rows: readonly RowRef[]): void {
    this.#end(rows, () => this.bounces++)
  }

  warn(rows: readonly BlockedRow[]): void {
    for (const row of rows) {
      const record = this.#record(row)
      if (!record) continue
      assert.ok(record.facts.warnAt > 0 && record.facts.warnAt <= this.now, 'warned before its time, or twice')
      record.facts = { ...record.facts, warnAt: 0 }
      this.warnings++
    }
  }

  backedOff(record: BackoffRecord): void {
    this.backoffs.push(record)
  }

  /** Owners read their groups piece by piece, while all goes on. */
  scan(): void {
    this.scans++
    const scan = { epoch: this.schedulerEpoch, left: this.owners.length, complete: true }
    for (const owner of this.owners) this.#scanSome(owner, owner.epoch, [...owner.rows.keys()], scan)
  }

  #scanSome(owner: Owner, epoch: number, left: string[], scan: { epoch: number; left: number; complete: boolean }): void {
    this.later(1 + this.random.below(5), () => {
      if (scan.epoch !== this.schedulerEpoch) return
      if (!owner.up || owner.epoch !== epoch) scan.complete = false
      else if (left.length > 0) {
        this.#pageKeys(owner, left.splice(0, 100))
        return this.#scanSome(owner, epoch, left, scan)
      }
      if (--scan.left === 0) this.scheduler.scanned(scan.complete)
    })
  }

  /** As they are on disk at the moment: some are gone since the scan began. */
  #pageKeys(owner: Owner, keys: readonly string[]): void {
    this.scheduler.page(keys.flatMap((name) => owner.rows.get(name)?.facts ?? []))
    this.maxResident = Math.max(this.maxResident, this.scheduler.residentCount)
  }

  // ---- Deliver threads ----

  #connected(thread: number, line: Line): void {
    if (line.peer.dead) this.#lost(thread, line, TIMEOUT)
    else if (this.random.float() < line.peer.refuses) this.#lost(thread, line, REFUSED)
    else {
      line.state = 'up'
      this.scheduler.connectionUp(line.conn)
      this.#pull(thread, line)
    }
  }

  /** Asks for work: ahead, saying what is on hand, and again when all of it is done. */
  #pull(thread: number, line: Line): void {
    const onHand = line.items.length + (line.busy ? 1 : 0)
    if (line.state !== 'up' || (line.asked && onHand > 0)) return
    line.asked = true
    const alive = this.#while(thread)
    this.later(1, () => {
      if (!alive() || line.state !== 'up') return
      line.asked = true
      this.scheduler.pull(line.conn, 1 + this.random.below(64), line.items.length + (line.busy ? 1 : 0))
    })
  }

  #work(thread: number, line: Line): void {
    if (line.busy || line.state === 'down') return
    if (line.state === 'closing') this.#giveBack(line, line.items.splice(0))
    let item = line.items.shift()
    while (item && this.now > item.notAfter) {
      this.#giveBack(line, [item])
      item = line.items.shift()
    }
    if (!item) {
      if (line.state === 'closing') this.#lost(thread, line, CLOSED)
      else this.#pull(thread, line)
      return
    }
    line.busy = true
    // As a rule more is asked for before the last message is through.
    if (line.items.length === 0 && this.random.below(4) > 0) this.#pull(thread, line)
    const sent = item
    const alive = this.#while(thread)
    const takesMs = this.random.float() < line.peer.stalls ? MINUTE : line.peer.messageMs * (0.5 + this.random.float())
    this.later(takesMs, () => alive() && this.#sent(thread, line, sent))
  }

  #sent(thread: number, line: Line, item: GrantItem): void {
    line.busy = false
    if (line.peer.dead || this.random.float() < line.peer.drops || this.#isPoison(line.peer, item)) {
      // At a later MAIL, or in the midst of the message; the first of a connection is told anyway.
      const isUntouched = line.answered > 0 && this.random.below(2) === 0
      if (isUntouched) this.#giveBack(line, [item])
      else this.#settle(thread, item, false)
      this.#lost(thread, line, isUntouched ? CLOSED : BROKEN)
      return
    }
    line.answered++
    this.#settle(thread, item, this.random.float() >= line.peer.defers)
    this.#work(thread, line)
  }

  #isPoison({ poison }: Peer, { id }: GrantItem): boolean {
    if (poison === '') return false
    const owner = this.owners.find(({ shards }) => shards.includes(shardOf(id))) as Owner
    return [...owner.rows.values()].some(({ facts }) => facts.id === id && facts.tenant === poison)
  }

  #lost(thread: number, line: Line, end: Omit<ConnectionEnd, 'messages'>): void {
    if (line.state === 'down') return
    line.state = 'down'
    this.#giveBack(line, line.items.splice(0))
    this.#count(line, -1)
    this.delivers[thread]?.lines.delete(line.conn)
    this.scheduler.connectionDown(line.conn, { ...end, messages: line.answered })
  }

  #giveBack(line: Line, items: readonly GrantItem[]): void {
    if (items.length === 0) return
    line.messages -= items.length
    for (const { id, groups } of items) for (const group of groups) this.#holder.delete(key({ id, group }))
    this.scheduler.returned(line.conn, items, this.random.below(20) === 0 ? 'error' : 'unused')
  }

  #settle(thread: number, item: GrantItem, delivered: boolean): void {
    const owner = this.owners.findIndex(({ shards }) => shards.includes(shardOf(item.id)))
    const results = item.groups.map((group) => ({ ref: { id: item.id, group }, delivered }))
    const batch: Batch = { number: ++this.#batch, thread, owner, results }
    this.delivers[thread]?.unacknowledged.set(batch.number, batch)
    this.#send(batch)
  }

  /** To the owner, who commits within 20 ms and then tells the scheduler. */
  #send(batch: Batch): void {
    const owner = this.owners[batch.owner] as Owner
    const { epoch } = owner
    this.later(this.random.below(20), () => {
      if (!owner.up || owner.epoch !== epoch) return
      const told = this.#commit(owner, batch)
      this.later(1, () => {
        if (!owner.up || owner.epoch !== epoch) return
        this.delivers[batch.thread]?.unacknowledged.delete(batch.number)
        for (const { ref } of batch.results) this.#holder.delete(key(ref))
        this.scheduler.settled(told)
      })
    })
  }

  #commit(owner: Owner, batch: Batch): Settled[] {
    const again = owner.committed.has(batch.number)
    owner.committed.add(batch.number)
    return batch.results.map(({ ref, delivered }): Settled => {
      const record = owner.rows.get(key(ref))
      if (!record) return { kind: 'gone', ...ref }
      if (again) return { kind: 'rescheduled', row: record.facts }
      if (delivered) return this.#deliveredRow(owner, record)
      const attempts = record.facts.attempts + 1
      const delay = Math.min(5 * MINUTE * 2 ** (attempts - 1), 4 * HOUR)
      record.facts = { ...record.facts, attempts, due: Math.min(this.now + delay, record.facts.expires) }
      return { kind: 'rescheduled', row: record.facts }
    })
  }

  #deliveredRow(owner: Owner, { facts }: Row): Settled {
    owner.rows.delete(key(facts))
    this.#note(facts.id * 7 + facts.group)
    this.delivered.push({
      id: facts.id,
      at: this.now,
      tenant: facts.tenant,
      class: facts.class,
      domain: facts.domain,
      waitedMs: this.now - facts.due,
    })
    return { kind: 'gone', id: facts.id, group: facts.group }
  }

  // ---- Owners ----

  #end(rows: readonly RowRef[], tally: () => void): void {
    for (const ref of rows) {
      const owner = this.owners.find(({ shards }) => shards.includes(shardOf(ref.id))) as Owner
      const { epoch } = owner
      this.later(this.random.below(20), () => {
        if (!owner.up || owner.epoch !== epoch) return
        if (owner.rows.delete(key(ref))) tally()
        this.scheduler.settled([{ kind: 'gone', ...ref }])
      })
    }
  }

  /** An operator does something to a random row. */
  meddle(): void {
    const owner = this.owners[this.random.below(this.owners.length)] as Owner
    const records = [...owner.rows.values()]
    const record = records[this.random.below(records.length)]
    if (!owner.up || !record) return
    const { facts } = record
    switch (this.random.below(4)) {
      case 0:
        record.facts = { ...facts, held: true }
        break
      case 1:
        record.facts = { ...facts, held: false }
        break
      case 2:
        record.facts = { ...facts, due: this.now }
        break
      default:
        owner.rows.delete(key(facts))
        this.scheduler.settled([{ kind: 'gone', id: facts.id, group: facts.group }])
        return
    }
    this.scheduler.announce([record.facts])
  }

  releaseAll(): void {
    for (const owner of this.owners) {
      for (const record of owner.rows.values()) {
        if (!record.facts.held) continue
        record.facts = { ...record.facts, held: false }
        this.scheduler.announce([record.facts])
      }
    }
  }

  // ---- Deaths ----

  killDeliver(index: number): void {
    const deliver = this.delivers[index] as Deliver
    if (!deliver.up) return
    this.faults++
    deliver.up = false
    deliver.epoch++
    for (const line of deliver.lines.values()) {
      for (const { id, groups } of line.items) for (const group of groups) this.#holder.delete(key({ id, group }))
      this.#count(line, -1)
      line.state = 'down'
    }
    // What it was sending, and what it had told an owner that has not committed.
    for (const [row, thread] of this.#holder) if (thread === index) this.#holder.delete(row)
    deliver.lines = new Map()
    deliver.unacknowledged = new Map()
    this.scheduler.deliverThreadDown(index)
    this.later(this.random.below(5_000), () => {
      deliver.up = true
      this.scheduler.inFlight(index, [])
      this.scheduler.deliverThreadUp(index)
    })
  }

  killOwner(index: number): void {
    const owner = this.owners[index] as Owner
    if (!owner.up) return
    this.faults++
    owner.up = false
    owner.epoch++
    this.scheduler.ownerDown(owner.shards)
    this.delivers.forEach((deliver, thread) => deliver.up && this.scheduler.inFlight(thread, this.#held(thread)))
    this.later(this.random.below(5_000), () => {
      owner.up = true
      this.#announceAll(owner)
      for (const deliver of this.delivers) {
        for (const batch of deliver.unacknowledged.values()) if (batch.owner === index) this.#send(batch)
      }
    })
  }

  /** The scheduler dies: connections of its time end, and a new one learns what is held before it grants. */
  killScheduler(): void {
    this.faults++
    this.schedulerEpoch++
    this.#asked.clear()
    this.scheduler = new Scheduler<Peer>(this, this.clock, new Prng(this.random.u32()), this.#settings)
    this.delivers.forEach((deliver, index) => {
      for (const line of deliver.lines.values()) {
        const waiting = line.items.splice(0)
        for (const { id, groups } of waiting) for (const group of groups) this.#holder.delete(key({ id, group }))
        if (line.state === 'opening') this.#forgetLine(deliver, line)
        else {
          line.state = 'closing'
          if (!line.busy) this.#forgetLine(deliver, line)
        }
      }
      if (deliver.up) this.scheduler.inFlight(index, this.#held(index))
    })
    for (const owner of this.owners) if (owner.up) this.#announceAll(owner)
    this.delivers.forEach((deliver, index) => deliver.up && this.scheduler.deliverThreadUp(index))
  }

  #forgetLine(deliver: Deliver, line: Line): void {
    line.state = 'down'
    this.#count(line, -1)
    deliver.lines.delete(line.conn)
  }

  #announceAll(owner: Owner): void {
    const rows = [...owner.rows.values()].map(({ facts }) => facts).sort((a, b) => a.due - b.due)
    for (let at = 0; at < rows.length; at += 500) this.scheduler.page(rows.slice(at, at + 500))
  }

  #held(thread: number): RowRef[] {
    const refs: RowRef[] = []
    for (const [row, holder] of this.#holder) {
      const [id, group] = row.split('/').map(Number)
      if (holder === thread) refs.push({ id: id as number, group: group as number })
    }
    return refs
  }

  // ---- Checks ----

  #checkGrant(line: Line, ref: RowRef, item: GrantItem): void {
    const row = key(ref)
    assert.ok(!this.#holder.has(row), `${row} is granted twice`)
    const thread = this.delivers.findIndex((deliver) => deliver.lines.has(line.conn))
    this.#holder.set(row, thread)
    this.#note(ref.id + ref.group)
    const record = this.#record(ref)
    assert.ok(record || this.faults > 0, `${row} is granted but does not exist`)
    if (!record) return
    const { facts } = record
    assert.ok(!facts.held, `${row} is granted while it is held`)
    assert.ok(facts.due <= this.now, `${row} is granted before it is due`)
    assert.ok(facts.expires > this.now - 100, `${row} is granted after its time`)
    assert.equal(item.attempt, facts.attempts + 1)
    assert.equal(item.notAfter, this.now + 5_000)
    record.granted++
  }

  #checkRate(times: Map<string, number[]>, line: Line, rate: SiteLimits['messageRate'], what: string): void {
    if (!rate) return
    const path = `${line.source} ${line.peer.key} ${this.schedulerEpoch}`
    const used = times.get(path) ?? []
    times.set(path, used)
    used.push(this.now)
    while ((used[0] as number) <= this.now - rate.periodMs) used.shift()
    assert.ok(used.length <= rate.count, `${used.length} ${what} in ${rate.periodMs} ms at ${path}`)
  }

  #count(line: Line, by: 1 | -1): void {
    const path = `${line.source} ${line.peer.key}`
    const open = (this.#open.get(path) ?? 0) + by
    this.#open.set(path, open)
    // Connections of a former scheduler may still be finishing.
    if (by > 0 && this.schedulerEpoch === 0) assert.ok(open <= line.peer.limits.connections, `${open} connections of ${path}`)
  }

  /** What the scheduler knows is what the owners have on disk. */
  checkBooks(): void {
    const up = this.owners.filter((owner) => owner.up)
    const onDisk = up.reduce((count, owner) => count + owner.rows.size, 0)
    const summary = this.scheduler.summary()
    const counted = summary.reduce(
      (sum, { scheduled, routing, ready, inFlight, held }) => sum + scheduled + routing + ready + inFlight + held,
      0,
    )
    assert.ok(counted <= this.scheduler.residentCount, 'states do not add up')
    for (const owner of up) {
      for (const { facts } of owner.rows.values()) {
        const [view] = this.scheduler.view([facts])
        if (!view && this.scheduler.isPaging) continue
        assert.ok(view, `${key(facts)} is lost`)
        assert.ok(view.state !== 'inFlight' || this.#holder.has(key(facts)) || this.faults > 0, `${key(facts)} is in flight with nobody`)
      }
    }
    if (this.faults === 0) assert.ok(this.scheduler.residentCount - onDisk <= this.maxHeld + 1, 'rows that do not exist')
  }

  #record(ref: RowRef): Row | undefined {
    return this.owners.find(({ shards }) => shards.includes(shardOf(ref.id)))?.rows.get(key(ref))
  }

  /** Whether a thread lives on, and the scheduler that its connection belongs to. */
  #while(thread: number): () => boolean {
    const deliver = this.delivers[thread] as Deliver
    const { epoch } = deliver
    return () => deliver.up && deliver.epoch === epoch
  }

  #note(value: number): void {
    this.digest = (Math.imul(this.digest ^ (value >>> 0), 0x01000193) ^ (this.now >>> 0)) >>> 0
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq)
}
