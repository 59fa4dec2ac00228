// Reception lines that a death took: written again by the next start, whatever happens to the message meanwhile.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { EventTail } from '../../src/spool/events.ts'
import { idToText } from '../../src/spool/ids.ts'
import { MemoryDisk } from '../../src/spool/memory.ts'
import { Bench, memoryWorld, to } from './support.ts'

test('a message that is settled as soon as its owner is back has its reception in the log', async () => {
  const world = { ...memoryWorld(), disk: undefined as unknown as MemoryDisk }
  world.disk = new MemoryDisk({ random: new Prng(1), latency: { clock: world.clock, ms: () => 5 } })
  // The shard that is looked through last.
  const before = await Bench.open(world, {}, [1])
  const id = await before.accept([to('anna@one.example')])
  // Its line waits for company: the thread that would write it is gone.
  world.disk = world.disk.crash()
  const bench = await Bench.open(world, { settleDelayMsMax: 0 })
  await bench.settle(bench.settlement({ id, group: 0 }, [{}]))
  await bench.close()
  const tail = await bench.drive(EventTail.open(world.dataDir, { disk: world.disk, clock: world.clock, holdBackMs: 0 }))
  const history = await bench.drive(tail.historyOf(idToText(id)))
  assert.deepEqual(
    history.map(({ type }) => type),
    ['reception', 'delivery'],
  )
})

test('an owner that is closed at once takes what it was told with it', async () => {
  const world = memoryWorld()
  const before = await Bench.open(world)
  const id = await before.accept([to('anna@one.example')])
  await before.close()
  const bench = await Bench.open(world)
  let acknowledged = false
  bench.owner.settle([bench.settlement({ id, group: 0 }, [{}])], () => (acknowledged = true))
  await bench.close()
  assert.ok(acknowledged)
})

test('a recipient that is not ASCII is not received again by each start', async () => {
  const world = memoryWorld()
  const before = await Bench.open(world)
  const id = await before.accept([to('jürgen@one.example')])
  await before.close()
  const bench = await Bench.open(world)
  await bench.settle(bench.settlement({ id, group: 0 }, [{}]))
  await bench.close()
  const tail = await bench.drive(EventTail.open(world.dataDir, { disk: world.disk, clock: world.clock, holdBackMs: 0 }))
  const history = await bench.drive(tail.historyOf(idToText(id)))
  assert.deepEqual(
    history.map(({ type, recipient }) => [type, recipient]),
    [
      ['reception', 'jürgen@one.example'],
      ['delivery', 'jürgen@one.example'],
    ],
  )
})
