// Power cuts at random instants on the simulated disk: what was promised is there, what was not is there or not, whole.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ManualClock } from '../../../src/lib/clock.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { EventTail } from '../../../src/spool/events.ts'
import { idToText } from '../../../src/spool/ids.ts'
import { MemoryDisk } from '../../../src/spool/memory.ts'
import { Outcome } from '../../../src/spool/types.ts'
import type { Group, MessageId } from '../../../src/spool/types.ts'
import { Bench, bodyOf, to } from '../../spool/support.ts'
import type { World } from '../../spool/support.ts'

interface Message {
  readonly id: MessageId
  readonly seed: number
  readonly bytes: number
  /** Answered without error. */
  acknowledged: boolean
  /** Addresses by what their settlement said; `sure` when it was acknowledged. */
  readonly fates: Map<string, { readonly outcome: Outcome; sure: boolean }>
  readonly addresses: string[]
}

interface CrashWorld extends World {
  disk: MemoryDisk
}

/** Everything that was promised, over all lives. */
class Model {
  readonly messages = new Map<MessageId, Message>()
  readonly ids = new Set<MessageId>()
  #next = 0

  /** Starts a random message. */
  accept(bench: Bench, random: Prng): void {
    const bytes = random.below(4) === 0 ? 20_000 + random.below(150_000) : random.below(6000)
    const seed = ++this.#next
    const body = bodyOf(bytes, seed)
    const addresses = Array.from({ length: 1 + random.below(3) }, (_, i) => `m${seed}r${i}@d${random.below(2)}.example`)
    const intake = bench.owner.openMessage()
    assert.ok(!this.ids.has(intake.id), 'an id was used twice')
    this.ids.add(intake.id)
    intake.write(body, 0, bytes)
    const message: Message = { id: intake.id, seed, bytes, acknowledged: false, fates: new Map(), addresses }
    this.messages.set(intake.id, message)
    void bench
      .commit(
        intake,
        addresses.map((address) => to(address)),
      )
      .then((error) => {
        if (!error) message.acknowledged = true
      })
  }

  /** Settles a random group of those that are known. */
  settle(bench: Bench, random: Prng, groups: Map<string, Group>): void {
    const keys = [...groups.keys()]
    const key = keys[random.below(keys.length)]
    const group = key === undefined ? undefined : groups.get(key)
    if (key === undefined || !group) return
    groups.delete(key)
    const message = this.messages.get(group.id)
    if (!message) return
    const outcomes = group.pending.map(() => [Outcome.delivered, Outcome.bounced, Outcome.deferred][random.below(3)] as Outcome)
    const fates = group.pending.map(({ address }, i) => {
      const fate = { outcome: outcomes[i] as Outcome, sure: false }
      if (fate.outcome !== Outcome.deferred) message.fates.set(address, fate)
      return fate
    })
    const settlement = bench.settlement(
      group,
      outcomes.map((outcome) => ({ outcome })),
    )
    bench.owner.settle([settlement], () => fates.forEach((fate) => (fate.sure = true)))
  }
}

/** Lets the housekeeping of a start end. */
async function settleDown(bench: Bench): Promise<void> {
  for (let i = 0; i < 50; i++) {
    bench.world.clock.advance(4)
    await turn()
  }
  await bench.drive(bench.owner.flush())
}

async function life(world: CrashWorld, model: Model, random: Prng): Promise<void> {
  const bench = await Bench.open(world)
  const groups = new Map<string, Group>()
  const reader = await bench.reader()
  for (const group of reader.groups()) groups.set(`${group.id}.${group.group}`, group)
  const known = [...groups.values()]
  checkStored(model, known)
  await checkBodies(bench, model, known)
  await settleDown(bench)
  await checkEvents(world, bench, model, known)
  bench.host.onAnnounce = (rows) => {
    for (const row of rows) {
      const group = reader.group(row.id, row.group)
      if (group) groups.set(`${row.id}.${row.group}`, group)
    }
  }
  const steps = 5 + random.below(60)
  for (let step = 0; step < steps; step++) {
    if (random.below(3) > 0) model.accept(bench, random)
    else model.settle(bench, random, groups)
    if (random.below(2) === 0) world.clock.advance(random.below(30))
    for (let i = random.below(4); i > 0; i--) await turn()
  }
  world.disk = world.disk.crash()
}

/** Which recipients are pending, against what was promised. */
function checkStored(model: Model, groups: readonly Group[]): void {
  const pending = new Set(groups.flatMap((group) => group.pending.map(({ address }) => address)))
  const stored = new Set(groups.map(({ id }) => id))
  for (const message of model.messages.values()) {
    const present = stored.has(message.id)
    for (const address of message.addresses) {
      const fate = message.fates.get(address)
      if (fate?.sure) assert.ok(!pending.has(address), `${address} was settled and is back`)
      if (message.acknowledged && !fate) assert.ok(pending.has(address), `${address} was accepted and is lost`)
      if (!message.acknowledged && !fate && present) assert.ok(pending.has(address), 'a message is there in part')
    }
    // What was found counts as promised from now on.
    if (present) message.acknowledged = true
    if (!present && !message.acknowledged) model.messages.delete(message.id)
  }
  checkNotifications(model, groups, pending)
}

/** A committed bounce has exactly one notification, one that is not committed has none. */
function checkNotifications(model: Model, groups: readonly Group[], pending: ReadonlySet<string>): void {
  for (const message of model.messages.values()) {
    for (const [address, fate] of message.fates) {
      if (pending.has(address)) message.fates.delete(address)
      else fate.sure = true
    }
  }
  const notifications = groups.filter(({ id }) => !model.messages.has(id)).length
  const bouncing = new Set<string>()
  for (const message of model.messages.values()) {
    for (const [address, fate] of message.fates) if (fate.outcome === Outcome.bounced) bouncing.add(`${message.id}.${address}`)
  }
  assert.ok(notifications <= bouncing.size, 'more notifications than bounces')
}

async function checkBodies(bench: Bench, model: Model, groups: readonly Group[]): Promise<void> {
  const told = new Map<string, number>()
  for (const id of new Set(groups.map((group) => group.id))) {
    const body = await bench.body(id)
    const message = model.messages.get(id)
    if (message) assert.deepEqual(body, bodyOf(message.bytes, message.seed))
    else
      for (const [, address] of body?.toString().matchAll(/failed (\S+)/g) ?? [])
        told.set(address as string, (told.get(address as string) ?? 0) + 1)
  }
  for (const message of model.messages.values()) {
    for (const [address, fate] of message.fates) {
      if (fate.outcome === Outcome.bounced) assert.equal(told.get(address), 1, `${address} bounced, notifications`)
      else assert.equal(told.get(address), undefined)
    }
  }
}

/** Each message that is there has its reception in the log, each committed settlement its event. */
async function checkEvents(world: CrashWorld, bench: Bench, model: Model, groups: readonly Group[]): Promise<void> {
  const tail = await bench.drive(EventTail.open(world.dataDir, { disk: world.disk, clock: world.clock, holdBackMs: 0 }))
  const seen = new Set<string>()
  for (;;) {
    const lines = await bench.drive(tail.poll())
    if (lines.length === 0) break
    for (const { line } of lines) {
      const { type, id, recipient } = JSON.parse(line) as { type: string; id: string; recipient: string }
      seen.add(`${type} ${id} ${recipient}`)
    }
  }
  for (const { id, pending } of groups) {
    for (const { address } of pending) assert.ok(seen.has(`reception ${idToText(id)} ${address}`), `reception of ${address} is not logged`)
  }
  for (const { id, fates } of model.messages.values()) {
    for (const [address, { outcome }] of fates) {
      const type = outcome === Outcome.delivered ? 'delivery' : 'bounce'
      assert.ok(seen.has(`${type} ${idToText(id)} ${address}`), `${type} of ${address} is not logged`)
    }
  }
}

const SEEDS = 60

describe('power cuts', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`keeps its promises over four lives, seed ${seed}`, async () => {
      const random = new Prng(seed)
      const clock = new ManualClock()
      // Half of the runs have a disk that takes its time, so that cuts fall between the steps of a commit.
      const latency = seed % 2 === 0 ? { clock, ms: () => random.below(4) } : undefined
      const disk = new MemoryDisk({ random, ...(latency ? { latency } : undefined) })
      const world: CrashWorld = { clock, dataDir: '/data', disk, end: () => undefined }
      const model = new Model()
      for (let i = 0; i < 4; i++) await life(world, model, random)
      const last = await Bench.open(world)
      await last.drive(last.owner.flush())
      await last.close()
      assert.deepEqual((await last.check()).findings, [])
    })
  }
})
