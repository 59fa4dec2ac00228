// Days of queue life in seconds: the scheduler in a world with faults, by seed. ROHRPOST_SEED=n repeats one run.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { QueueClass } from '../../src/spool/types.ts'
import { runSeed } from '../support/seed.ts'
import { DAY, HOUR, MINUTE, World } from './queue-world.ts'

const first = runSeed()
const SEEDS = [first, first + 1, first + 2, first + 3]

/** Runs `fn` for each seed; a failure names the seed that repeats it. */
function forSeeds(name: string, fn: (seed: number) => void): void {
  for (const seed of SEEDS) {
    test(`${name} (seed ${seed})`, () => {
      try {
        fn(seed)
      } catch (error) {
        throw new Error(`ROHRPOST_SEED=${seed} repeats this: ${String(error)}`, { cause: error })
      }
    })
  }
}

const TENANTS = ['anna', 'bert', 'carl', 'dora', 'emil']

/** Peers and domains of all tempers. */
function populate(world: World, random: Prng): string[] {
  const names: string[] = []
  for (let i = 0; i < 12; i++) {
    const peer = world.addPeer(`site${i}`, {
      connectMs: 5 + random.below(300),
      messageMs: 5 + random.below(500),
      refuses: random.below(4) === 0 ? 0.2 : 0,
      defers: random.below(3) === 0 ? 0.3 : 0,
      drops: random.below(3) === 0 ? 0.02 : 0,
      stalls: random.below(4) === 0 ? 0.01 : 0,
      limits: {
        connections: 1 + random.below(10),
        messagesPerConnection: 1 + random.below(50),
        messageRate: random.below(3) === 0 ? { count: 1 + random.below(200), periodMs: 10_000 + random.below(HOUR) } : undefined,
        connectionRate: random.below(3) === 0 ? { count: 1 + random.below(10), periodMs: 1_000 + random.below(MINUTE) } : undefined,
      },
    })
    for (let j = 0; j < 4; j++) {
      names.push(`d${i}-${j}.example`)
      world.addDomain(`d${i}-${j}.example`, peer, { dnsMs: random.below(8) === 0 ? 20_000 : 50, ttlMs: random.below(HOUR) })
    }
  }
  return names
}

/** Messages over two days, in bursts. */
function traffic(world: World, random: Prng, names: readonly string[], messages: number): void {
  for (let i = 0; i < messages; i++) {
    const domains = new Set(
      Array.from({ length: 1 + (random.below(4) === 0 ? random.below(8) : 0) }, () => names[random.below(names.length)] as string),
    )
    const tenant = TENANTS[random.below(TENANTS.length)] as string
    const cls = random.below(5) === 0 ? QueueClass.transactional : QueueClass.bulk
    const at = Math.floor(random.below(96) * 30 * MINUTE + random.below(random.below(30 * MINUTE) + 1))
    const delay = random.below(10) === 0 ? random.below(4 * HOUR) : 0
    const lifeMs = random.below(10) === 0 ? MINUTE + random.below(HOUR) : DAY + random.below(2 * DAY)
    const priority = random.below(10) === 0 ? random.below(19) - 9 : 0
    world.later(at, () => {
      const { now } = world
      world.accept([...domains], {
        tenant,
        class: cls,
        priority,
        due: now + delay,
        expires: now + lifeMs,
        warnAt: now + 4 * HOUR,
        recipients: 1 + (i % 5),
      })
    })
  }
}

function weather(world: World, random: Prng): void {
  for (let hour = 0; hour < 48; hour++) {
    world.later(hour * HOUR + random.below(HOUR), () => {
      const peers = [...world.peers.values()]
      const peer = peers[random.below(peers.length)]
      if (!peer) return
      peer.dead = !peer.dead
      const domains = [...world.domains.values()]
      const domain = domains[random.below(domains.length)]
      if (!domain) return
      domain.failure = (['none', 'none', 'temporary', 'permanent'] as const)[random.below(4)] ?? 'none'
      if (random.below(3) === 0) domain.peer = peer
      world.meddle()
    })
  }
}

function heal(world: World): void {
  for (const peer of world.peers.values()) Object.assign(peer, { dead: false, refuses: 0, defers: 0, drops: 0, stalls: 0 })
  for (const domain of world.domains.values()) domain.failure = 'none'
  world.releaseAll()
}

/** Whatever happened, once the world is well everything is delivered, expired or bounced, and the scheduler is empty. */
function finish(world: World): void {
  heal(world)
  world.run(6 * DAY, () => world.queued === 0)
  assert.equal(world.queued, 0, `${world.queued} rows are left`)
  world.run(MINUTE)
  assert.equal(world.scheduler.residentCount, 0)
  world.run(2 * DAY)
  assert.deepEqual(world.scheduler.summary(), [])
}

forSeeds('nothing is lost, granted twice or sent past a limit over days of bad weather', (seed) => {
  const world = new World(seed)
  const random = new Prng(seed)
  traffic(world, random, populate(world, random), 3_000)
  weather(world, random)
  for (let hour = 0; hour < 50; hour++) {
    world.run(HOUR)
    world.checkBooks()
  }
  finish(world)
  const ids = new Set(world.delivered.map(({ id, domain }) => `${id} ${domain}`))
  assert.equal(ids.size, world.delivered.length, 'delivered twice without a fault')
  assert.ok(world.delivered.length > 2_000)
  assert.ok(world.backoffs.length > 0 && world.warnings > 0 && world.expiries > 0 && world.bounces > 0)
})

forSeeds('nothing is lost while deliver threads, owners and the scheduler die', (seed) => {
  const world = new World(seed, {}, 3, 2)
  const random = new Prng(seed)
  traffic(world, random, populate(world, random), 2_000)
  weather(world, random)
  for (let i = 0; i < 150; i++) {
    world.later(random.below(48 * HOUR), () => {
      const kind = random.below(7)
      if (kind < 3) world.killDeliver(random.below(3))
      else if (kind < 6) world.killOwner(random.below(2))
      else world.killScheduler()
    })
  }
  for (let i = 0; i < 25; i++) {
    world.run(2 * HOUR)
    world.checkBooks()
  }
  finish(world)
  assert.ok(world.faults > 100)
  assert.ok(world.delivered.length > 1_500)
})

forSeeds('a seed repeats a run exactly', (seed) => {
  const digests = [0, 1].map(() => {
    const world = new World(seed)
    const random = new Prng(seed)
    traffic(world, random, populate(world, random), 300)
    weather(world, random)
    world.run(50 * HOUR)
    return [world.digest, world.ticks, world.delivered.length]
  })
  assert.deepEqual(digests[0], digests[1])
})

test('a transactional message overtakes a backlog of bulk at a slow provider', () => {
  const world = new World(1)
  const peer = world.addPeer('provider', { messageMs: 200, limits: { connections: 5, messagesPerConnection: 20 } })
  world.addDomain('big.example', peer)
  for (let i = 0; i < 20_000; i++) world.accept(['big.example'], { tenant: 'news' })
  world.run(MINUTE)
  for (let i = 0; i < 100; i++)
    world.later(i * 3_000, () => world.accept(['big.example'], { tenant: 'shop', class: QueueClass.transactional }))
  world.run(10 * MINUTE)
  const waits = world.delivered.filter((one) => one.tenant === 'shop').map(({ waitedMs }) => waitedMs)
  assert.equal(waits.length, 100)
  assert.ok(Math.max(...waits) < 2_000, `one waited ${Math.max(...waits)} ms`)
})

test('a message never waits behind a slow one while another connection could take it', () => {
  const world = new World(1)
  world.addDomain(
    'big.example',
    world.addPeer('provider', { messageMs: 100, stalls: 0.02, limits: { connections: 20, messagesPerConnection: 1_000 } }),
  )
  for (let i = 0; i < 300; i++) world.later(i * 1_000, () => world.accept(['big.example']))
  world.run(10 * MINUTE)
  const waits = world.delivered.map(({ waitedMs }) => waitedMs).sort((a, b) => a - b)
  assert.equal(waits.length, 300)
  const stalled = waits.filter((ms) => ms >= MINUTE).length
  assert.ok(stalled >= 3 && stalled <= 12, `${stalled} messages took a minute`)
  assert.ok((waits[waits.length - stalled - 1] ?? 0) < 3_000, `one waited ${waits[waits.length - stalled - 1]} ms`)
})

test('messages that break each connection delay nobody else at their site', () => {
  const world = new World(1)
  world.addDomain('big.example', world.addPeer('provider', { messageMs: 50, poison: 'mallory', limits: { connections: 5 } }))
  for (let i = 0; i < 400; i++) world.later(i * 500, () => world.accept(['big.example'], { tenant: i % 20 === 0 ? 'mallory' : 'anna' }))
  world.run(4 * MINUTE)
  const waits = world.delivered.map(({ waitedMs }) => waitedMs)
  assert.equal(waits.length, 380)
  assert.ok(Math.max(...waits) < 3_000, `one waited ${Math.max(...waits)} ms`)
  assert.deepEqual(world.backoffs, [])
})

test('a site that breaks each connection is backed off, and costs few messages an attempt', () => {
  const world = new World(1)
  world.addDomain('big.example', world.addPeer('provider', { drops: 1 }))
  for (let i = 0; i < 1_000; i++) world.accept(['big.example'])
  world.run(HOUR)
  const attempts = world.owners.flatMap(({ rows }) => [...rows.values()].map(({ facts }) => facts.attempts))
  const sum = attempts.reduce((all, one) => all + one, 0)
  assert.ok(sum >= 3 && sum <= 40, `${sum} attempts`)
  assert.ok(world.backoffs.length >= 4, `${world.backoffs.length} back-offs`)
  assert.equal(world.delivered.length, 0)
})

test('bulk keeps its minimum share of a provider that transactional alone could fill', () => {
  const world = new World(1)
  world.addDomain('big.example', world.addPeer('provider', { messageMs: 100, limits: { connections: 5, messagesPerConnection: 1_000 } }))
  for (let i = 0; i < 20_000; i++)
    world.accept(['big.example'], {
      tenant: i % 2 === 0 ? 'news' : 'shop',
      class: i % 2 === 0 ? QueueClass.bulk : QueueClass.transactional,
    })
  world.run(2 * MINUTE)
  const share = world.delivered.filter((one) => one.class === QueueClass.bulk).length / world.delivered.length
  assert.ok(world.delivered.length > 3_000)
  assert.ok(Math.abs(share - 0.1) < 0.01, String(share))
})

test('tenants get their weights, also those who come late', () => {
  const weights: Record<string, number> = { anna: 1, bert: 3, carl: 6 }
  const world = new World(1, { tenant: (name) => ({ weight: weights[name] ?? 1, messageRate: undefined }) })
  world.addDomain('big.example', world.addPeer('provider', { messageMs: 50, limits: { connections: 5, messagesPerConnection: 1_000 } }))
  for (const tenant of ['anna', 'bert']) for (let i = 0; i < 10_000; i++) world.accept(['big.example'], { tenant })
  world.run(MINUTE)
  for (let i = 0; i < 10_000; i++) world.accept(['big.example'], { tenant: 'carl' })
  const before = world.delivered.length
  world.run(MINUTE)
  const later = world.delivered.slice(before)
  for (const [tenant, weight] of Object.entries(weights)) {
    const share = later.filter((one) => one.tenant === tenant).length / later.length
    assert.ok(Math.abs(share - weight / 10) < 0.03, `${tenant} got ${share}`)
  }
})

test('domains whose DNS is silent or slow delay nobody else', () => {
  const world = new World(1)
  const peer = world.addPeer('provider', { messageMs: 10 })
  world.addDomain('fast.example', peer)
  for (let i = 0; i < 200; i++) world.addDomain(`silent${i}.example`, peer, { dnsMs: Infinity })
  world.addDomain('slow.example', peer, { dnsMs: 30_000 })
  for (let i = 0; i < 200; i++) for (let j = 0; j < 10; j++) world.accept([`silent${i}.example`, 'slow.example'])
  for (let i = 0; i < 500; i++) world.later(i * 50, () => world.accept(['fast.example']))
  world.run(2 * MINUTE)
  const waits = world.delivered.filter((one) => one.domain === 'fast.example').map(({ waitedMs }) => waitedMs)
  assert.equal(waits.length, 500)
  assert.ok(Math.max(...waits) < 1_000, `one waited ${Math.max(...waits)} ms`)
  assert.equal(world.delivered.filter((one) => one.domain === 'slow.example').length, 2_000)
})

test('a hundred thousand rows for a dead site cost next to no wake-ups, and a live site is served at once', () => {
  const world = new World(1)
  const dead = world.addPeer('dead', { dead: true })
  world.addDomain('dead.example', dead, { ttlMs: 6 * DAY })
  world.addDomain('live.example', world.addPeer('live', { messageMs: 5 }), { ttlMs: 6 * DAY })
  for (let i = 0; i < 100_000; i++) world.accept(['dead.example'])
  world.run(HOUR)
  const { ticks } = world
  const backoffs = world.backoffs.length
  world.run(DAY)
  // A probe an hour, the janitor's minutes, and nothing else.
  assert.ok(world.backoffs.length - backoffs <= 30, `${world.backoffs.length - backoffs} probes`)
  assert.ok(world.ticks - ticks <= 24 * 60 + 100, `${world.ticks - ticks} ticks`)
  world.accept(['live.example'])
  world.run(500)
  assert.equal(world.delivered.length, 1)
  dead.dead = false
  world.scheduler.wake('dead')
  world.run(10 * MINUTE)
  assert.ok(world.delivered.length > 50_000, `${world.delivered.length} delivered once it was back`)
})
