// What a seed makes of a world: its sites and domains, its mail, and what goes wrong.

import { Prng } from '../../../src/lib/prng.ts'
import { shardOf } from '../../../src/spool/ids.ts'
import type { MessageId } from '../../../src/spool/types.ts'
import { ownerOf } from '../../../src/threads/topology.ts'
import { KIND } from './remote.ts'
import type { RemoteSite, Temper } from './remote.ts'
import { HOUR, MINUTE, SECOND, World } from './world.ts'
import type { WorldOptions } from './world.ts'

/** Kinds of faults; each run has some of them. */
export interface Faults {
  readonly remote: boolean
  readonly dns: boolean
  readonly deliver: boolean
  readonly owner: boolean
  readonly scheduler: boolean
  readonly power: boolean
  readonly freezes: boolean
  readonly slowDisk: boolean
  readonly diskErrors: boolean
  readonly fullDisk: boolean
  /** An operator holds, releases and retries. */
  readonly operator: boolean
  /** Much mail for one fast site at once, so that connections get several messages at a time. */
  readonly rush: boolean
  /** The configuration is loaded again while mail goes. */
  readonly reload: boolean
  /** Stops in good order, with more or less patience, and starts. */
  readonly restart: boolean
}

export const CALM: Faults = {
  remote: false,
  dns: false,
  deliver: false,
  owner: false,
  scheduler: false,
  power: false,
  freezes: false,
  slowDisk: false,
  diskErrors: false,
  fullDisk: false,
  operator: false,
  rush: false,
  reload: false,
  restart: false,
}

/** Drawn last, so that what older seeds guard stays what it was. */
const LATE: readonly string[] = ['reload', 'restart']

export interface Plan {
  readonly seed: number
  readonly faults: Faults
  readonly messages: number
}

/** Everything about the run of a seed is drawn from it, its faults too: most seeds have several kinds. */
export function planOf(seed: number): Plan {
  const random = new Prng(seed)
  const draw = (kinds: readonly string[]): object => Object.fromEntries(kinds.map((kind) => [kind, random.below(5) < 2]))
  const early = draw(Object.keys(CALM).filter((kind) => !LATE.includes(kind)))
  const messages = 30 + random.below(120)
  return { seed, faults: { ...early, ...draw(LATE) } as Faults, messages }
}

const SITES = 8
const DOMAINS = 14
/** Mail comes, and things go wrong, for so long. */
const TROUBLE_MS = 50 * MINUTE
/** Much mail comes at once, this often. */
const WAVE_MS = 10 * MINUTE
/** What is left then must be gone after so long: the longest retry, back-off and time-outs, some of each. */
const PEACE_MS = 4 * HOUR
/** What is idle is closed, and what is forgotten late is forgotten. */
const QUIET_MS = 10 * MINUTE

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'SIZE 10000000', 'CHUNKING', 'DSN', 'ENHANCEDSTATUSCODES']

function temper(random: Prng): Temper {
  const some = (share: number, most: number): number => (random.float() < share ? random.float() * most : 0)
  return {
    dead: random.below(10) === 0,
    silent: random.below(3) === 0,
    refuses: some(0.25, 0.5),
    defers: some(0.4, 0.5),
    rejects: some(0.4, 0.4),
    cuts: some(0.5, 0.6),
    garbles: some(0.25, 0.5),
    stalls: some(0.25, 0.4),
    slowMs: random.below(3) === 0 ? 1 + random.below(3 * SECOND) : 1 + random.below(60),
  }
}

/** The last site is a static route over LMTP, the last domain does not exist. */
function populate(world: World, random: Prng, faults: Faults): string[] {
  for (let i = 0; i < SITES; i++) {
    const lmtp = i === SITES - 1
    const addresses = lmtp ? ['203.0.113.200'] : Array.from({ length: 1 + random.below(2) }, (_, j) => `203.0.113.${10 * i + j + 1}`)
    const site: RemoteSite = {
      key: lmtp ? 'lmtp://203.0.113.200:24' : `mx${i}.example`,
      addresses,
      protocol: lmtp ? 'lmtp' : 'smtp',
      limits: {
        connections: faults.rush ? 4 + random.below(6) : 1 + random.below(4),
        messagesPerConnection: 1 + random.below(faults.rush ? 60 : 20),
        recipientsPerTransaction: 1 + random.below(4),
        idleReuseMs: random.below(20 * SECOND),
      },
      extensions: EXTENSIONS.filter((name) => random.below(name === 'PIPELINING' ? 4 : 2) > 0),
      recipientsMax: 1 + random.below(5),
      temper: faults.remote ? temper(random) : KIND,
      open: 0,
    }
    world.addSite(site)
    if (!lmtp) world.resolver.set(site.key, { A: addresses, ttlMs: random.below(random.below(2) === 0 ? HOUR : MINUTE) })
  }
  return Array.from({ length: DOMAINS }, (_, i) => {
    const name = i === 0 ? 'static.example' : `d${i}.example`
    const site = world.sites[i % (SITES - 1)] as RemoteSite
    if (i > 0 && i < DOMAINS - 1)
      world.resolver.set(name, { MX: [[10, site.key]], ttlMs: random.below(random.below(2) === 0 ? HOUR : MINUTE) })
    return name
  })
}

const NOTIFY: readonly (readonly [text: string, bits: number])[] = [
  ['', 0],
  ['', 0],
  ['', 0],
  [' NOTIFY=NEVER', 8],
  [' NOTIFY=SUCCESS,FAILURE', 3],
  [' NOTIFY=SUCCESS', 1],
  [' NOTIFY=DELAY', 4],
]

function body(random: Prng, key: string, bytes: number): Buffer {
  let text = `X-Token: ${key}\r\nFrom: <${key}@d1.example>\r\nDate: Mon, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <${key}@d1.example>\r\n`
  text += `Subject: ${key}\r\n\r\n`
  for (let line = 0; text.length < bytes; line++)
    text += `${random.below(10) === 0 ? '.' : ''}${line} ${random.u32()} ${'x'.repeat(random.below(60))}\r\n`
  return Buffer.from(text, 'latin1')
}

function traffic(world: World, random: Prng, domains: readonly string[], messages: number): void {
  // Most of it goes one way, so that connections are busy.
  const favourite = domains[random.below(domains.length)] as string
  const pick = (): string => (random.below(3) === 0 ? favourite : (domains[random.below(domains.length)] as string))
  for (let i = 0; i < messages; i++) {
    const key = `t${i}`
    const sender = random.below(8) === 0 ? '' : `${key}@${pick()}`
    const many = random.below(4) === 0 ? 2 + random.below(6) : 1
    const recipients = Array.from({ length: many }, (_, j) => {
      const [notify, bits] = NOTIFY[random.below(NOTIFY.length)] as (typeof NOTIFY)[number]
      return { address: `${key}r${j}@${pick()}`, notify, bits }
    })
    const bytes = random.below(6) === 0 ? random.below(120_000) : random.below(3_000)
    const seed = random.u32()
    // Waves of mail: much at once, then a while of little.
    const at =
      random.below(3) === 0
        ? random.below(TROUBLE_MS)
        : WAVE_MS * random.below(TROUBLE_MS / WAVE_MS) + random.below(random.below(2) === 0 ? 2 * SECOND : 200)
    world.clock.after(at, () => {
      const content = body(new Prng(seed), key, bytes)
      const mail = world.books.handIn(
        key,
        sender,
        recipients.map(({ address, bits }) => ({ address, notify: bits })),
        content,
      )
      world.submit({ mail, parameters: '', recipients })
    })
  }
}

/** Small messages to one domain, all within a moment. */
function rush(world: World, random: Prng, domains: readonly string[]): void {
  const domain = domains[1 + random.below(domains.length - 2)] as string
  const start = WAVE_MS * (1 + random.below(3))
  for (let i = 0; i < 200; i++) {
    const key = `r${i}`
    const address = `${key}@${domain}`
    const content = body(random, key, 300)
    world.clock.after(start + random.below(500), () => {
      const mail = world.books.handIn(key, `${key}@d1.example`, [{ address, notify: 0 }], content)
      world.submit({ mail, parameters: '', recipients: [{ address, notify: '' }] })
    })
  }
}

/** A time while there is trouble: half of all things go wrong in the seconds of a wave, when most is under way. */
function badTime(random: Prng): number {
  if (random.below(2) === 0) return random.below(TROUBLE_MS)
  return WAVE_MS * random.below(TROUBLE_MS / WAVE_MS) + random.below(random.below(2) === 0 ? SECOND : 5 * SECOND)
}

function strew(world: World, random: Prng, count: number, fn: () => void): void {
  for (let i = 0; i < count; i++) world.clock.after(badTime(random), fn)
}

function threadsLike(world: World, kind: string): string[] {
  return [...world.threads.keys()].filter((name) => name.startsWith(kind))
}

function trouble(world: World, random: Prng, faults: Faults): void {
  const killOne = (kind: string): void => {
    const names = threadsLike(world, kind)
    world.kill(names[random.below(names.length)] as string)
  }
  const deaths = 1 + random.below(12)
  if (faults.deliver) strew(world, random, deaths, () => killOne('deliver'))
  if (faults.owner) strew(world, random, deaths, () => killOne('net'))
  if (faults.scheduler) strew(world, random, deaths, () => killOne('scheduler'))
  if (faults.remote) {
    strew(world, random, 20, () => {
      const site = world.sites[random.below(world.sites.length)] as RemoteSite
      site.temper = random.below(3) === 0 ? KIND : temper(random)
    })
  }
  if (faults.dns) {
    strew(world, random, 6, () => {
      if (random.below(2) === 0) world.dnsFails = true
      else world.dnsMs = () => random.below(5 * SECOND)
      world.clock.after(random.below(5 * MINUTE), () => calmDns(world))
    })
  }
  if (faults.freezes) {
    strew(world, random, 60, () => freezeOne(world, random, random.below(10) === 0 ? random.below(8 * SECOND) : random.below(600)))
  }
  if (faults.reload) strew(world, random, 1 + random.below(12), () => world.reload())
  if (faults.operator) strew(world, random, 60, () => world.operate(ACTIONS[random.below(ACTIONS.length)] as (typeof ACTIONS)[number]))
  diskTrouble(world, random, faults)
}

const ACTIONS = ['hold', 'release', 'retry', 'retry'] as const

function freezeOne(world: World, random: Prng, ms: number): void {
  const names = [...world.threads.keys()]
  world.threads.get(names[random.below(names.length)] as string)?.life?.freeze(ms)
}

function diskTrouble(world: World, random: Prng, faults: Faults): void {
  if (faults.slowDisk) {
    strew(world, random, 8, () => {
      const most = random.below(3) === 0 ? 3 * SECOND : 100
      world.diskMs = () => random.below(most)
      world.clock.after(random.below(2 * MINUTE), () => void (world.diskMs = () => random.below(3)))
    })
  }
  if (faults.diskErrors) {
    strew(world, random, 8, () => {
      const share = random.float() ** 2
      const code = random.below(2) === 0 ? 'EIO' : 'ENOSPC'
      world.diskFault = () => (random.float() < share ? code : undefined)
      world.clock.after(random.below(MINUTE), () => void (world.diskFault = undefined))
    })
  }
  if (faults.fullDisk) {
    strew(world, random, 4, () => {
      world.disk.take(Infinity)
      world.clock.after(random.below(5 * MINUTE), () => world.disk.take(0))
    })
  }
}

/** Deaths in the moments in which they hurt most: at once, within a post, within a commit. */
function tempt(world: World, random: Prng, faults: Faults): void {
  let budget = 4 + random.below(16)
  const share = 0.01 + random.float() * 0.1
  const soon = (): number => random.below([1, 4, 50][random.below(3)] as number)
  const deaths: ((id: MessageId) => void)[] = []
  if (faults.deliver) deaths.push(() => world.kill(`deliver.${1 + random.below(threadsLike(world, 'deliver').length)}`))
  if (faults.owner) deaths.push((id) => world.kill(ownerOf(shardOf(id), threadsLike(world, 'net').length)))
  if (faults.scheduler) deaths.push(() => world.kill('scheduler'))
  if (faults.power) deaths.push(() => void (world.powerFails = true))
  if (deaths.length === 0) return
  world.onMoment = (id) => {
    if (budget <= 0 || random.float() >= share) return
    budget--
    // Who stands still meanwhile hears of it late; and one death seldom comes alone.
    if (faults.freezes && random.below(2) === 0) freezeOne(world, random, 100 + random.below(SECOND))
    for (let n = random.below(3) === 0 ? 2 : 1; n > 0; n--) {
      const death = deaths[random.below(deaths.length)] as (typeof deaths)[number]
      world.clock.after(soon(), () => death(id))
    }
  }
}

function calmDns(world: World): void {
  world.dnsFails = false
  world.dnsMs = () => 1 + world.random.below(30)
}

function heal(world: World): void {
  world.onMoment = () => undefined
  world.diskFault = undefined
  calmDns(world)
  world.diskMs = () => world.random.below(3)
  world.disk.take(0)
  for (const site of world.sites) site.temper = KIND
}

/** Makes the world of a seed. */
function worldOf({ seed, faults, messages }: Plan): World {
  const random = new Prng(seed)
  const options: WorldOptions = {
    seed: random.u32(),
    net: 1 + random.below(2),
    deliver: 1 + random.below(3),
    ...((faults.slowDisk || random.below(2) === 0) && { slowDisk: true }),
    ...(faults.fullDisk && { diskBytes: 8 * 1024 * 1024 }),
    ...(random.below(4) === 0 && { residentEntries: 16 + random.below(60) }),
  }
  const world = new World(options, [{ domain: 'static.example', to: 'lmtp://203.0.113.200:24' }])
  const domains = populate(world, random, faults)
  traffic(world, random, domains, messages)
  if (faults.rush) rush(world, random, domains)
  trouble(world, random, faults)
  return world
}

async function runUntil(world: World, at: number): Promise<void> {
  while (world.clock.now() < at) {
    await world.run(at - world.clock.now(), () => world.powerFails)
    if (world.powerFails) await world.cutPower()
  }
}

/** Trouble with all its faults, then peace in which everything must end. */
async function pass(world: World, plan: Plan): Promise<void> {
  const random = new Prng(plan.seed ^ 0x5eed)
  await world.start()
  tempt(world, random, plan.faults)
  const timesOf = (on: boolean): number[] => Array.from({ length: on ? 1 + random.below(5) : 0 }, () => badTime(random))
  const cuts = timesOf(plan.faults.power).map((at) => ({ at, act: () => world.cutPower() }))
  const stops = timesOf(plan.faults.restart).map((at) => ({ at, act: () => world.restart(random.below(20 * SECOND)) }))
  for (const { at, act } of [...cuts, ...stops].toSorted((a, b) => a.at - b.at)) {
    await runUntil(world, world.startedAt + at)
    await act()
  }
  await runUntil(world, world.startedAt + TROUBLE_MS)
  heal(world)
  await world.run(MINUTE)
  world.releaseAll()
  await world.run(PEACE_MS, () => world.queued === 0)
  if (world.queued !== 0) throw new Error(`${world.queued} groups wait for ever: ${world.explain()}`)
  await world.run(QUIET_MS)
  await world.checkQuiet()
  await world.readLog()
  const { diskErrors, fullDisk } = plan.faults
  world.books.close((address) => siteOf(world, address)?.extensions.includes('DSN') ?? false, !diskErrors && !fullDisk)
}

/** A run ended badly. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
  readonly world: World

  constructor(plan: Plan, world: World, cause: unknown) {
    super(`ROHRPOST_SEED=${plan.seed} ROHRPOST_SIM_SEEDS=1 repeats this: ${String(cause)}`, { cause })
    this.world = world
  }
}

/** Runs a plan to its end; rejects with BrokenPromise. */
export async function live(plan: Plan): Promise<World> {
  const world = worldOf(plan)
  try {
    await pass(world, plan)
  } catch (error) {
    throw new BrokenPromise(plan, world, error)
  }
  return world
}

function siteOf(world: World, address: string): RemoteSite | undefined {
  const domain = address.slice(address.indexOf('@') + 1)
  if (domain === 'static.example') return world.sites[SITES - 1]
  return world.sites[Number(domain.slice(1, domain.indexOf('.'))) % (SITES - 1)]
}
