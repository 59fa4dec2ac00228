// Body segments through an owner with small ones: sealing, removal, compaction, what a crash leaves.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SpoolDisk } from '../../src/spool/disk.ts'
import { bodiesDirectory } from '../../src/spool/layout.ts'
import { withFaults } from '../../src/spool/memory.ts'
import { SpoolReader } from '../../src/spool/reader.ts'
import type { MessageId } from '../../src/spool/types.ts'
import { Bench, bodyOf, drive, memoryWorld, realWorld, to, turns } from './support.ts'
import type { World } from './support.ts'

const RED = to('red@one.example')
const SEGMENT_BYTES = 256 * 1024
const SMALL = { segmentBytes: SEGMENT_BYTES, shards: 1 } as const

function segmentsOf(world: World): Promise<string[]> {
  return drive(world, world.disk.list(bodiesDirectory(world.dataDir, 0)))
}

async function acceptMany(bench: Bench, count: number, bytes: number): Promise<MessageId[]> {
  const ids: MessageId[] = []
  for (let i = 0; i < count; i++) ids.push(await bench.accept([RED], bodyOf(bytes, i)))
  return ids
}

async function deliver(bench: Bench, ids: readonly MessageId[]): Promise<void> {
  await bench.settle(...ids.map((id) => bench.settlement({ id, group: 0 }, [{}])))
}

for (const [name, makeWorld] of [
  ['simulated disk', memoryWorld],
  ['real disk', realWorld],
] as const) {
  describe(`body segments, ${name}`, () => {
    it('a sealed segment goes with its last message', async () => {
      const world = makeWorld()
      const bench = await Bench.open(world, SMALL, [0])
      const ids = await acceptMany(bench, 12, 60_000)
      assert.equal((await segmentsOf(world)).length, 3)
      await deliver(bench, ids.slice(0, 5))
      await bench.until(async () => (await segmentsOf(world)).length === 2)
      for (const [i, id] of ids.entries()) assert.deepEqual(await bench.body(id), i < 5 ? undefined : bodyOf(60_000, i))
      await bench.finish()
      world.end()
    })

    it('a mostly dead segment is compacted, and bodies stay as they were', async () => {
      const world = makeWorld()
      const bench = await Bench.open(world, SMALL, [0])
      const ids = await acceptMany(bench, 40, 30_000)
      const before = await segmentsOf(world)
      assert.ok(before.length >= 4)
      // One message in each segment stays, and one that lies in two.
      const kept = ids.filter((_, i) => i % 8 === 1)
      await deliver(
        bench,
        ids.filter((id) => !kept.includes(id)),
      )
      await bench.until(async () => (await segmentsOf(world)).length < before.length / 2)
      for (const [i, id] of ids.entries()) if (kept.includes(id)) assert.deepEqual(await bench.body(id), bodyOf(30_000, i))
      assert.equal(bench.owner.counts().segmentBytes, kept.length * 30_000)
      await bench.close()
      const again = await Bench.open(world, SMALL, [0])
      for (const [i, id] of ids.entries()) if (kept.includes(id)) assert.deepEqual(await again.body(id), bodyOf(30_000, i))
      await deliver(again, kept)
      assert.equal(again.owner.counts().segmentBytes, 0)
      await again.finish()
      assert.deepEqual(await segmentsOf(world), [])
      world.end()
    })

    it('a message that goes while its segment is compacted does not come back', async () => {
      const world = makeWorld()
      const bench = await Bench.open(world, SMALL, [0])
      const ids = await acceptMany(bench, 16, 30_000)
      await deliver(
        bench,
        ids.filter((_, i) => i !== 1),
      )
      bench.world.clock.advance(1100)
      await turns(3)
      await deliver(bench, ids.slice(1, 2))
      await bench.until(async () => (await segmentsOf(world)).length <= 1)
      assert.deepEqual({ ...bench.owner.counts(), commits: 0 }, { commits: 0, messages: 0, groups: 0, segmentBytes: 0 })
      await bench.finish()
      world.end()
    })
  })
}

describe('body segments', () => {
  it('copies of live bodies do not fill a disk that is nearly full', async () => {
    const room = { bytes: 10_000_000 }
    const world = memoryWorld()
    const disk: SpoolDisk = { ...withFaults(world.disk, () => undefined), freeBytes: async () => room.bytes }
    const bench = await Bench.open({ ...world, disk }, SMALL, [0])
    const ids = await acceptMany(bench, 16, 30_000)
    const before = await segmentsOf(world)
    room.bytes = 50_000
    bench.world.clock.advance(1100)
    await turns()
    await deliver(
      bench,
      ids.filter((_, i) => i !== 1),
    )
    for (let look = 0; look < 3; look++) {
      bench.world.clock.advance(1100)
      await turns(20)
    }
    assert.ok((await segmentsOf(world)).includes(before[0] as string), 'copied with 50,000 bytes free')
    room.bytes = 70_000
    await bench.until(async () => !(await segmentsOf(world)).includes(before[0] as string))
    assert.deepEqual(await bench.body(ids[1] as MessageId), bodyOf(30_000, 1))
    await deliver(bench, ids.slice(1, 2))
    await bench.finish()
  })

  it('a reader whose segment has gone looks again where the body is', async () => {
    const world = memoryWorld()
    const bench = await Bench.open(world, SMALL, [0])
    const [id] = (await acceptMany(bench, 1, 50_000)) as [MessageId]
    let failures = 0
    const disk: SpoolDisk = {
      ...withFaults(world.disk, () => undefined),
      open: (path, mode) => {
        if (path.endsWith('.seg') && failures++ === 0) return Promise.reject(Object.assign(new Error('gone'), { code: 'ENOENT' }))
        return world.disk.open(path, mode)
      },
    }
    const reader = await bench.drive(SpoolReader.open(world.dataDir, { disk }))
    const message = reader.message(id)
    assert.ok(message)
    const stream = await bench.drive(reader.openBody(message))
    assert.deepEqual([stream.bytes, failures], [50_000, 2])
    stream.close()
    await bench.drive(reader.close())
    await bench.finish()
  })

  // Pieces of a 1 GB message were all in memory once: the peer took them as fast as they were read, and nothing else ran.
  it('a large recent body leaves the thread to others while it is read', async () => {
    const world = realWorld()
    const bench = await Bench.open(world, { ...SMALL, segmentBytes: 16 * 1024 * 1024 }, [0])
    const [id] = (await acceptMany(bench, 1, 4_000_000)) as [MessageId]
    const reader = await bench.reader()
    const message = reader.message(id)
    assert.ok(message)
    const stream = await reader.openBody(message, true)
    let othersRanAt = -1
    let at = 0
    setImmediate(() => (othersRanAt = at))
    const piece = Buffer.alloc(128 * 1024)
    while (at < stream.bytes) at += await stream.read(at, piece, 0, piece.length)
    assert.ok(othersRanAt > 0 && othersRanAt < 2 * 1024 * 1024, `others ran at ${othersRanAt}`)
    stream.close()
    await reader.close()
    await bench.finish()
    world.end()
  })

  it('a crash leaves no bytes of messages that were never committed', async () => {
    const world = memoryWorld(3)
    const bench = await Bench.open(world, SMALL, [0])
    await acceptMany(bench, 1, 50_000)
    const intake = bench.owner.openMessage()
    intake.write(bodyOf(200_000, 9), 0, 200_000)
    await turns()
    world.disk = world.disk.crash()
    const again = await Bench.open(world, SMALL, [0])
    await again.close()
    const report = await again.check()
    assert.deepEqual([report.messages, report.deadBytes, report.findings.length], [1, 0, 0])
  })

  it('what follows a failed write is refused, and later mail goes to another segment', async () => {
    const world = memoryWorld()
    let broken = false
    const bench = await Bench.faulty(
      world,
      (operation, path) => (broken && operation === 'write' && path.endsWith('.seg') ? 'EIO' : undefined),
      SMALL,
      [0],
    )
    const [first] = (await acceptMany(bench, 1, 50_000)) as [MessageId]
    broken = true
    const { result } = bench.begin([RED], bodyOf(50_000, 1))
    assert.equal((await bench.drive(result))?.kind, 'failed')
    broken = false
    const later = await bench.accept([RED], bodyOf(50_000, 2))
    assert.deepEqual(await bench.body(first), bodyOf(50_000, 0))
    assert.deepEqual(await bench.body(later), bodyOf(50_000, 2))
    assert.equal((await segmentsOf(world)).length, 2)
    await bench.close()
    assert.deepEqual((await bench.check()).findings, [])
  })

  it('a segment whose sync failed is not trusted again', async () => {
    const world = memoryWorld()
    let broken = false
    const bench = await Bench.faulty(
      world,
      (operation, path) => (broken && operation === 'datasync' && path.endsWith('.seg') ? 'EIO' : undefined),
      SMALL,
      [0],
    )
    const streaming = bench.owner.openMessage()
    streaming.write(bodyOf(150_000, 5), 0, 100_000)
    broken = true
    assert.equal((await bench.drive(bench.begin([RED], bodyOf(50_000, 1)).result))?.kind, 'failed')
    broken = false
    streaming.write(bodyOf(150_000, 5), 100_000, 150_000)
    assert.equal((await bench.drive(bench.commit(streaming, [RED])))?.kind, 'failed', 'its first bytes may be lost')
    assert.ok(await bench.body(await bench.accept([RED], bodyOf(50_000, 2))))
    await bench.close()
  })
})
