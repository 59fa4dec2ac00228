// The whole server in one thread: owners, the scheduler and deliver threads with their real code, joined by simulated
// channels, on a simulated disk, with simulated remote sites, DNS and clients. Everything is drawn from one seed.

import assert from 'node:assert/strict'
import { parseConfig } from '../../../src/config/parse.ts'
import type { Config } from '../../../src/config/schema.ts'
import type { DeliverSettings } from '../../../src/deliver/dispatcher.ts'
import { deliverLimits } from '../../../src/deliver/limits.ts'
import { Router } from '../../../src/deliver/route.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { MemoryResolver } from '../../../src/net/resolver-memory.ts'
import type { SchedulerSettings, SiteLimits } from '../../../src/queue/ports.ts'
import { schedulerSettings } from '../../../src/queue/settings.ts'
import { limitsFor } from '../../../src/queue/shaping.ts'
import type { SmtpSessionConfig } from '../../../src/session/smtp/config.ts'
import { checkSpool } from '../../../src/spool/check.ts'
import { errorCode } from '../../../src/spool/disk.ts'
import type { SpoolDisk } from '../../../src/spool/disk.ts'
import { EventTail } from '../../../src/spool/events.ts'
import { idToText, shardOf } from '../../../src/spool/ids.ts'
import { prepareSpool } from '../../../src/spool/layout.ts'
import { MemoryDisk, withFaults } from '../../../src/spool/memory.ts'
import type { DiskOperation } from '../../../src/spool/memory.ts'
import type { AdminOrder, EventType, RowRef, SpoolOptions } from '../../../src/spool/ports.ts'
import { SpoolReader } from '../../../src/spool/reader.ts'
import { DeliverService } from '../../../src/threads/deliver-service.ts'
import { dsnComposer } from '../../../src/threads/dsn.ts'
import type {
  DeliverToOwner,
  DeliverToScheduler,
  OwnerToDeliver,
  OwnerToScheduler,
  SchedulerToDeliver,
  SchedulerToOwner,
} from '../../../src/threads/messages.ts'
import { unpackRows } from '../../../src/threads/messages.ts'
import { ownerOptions, relayPolicy } from '../../../src/threads/net-settings.ts'
import { OwnerService } from '../../../src/threads/owner-service.ts'
import { SchedulerService } from '../../../src/threads/scheduler-service.ts'
import { CHANNELS, kindOf, ownerOf, threadNames } from '../../../src/threads/topology.ts'
import type { Lookup, RecordType, Resolver } from '../../../src/wire/dns/types.ts'
import { Books } from './books.ts'
import type { MessageId } from '../../../src/spool/types.ts'
import { Client } from './client.ts'
import type { Letter } from './client.ts'
import { WorldClock } from './clock.ts'
import { diskOf } from './disk.ts'
import { Life } from './life.ts'
import { RemoteNet } from './remote.ts'
import type { RemoteSite } from './remote.ts'
import { WireEnd } from './wire.ts'

export const SECOND: number = 1000
export const MINUTE: number = 60 * SECOND
export const HOUR: number = 60 * MINUTE
const START = 1_800_000_000_000
const DATA_DIR = '/data'

export interface WorldOptions {
  readonly seed: number
  readonly net: number
  readonly deliver: number
  /** Bytes of the disk; absent: endless. */
  readonly diskBytes?: number
  /** Operations of the disk take simulated time. */
  readonly slowDisk?: boolean
  /** Rows in the scheduler's memory. */
  readonly residentEntries?: number
}

/** A thread over all its lives. */
interface Thread {
  readonly name: string
  life: Life | undefined
  /** Set once it is up: what it does with a channel to another thread. */
  join: ((peer: string, end: WireEnd<never, never>) => void) | undefined
  /** Channels that came before that. */
  early: [string, WireEnd<never, never>][]
  deaths: number
  /** Deaths one behind the other, and the start of this life. */
  failures: number
  bornAt: number
  owner: OwnerService | undefined
  scheduler: SchedulerService | undefined
  deliver: DeliverService | undefined
  net: RemoteNet | undefined
}

type Any = WireEnd<never, never>

export class World {
  readonly clock: WorldClock = new WorldClock(START)
  readonly random: Prng
  readonly books: Books = new Books(
    () => this.clock.now(),
    (id) => this.onMoment(id),
  )
  /** What the weather makes of a moment in which much hangs on what happens next to a message. */
  onMoment: (id: MessageId) => void = () => undefined
  /** The power fails as soon as the run looks up. */
  powerFails = false
  readonly config: Config
  readonly session: SmtpSessionConfig
  readonly resolver: MemoryResolver = new MemoryResolver({}, {})
  readonly sites: RemoteSite[] = []
  readonly threads: ReadonlyMap<string, Thread>
  disk: MemoryDisk
  reign = 0
  /** Faults of the disk and of DNS, while they last. */
  diskFault: ((operation: DiskOperation, path: string) => string | undefined) | undefined
  dnsFails = false
  dnsMs: () => number = () => 1 + this.random.below(30)
  /** Time of a disk operation, and of a post between threads. */
  diskMs: () => number = () => this.random.below(3)
  postMs: () => number = () => this.random.below(3)
  readonly faults: Record<string, number> = {}
  /** What happened, newest last. */
  readonly story: string[] = []
  digest = 0
  events = 0
  readonly startedAt: number = START
  readonly #options: WorldOptions
  readonly #sitesByAddress = new Map<string, RemoteSite>()
  readonly #limits = new Map<string, RemoteSite>()
  /** Clients of each owner's life. */
  readonly #clients = new Map<Life, Client[]>()
  /** Threads that die now are not started again. */
  #stopping = false
  /** Starts of the machine. */
  #power = 0
  #failure: { readonly error: unknown } | undefined

  constructor(options: WorldOptions, routes: readonly { readonly domain: string; readonly to: string }[]) {
    this.#options = options
    this.random = new Prng(options.seed)
    this.config = configOf(options, routes)
    this.session = sessionOf(this.config)
    this.disk = new MemoryDisk({
      random: this.random,
      ...(options.diskBytes !== undefined && { capacityBytes: options.diskBytes }),
      ...(options.slowDisk && { latency: { clock: this.clock, ms: () => this.diskMs() } }),
    })
    const names = threadNames(options).filter((name) => name !== 'main')
    this.threads = new Map(names.map((name) => [name, blankThread(name)]))
  }

  addSite(site: RemoteSite): RemoteSite {
    this.sites.push(site)
    this.#limits.set(site.key, site)
    for (const address of site.addresses) this.#sitesByAddress.set(address, site)
    return site
  }

  siteAt(address: string): RemoteSite | undefined {
    return this.#sitesByAddress.get(address)
  }

  note(text: string): void {
    for (let i = 0; i < text.length; i++) this.digest = Math.imul(this.digest ^ text.charCodeAt(i), 0x01000193) >>> 0
    this.digest = (this.digest ^ this.clock.now()) >>> 0
    if (this.story.length >= 50_000) this.story.splice(0, 25_000)
    this.story.push(`${((this.clock.now() - START) / SECOND).toFixed(3)} ${text}`)
  }

  failed(error: unknown): void {
    this.#failure ??= { error }
  }

  // ---- Time ----

  /** Lets `ms` pass, or less when `done` says so. */
  async run(ms: number, done: () => boolean = () => false): Promise<void> {
    const until = this.clock.now() + ms
    do {
      this.events++
      // Promises of an event are served before the next one.
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (this.#failure) throw this.#failure.error
    } while (!done() && this.clock.step(until))
    if (!done()) this.clock.skip(until)
  }

  // ---- Threads ----

  /** Main makes the spool, then owners come first: a reader finds their shards. */
  async start(): Promise<void> {
    await this.#await(prepareSpool(this.disk, DATA_DIR, this.config.limits.shards))
    const late: string[] = []
    for (const name of this.threads.keys())
      if (kindOf(name) === 'deliver') late.push(name)
      else this.#spawn(name)
    await this.run(HOUR, () => [...this.threads.values()].every(({ name, join }) => kindOf(name) === 'deliver' || join))
    for (const name of late) this.#spawn(name)
    await this.run(HOUR, () => this.allUp)
    assert.ok(this.allUp, 'the server does not start')
  }

  get allUp(): boolean {
    return [...this.threads.values()].every(({ join }) => join)
  }

  /** A thread dies of an exception, and is started again when the kernel has finished what it was told. */
  kill(name: string): void {
    const thread = this.#thread(name)
    if (!thread.life?.alive) return
    this.#count(`death of ${kindOf(name)}`)
    this.note(`${name} dies`)
    const { life, deliver } = thread
    if (deliver) {
      this.books.doubt(deliver.held())
      this.books.crashed()
    }
    this.#bury(thread)
    // As the supervisor does: who lived for long starts with a fresh back-off.
    thread.failures = this.clock.now() - thread.bornAt > 30 * SECOND ? 1 : thread.failures + 1
    thread.deaths++
    const delay = Math.min(100 * 2 ** Math.min(thread.failures - 1, 7), 10 * SECOND) + this.random.below(300)
    const power = this.#power
    const again = (): void => {
      if (power !== this.#power || this.#stopping) return
      if (life.underWay > 0) this.clock.after(5, again)
      else this.#spawn(name)
    }
    this.clock.after(delay, again)
  }

  /** The power fails: nothing is left but what is on disk. */
  async cutPower(): Promise<void> {
    this.powerFails = false
    this.#power++
    this.#count('power cut')
    this.note('power fails')
    for (const thread of this.threads.values()) this.#bury(thread)
    this.books.crashed()
    this.disk = this.disk.crash()
    this.books.indexes.clear()
    await this.run(this.random.below(3 * SECOND))
    await this.start()
  }

  /** SIGTERM in main's order, and a start: what a site took is on the books, unless the disk or a dead thread is in the way. */
  async restart(patienceMs: number): Promise<void> {
    this.#stopping = true
    this.#count('restart')
    this.note('the server stops')
    const delivers = this.#living().flatMap(({ life, deliver }) => (deliver ? [{ life, deliver }] : []))
    const owners = this.#living().flatMap(({ life, owner }) => (owner ? [{ life, owner }] : []))
    for (const { life, deliver } of delivers) life.enter(() => deliver.drain(), true)
    await this.run(patienceMs, () => delivers.every(({ deliver }) => deliver.core.connections === 0 && deliver.held().length === 0))
    let settled = 0
    let closed = 0
    for (const { life, deliver } of delivers) life.enter(() => deliver.abort(() => settled++), true)
    await this.run(2 * SECOND, () => settled === delivers.length)
    for (const { life, owner } of owners) {
      life.enter(() => {
        for (const client of this.#clients.get(life) ?? []) client.cut()
        void owner.owner.close().then(() => closed++)
      }, true)
    }
    await this.run(10 * SECOND, () => closed === owners.length)
    if (settled < delivers.length || closed < owners.length || this.diskFault) this.books.crashed()
    const lives = this.#living().map(({ life }) => life)
    for (const thread of this.threads.values()) this.#bury(thread)
    await this.run(HOUR, () => lives.every(({ underWay }) => underWay === 0))
    this.books.indexes.clear()
    this.#stopping = false
    this.#power++
    await this.start()
  }

  /** SIGHUP: the threads hear of it one after the other. */
  reload(): void {
    this.#count('reload')
    for (const { life, deliver, scheduler } of this.#living()) {
      this.clock.after(this.random.below(20), () => {
        life.enter(() => {
          deliver?.configure(this.#deliverSettings(), this.#router(life))
          scheduler?.scheduler.configure(this.#schedulerSettings())
          scheduler?.arm()
        }, true)
      })
    }
  }

  #living(): (Thread & { life: Life })[] {
    return [...this.threads.values()].flatMap((thread) => {
      const { life } = thread
      return life?.alive ? [{ ...thread, life }] : []
    })
  }

  #bury(thread: Thread): void {
    thread.life?.end()
    thread.net?.end()
    const { name, deaths, failures, bornAt } = thread
    Object.assign(thread, { ...blankThread(name), deaths, failures, bornAt })
  }

  #newReign(): void {
    this.reign++
    for (const site of this.sites) site.open = 0
  }

  #spawn(name: string): void {
    const thread = this.#thread(name)
    if (kindOf(name) === 'scheduler') this.#newReign()
    const life = new Life(`${name}#${thread.deaths}.${this.clock.now()}`, this.clock, (error) => this.failed(error))
    assert.ok(!thread.life, `${name} lives twice`)
    thread.life = life
    thread.bornAt = this.clock.now()
    this.note(`${name} starts`)
    for (const peer of this.threads.values()) {
      if (peer === thread || !peer.life?.alive || !talk(name, peer.name)) continue
      const [mine, theirs] = WireEnd.pair<never, never>(life, peer.life, {
        clock: this.clock,
        random: this.random,
        delayMs: () => this.postMs(),
      })
      thread.early.push([peer.name, mine])
      peer.life.enter(() => (peer.join ? peer.join(name, theirs) : peer.early.push([name, theirs])), true)
    }
    this.#begin(thread, life).then(
      (join) => {
        if (!life.alive) return
        thread.join = join
        for (const [peer, end] of thread.early.splice(0)) life.enter(() => join(peer, end), true)
      },
      (error: unknown) => {
        // What a disk that fails at a start means to a thread: another start.
        this.note(`${name} does not start: ${String(error)}`)
        if (!life.alive) return
        if (errorCode(error) !== '') this.kill(name)
        else this.failed(error)
      },
    )
  }

  #begin(thread: Thread, life: Life): Promise<(peer: string, end: Any) => void> {
    switch (kindOf(thread.name)) {
      case 'net':
        return this.#beginOwner(thread, life)
      case 'scheduler':
        return this.#beginScheduler(thread, life)
      default:
        return this.#beginDeliver(thread, life)
    }
  }

  async #beginOwner(thread: Thread, life: Life): Promise<(peer: string, end: Any) => void> {
    const shards = Array.from({ length: this.config.limits.shards }, (_, shard) => shard)
    const own = shards.filter((shard) => ownerOf(shard, this.#options.net) === thread.name)
    const service = await OwnerService.open(DATA_DIR, own, this.#ownerOptions(life), {
      log: this.#log(thread.name),
      event: (event) => this.books.event(event),
    })
    thread.owner = service
    return (peer, end) => {
      if (kindOf(peer) === 'scheduler') {
        const channel = end as unknown as WireEnd<OwnerToScheduler, SchedulerToOwner>
        channel.receive((message) => service.fromScheduler(message))
        service.schedulerUp(channel)
      } else {
        const channel = end as unknown as WireEnd<OwnerToDeliver, DeliverToOwner>
        channel.receive((message) => service.fromDeliver(channel, message))
      }
    }
  }

  #ownerOptions(life: Life): SpoolOptions {
    const compose = dsnComposer(this.config)
    const options = ownerOptions(this.config, {
      clock: life.clock,
      random: new Prng(this.random.u32()),
      composeDsn: (facts) => {
        const dsn = compose(facts)
        if (dsn) this.books.composed(life.name, facts, dsn)
        return dsn
      },
    })
    return { ...options, disk: this.#diskOf(life), segmentBytes: 256 * 1024, eventFileBytes: 32 * 1024 }
  }

  #schedulerSettings(): Partial<SchedulerSettings> {
    const { residentEntries } = this.#options
    return { ...schedulerSettings(this.config), ...(residentEntries !== undefined && { residentEntries }) }
  }

  #deliverSettings(): DeliverSettings {
    return {
      sources: [{ name: 'default', hello: this.config.hostname }],
      limits: deliverLimits(this.config.limits),
      allowHosts: [],
      ownAddresses: [],
    }
  }

  async #beginScheduler(thread: Thread, life: Life): Promise<(peer: string, end: Any) => void> {
    const service = new SchedulerService({
      netThreads: this.#options.net,
      deliverThreads: this.#options.deliver,
      shards: this.config.limits.shards,
      clock: life.clock,
      random: new Prng(this.random.u32()),
      settings: this.#schedulerSettings(),
      log: this.#log(thread.name),
    })
    thread.scheduler = service
    return (peer, end) => {
      if (kindOf(peer) === 'net') {
        const channel = end as unknown as WireEnd<SchedulerToOwner, OwnerToScheduler>
        channel.receive((message) => {
          if (message.kind === 'spool.announce' || message.kind === 'spool.scan')
            for (const { id } of unpackRows(message.rows)) this.books.stored(id)
          service.fromOwner(peer, channel, message)
        })
        service.ownerUp(peer, channel)
      } else {
        const index = Number(peer.split('.')[1]) - 1
        const channel = end as unknown as WireEnd<SchedulerToDeliver, DeliverToScheduler>
        channel.receive((message) => service.fromDeliver(index, message))
        service.deliverUp(index, channel)
      }
    }
  }

  async #beginDeliver(thread: Thread, life: Life): Promise<(peer: string, end: Any) => void> {
    const reader = await SpoolReader.open(DATA_DIR, { disk: this.#diskOf(life) })
    const net = new RemoteNet(this, life)
    thread.net = net
    const service = new DeliverService({
      netThreads: this.#options.net,
      deliver: {
        ...this.#deliverSettings(),
        reader,
        clock: life.clock,
        transport: net,
        defer: (fn) => void life.clock.after(0, fn),
        random: new Prng(this.random.u32()),
        nonce: () => 'nonce',
      },
      router: this.#router(life),
      log: this.#log(thread.name),
      closed: () => undefined,
      drained: () => undefined,
    })
    thread.deliver = service
    everySecond(life, () => reader.closeIdle())
    return (peer, end) => {
      if (kindOf(peer) === 'scheduler') {
        net.reign = this.reign
        const channel = end as unknown as WireEnd<DeliverToScheduler, SchedulerToDeliver>
        channel.receive((message) => service.fromScheduler(message))
        service.schedulerUp(channel)
      } else {
        const channel = end as unknown as WireEnd<DeliverToOwner, OwnerToDeliver>
        channel.receive((message) => service.fromOwner(message))
        service.ownerUp(peer, channel)
      }
    }
  }

  #router(life: Life): Router {
    const resolver: Resolver = {
      lookup: <T extends RecordType>(name: string, type: T) =>
        new Promise<Lookup<T>>((resolve) => {
          this.onMoment(0)
          const delay = this.random.below(20) === 0 ? this.random.below(5 * SECOND) : this.dnsMs()
          life.clock.after(delay, () => {
            if (this.dnsFails) resolve({ kind: 'failure', reason: 'servfail', text: 'simulated' })
            else void this.resolver.lookup(name, type).then(resolve)
          })
        }),
    }
    return new Router({
      config: this.config,
      resolver,
      random: new Prng(this.random.u32()),
      ownAddresses: [],
      limitsFor: (key) => this.#limitsOf(key),
      providerOf: () => '',
    })
  }

  #limitsOf(key: string): SiteLimits {
    return { ...limitsFor(key, ''), ...this.#limits.get(key)?.limits }
  }

  #diskOf(life: Life): SpoolDisk {
    const { disk } = this
    const faulty = withFaults(disk, (operation, path) => (this.disk === disk ? this.diskFault?.(operation, path) : undefined))
    return diskOf(life, faulty, (directory, index) => this.books.indexes.set(directory, index))
  }

  #log(name: string): Record<'info' | 'warn' | 'error', (fields: object | string, text?: string) => void> {
    const say =
      (level: string) =>
      (fields: object | string, text?: string): void =>
        this.note(`${name} ${level}: ${text ?? ''} ${typeof fields === 'string' ? fields : JSON.stringify(fields)}`)
    return { info: () => undefined, warn: say('warns'), error: say('error') }
  }

  #thread(name: string): Thread {
    const thread = this.threads.get(name)
    assert.ok(thread, `there is no thread ${name}`)
    return thread
  }

  #count(fault: string): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1
  }

  // ---- Mail ----

  /** A client hands the letter to one of the net threads that are up. */
  submit(letter: Letter): void {
    if (this.#stopping) return
    const open = [...this.threads.values()].filter(({ owner, life }) => owner && life?.alive)
    const thread = open[this.random.below(open.length)]
    const seed = this.random.u32()
    if (!thread?.life) return
    const { life, owner } = thread
    const clients = this.#clients.get(life) ?? []
    this.#clients.set(life, clients)
    life.enter(() => clients.push(new Client(this, life, (owner as OwnerService).owner, letter, seed)))
  }

  /** An operator does something to a row that the scheduler knows. */
  operate(action: AdminOrder['action']): void {
    const rows = this.#thread('scheduler').scheduler?.scheduler.rows({}).rows ?? []
    const row = rows[this.random.below(rows.length)]
    if (row) this.#admin(action, [row])
  }

  releaseAll(): void {
    // Also what is under way and was held meanwhile.
    for (const row of this.#thread('scheduler').scheduler?.scheduler.rows({}).rows ?? []) this.#admin('release', [row])
  }

  #admin(action: AdminOrder['action'], rows: readonly RowRef[]): void {
    const { life, owner } = this.#thread(ownerOf(shardOf((rows[0] as RowRef).id), this.#options.net))
    if (!owner) return
    const refs = rows.map(({ id, group }) => ({ id, group }))
    // A disk that goes on failing: the order is kept.
    const isKept = (error: unknown): void => assert.match(String(error), /the order is kept/)
    life?.enter(() => void owner.owner.admin(action, refs).catch(isKept))
  }

  /** Groups on disk, as the owners count them; NaN while one is down. */
  get queued(): number {
    let groups = 0
    for (const { name, owner } of this.threads.values()) if (kindOf(name) === 'net') groups += owner ? owner.owner.counts().groups : NaN
    return groups
  }

  /** Why rows do not move. */
  explain(): string {
    const scheduler = this.#thread('scheduler').scheduler?.scheduler
    const rows = scheduler?.rows({}).rows ?? []
    const reasons = rows.map(({ id, group, domain }) => ({
      id,
      group,
      domain,
      why: scheduler?.explain([{ id, group }])[0],
    }))
    return reasons
      .map(({ id, group, domain, why }) => `${idToText(id)}/${group} ${domain} ${why?.state} ${JSON.stringify(why?.binding)}`)
      .join('; ')
  }

  // ---- The end ----

  /** With nothing queued and no faults: memory is as at the start. */
  async checkQuiet(): Promise<void> {
    for (const { name, owner, scheduler, deliver } of this.threads.values()) {
      if (owner) {
        const { messages, groups, segmentBytes } = owner.owner.counts()
        const { waiting, backlogBytes, failing } = owner.owner.stress()
        assert.deepEqual({ messages, groups, segmentBytes }, { messages: 0, groups: 0, segmentBytes: 0 }, `${name} holds`)
        assert.deepEqual({ waiting, backlogBytes, failing }, { waiting: 0, backlogBytes: 0, failing: false }, `${name} works`)
      }
      if (scheduler) {
        assert.equal(scheduler.scheduler.residentCount, 0, 'rows that are nowhere on disk')
        assert.equal(scheduler.scheduler.isPaging, false, 'the scheduler looks for rows that are nowhere')
      }
      if (deliver) {
        assert.deepEqual(deliver.held(), [], `${name} holds`)
        assert.equal(deliver.core.connections, 0, `connections of ${name}`)
      }
    }
    for (const { key, open } of this.sites) assert.equal(open, 0, `connections to ${key}`)
    await this.#checkSpool()
  }

  async #checkSpool(): Promise<void> {
    const { findings } = await this.#await(checkSpool(DATA_DIR, this.disk))
    assert.deepEqual(findings, [])
  }

  /** The event log has what happened, over all lives. */
  async readLog(): Promise<void> {
    const tail = await this.#await(EventTail.open(DATA_DIR, { disk: this.disk, clock: this.clock, holdBackMs: 0 }))
    for (;;) {
      const lines = await this.#await(tail.poll())
      if (lines.length === 0) return
      for (const { line } of lines) this.books.logged(JSON.parse(line) as { type: EventType; id: string; recipient: string })
    }
  }

  /** Lets time pass until `work` has ended. */
  async #await<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const over = (): void => void (isOver = true)
    work.then(over, over)
    await this.run(HOUR, () => isOver)
    return work
  }
}

function blankThread(name: string): Thread {
  const nothing = { life: undefined, join: undefined, owner: undefined, scheduler: undefined, deliver: undefined, net: undefined }
  return { name, early: [], deaths: 0, failures: 0, bornAt: 0, ...nothing }
}

function talk(a: string, b: string): boolean {
  const [one, other] = [kindOf(a), kindOf(b)]
  return CHANNELS.some(([x, y]) => (x === one && y === other) || (x === other && y === one))
}

function everySecond(life: Life, fn: () => void): void {
  life.clock.after(SECOND, () => {
    fn()
    everySecond(life, fn)
  })
}

function configOf({ net, deliver, diskBytes }: WorldOptions, routes: readonly { domain: string; to: string }[]): Config {
  const parsed = parseConfig(
    {
      hostname: 'mx.sim.example',
      threads: { net, deliver },
      relayFrom: ['192.0.2.0/24'],
      routes: [...routes, { domain: '*', to: 'mx' }],
      retry: { first: '1m', max: '10m', expire: '8h', warnAfter: '40m' },
      limits: { minFreeBytes: diskBytes === undefined ? 0 : diskBytes >> 3 },
    },
    { baseDir: '/', hostname: 'mx.sim.example', cores: 2 },
  )
  assert.ok(parsed.ok, JSON.stringify(parsed))
  return parsed.value
}

function sessionOf(config: Config): SmtpSessionConfig {
  const policy = relayPolicy(config)
  return {
    kind: 'smtp',
    hostname: config.hostname,
    banner: config.smtp.banner,
    startTls: false,
    tlsRequired: false,
    authRequired: false,
    mechanisms: () => [],
    tlsMechanisms: [],
    extensions: {
      chunking: true,
      binaryMime: true,
      smtpUtf8: true,
      dsn: true,
      mtPriority: true,
      deliverBySeconds: 60,
      futureReleaseSeconds: 0,
    },
    bareLf: config.smtp.bareLf,
    limits: config.limits,
    mayRelay: (address) => policy.mayRelay(address),
    mayXclient: () => false,
    mayUse: () => true,
    tenantOf: (_account, client) => client,
    decideRecipient: (facts) => policy.decide(facts),
  }
}
