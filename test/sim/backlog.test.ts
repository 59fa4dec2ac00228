// A queue many times as long as memory, for dead and for live sites, while threads die: all of it is settled, no live site
// waits for a dead one, and the table stays bounded. ROHRPOST_SEED=n repeats a run.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { runSeed } from '../support/seed.ts'
import { DAY, HOUR, MINUTE, type Peer, World } from './queue-world.ts'

const LIMIT = 200
const MESSAGES = 5_000
/** What trimming cannot take away: rows in flight, and those that leave. */
const RESIDENT_MAX = LIMIT + 150

const first = runSeed()
const SEEDS = [first, first + 1, first + 2]

interface Sites {
  readonly dead: readonly Peer[]
  readonly names: readonly string[]
}

function populate(world: World): Sites {
  const names: string[] = []
  const dead: Peer[] = []
  for (let i = 0; i < 8; i++) {
    const isDead = i < 3
    const peer = world.addPeer(isDead ? `dead${i}` : `live${i}`, { dead: isDead, defers: i === 4 ? 0.3 : 0, messageMs: 20 })
    if (isDead) dead.push(peer)
    for (let j = 0; j < 2; j++) {
      const name = `d${i}-${j}.example`
      names.push(name)
      world.addDomain(name, peer, { ttlMs: HOUR })
    }
  }
  return { dead, names }
}

/** Four of five messages for dead sites, in the first two hours; some for later, some with little time. */
function traffic(world: World, random: Prng, names: readonly string[]): void {
  for (let i = 0; i < MESSAGES; i++) {
    const name = names[random.below(5) < 4 ? random.below(6) : 6 + random.below(10)] as string
    const delay = random.below(10) === 0 ? random.below(3 * HOUR) : 0
    const life = random.below(20) === 0 ? HOUR + random.below(6 * HOUR) : 4 * DAY
    const tenant = random.below(2) === 0 ? 'anna' : 'bert'
    world.later(random.below(2 * HOUR), () =>
      world.accept([name], { tenant, due: world.now + delay, expires: world.now + life, warnAt: world.now + 4 * HOUR }),
    )
  }
}

function finish(world: World, dead: readonly Peer[]): void {
  for (const peer of dead) peer.dead = false
  world.run(3 * DAY, () => world.queued === 0)
  assert.equal(world.queued, 0, `${world.queued} rows are left`)
  world.run(10 * MINUTE)
  assert.equal(world.scheduler.residentCount, 0)
  assert.ok(world.scans > 0)
  assert.ok(world.maxResident <= RESIDENT_MAX, `${world.maxResident} rows in memory`)
}

for (const seed of SEEDS) {
  test(`a backlog of 25 times the memory is settled once each, live sites at once (seed ${seed})`, () => {
    const world = new World(seed, { residentEntries: LIMIT })
    const random = new Prng(seed)
    const { dead, names } = populate(world)
    traffic(world, random, names)
    world.run(2 * HOUR + MINUTE)
    assert.ok(world.queued > 10 * LIMIT && world.scheduler.isPaging)
    for (let i = 0; i < 50; i++) {
      const id = world.accept(['d7-0.example'])
      world.run(5_000)
      assert.ok(
        world.delivered.some((one) => one.id === id),
        'a live site waited for dead ones',
      )
    }
    world.run(10 * HOUR)
    world.checkBooks()
    // All that can go has gone: nothing for a live site is left behind, but for what its peer has deferred again and again.
    const leftOver = world.owners.flatMap(({ rows }) => [...rows.values()]).filter(({ facts }) => !/^d[0-2]-/.test(facts.domain))
    const waiting = leftOver.filter(({ facts }) => facts.attempts < 7 || facts.due <= world.now)
    assert.deepEqual(waiting, [], `${waiting.length} for live sites are left`)
    assert.ok(world.warnings > 3_000 && world.expiries > 100)
    finish(world, dead)
    assert.equal(world.delivered.length, new Set(world.delivered.map(({ id }) => id)).size, 'delivered twice')
    assert.equal(world.delivered.length + world.expiries, MESSAGES + 50)
  })

  test(`nothing of a long backlog is lost or stuck while threads die (seed ${seed})`, () => {
    const world = new World(seed, { residentEntries: LIMIT }, 3, 2)
    const random = new Prng(seed)
    const { dead, names } = populate(world)
    traffic(world, random, names)
    for (let i = 0; i < 60; i++) {
      world.later(random.below(10 * HOUR), () => {
        const kind = random.below(5)
        if (kind < 2) world.killDeliver(random.below(3))
        else if (kind < 4) world.killOwner(random.below(2))
        else world.killScheduler()
      })
    }
    for (let hour = 0; hour < 12; hour++) {
      world.run(HOUR)
      world.checkBooks()
    }
    finish(world, dead)
    assert.ok(world.faults > 40)
    assert.ok(world.delivered.length + world.expiries >= MESSAGES * 0.99, `${world.delivered.length} delivered, ${world.expiries} expired`)
  })
}
