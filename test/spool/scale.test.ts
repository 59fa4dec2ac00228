// Sizes that small tests do not reach: a hundred thousand groups, an index that outgrows its map many times, readers in
// another process meanwhile.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import type { QueueRow } from '../../src/spool/types.ts'
import { Bench, bodyOf, realWorld, to } from './support.ts'

it('a hundred thousand groups are rescanned in batches, in order, complete', async () => {
  const world = realWorld()
  const bench = await Bench.open(world, { shards: 1 }, [0])
  const recipients = Array.from({ length: 1000 }, (_, i) => to(`user@domain${i}.example`))
  for (let i = 0; i < 100; i++) await bench.accept(recipients, bodyOf(500, i))
  await bench.close()
  const again = await Bench.open(world, { shards: 1 }, [0])
  let batches = 0
  let last: QueueRow | undefined
  const rows = await again.drive(
    again.owner.rescan((found) => {
      batches++
      // The newest come first, then all others from the oldest.
      if (batches === 2) last = undefined
      for (const row of found) {
        if (last) assert.ok(row.id > last.id || (row.id === last.id && row.group === last.group + 1))
        assert.equal(row.domain, `domain${row.group}.example`)
        last = row
      }
      return true
    }),
  )
  assert.deepEqual([rows, again.owner.counts().groups], [100_000, 100_000])
  assert.ok(batches >= 50, 'the event loop gets its turn')
  await again.finish()
  world.end()
})

// Each commit looked at all that waited: the quarter of an hour of a million that expire at once had seconds without a turn.
it('a hundred thousand changes at once cost each commit no more than a few', async () => {
  const world = realWorld()
  const bench = await Bench.open(world, { shards: 1 }, [0])
  const gone = Array.from({ length: 100_000 }, (_, i) => ({ id: i + 1, group: 0, reply: undefined, peer: '' }))
  const startedAt = performance.now()
  bench.owner.expire(gone)
  await bench.drive(bench.owner.flush())
  assert.equal(bench.host.outcomes.length, 100_000)
  // 0.3 s, and 8 s before.
  assert.ok(performance.now() - startedAt < 3000)
  await bench.finish()
  world.end()
})

it('another process reads while the owner writes and the index grows', async () => {
  const world = realWorld()
  const bench = await Bench.open(world)
  const child = spawn(process.execPath, [new URL('other-process.ts', import.meta.url).pathname, world.dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'ready')
  let count = 0
  for (const more of [1, 20, 400, 2000]) {
    const results = Array.from({ length: more }, (_, i) => bench.begin([to('a@one.example')], bodyOf(5000, i)).result)
    const errors = await bench.drive(Promise.all(results))
    assert.ok(errors.every((error) => error === undefined))
    count += more
    child.stdin.write('count\n')
    assert.equal((await lines.next()).value, `${count} ${count}`)
  }
  child.stdin.end()
  await once(child, 'exit')
  await bench.finish()
  world.end()
})
