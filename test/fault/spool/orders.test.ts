// On a full disk `queue remove` waited for the disk without an end, and its operator with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiskOperation } from '../../../src/spool/memory.ts'
import { Bench, bodyOf, memoryWorld, to } from '../../spool/support.ts'

for (const failing of ['write', 'commit'] satisfies DiskOperation[]) {
  test(`an order that the disk does not take (${failing}) is answered, and carried out when it can be`, async () => {
    let full = false
    const bench = await Bench.faulty(memoryWorld(1), (operation) => (full && operation === failing ? 'ENOSPC' : undefined))
    const id = await bench.accept([to('red@one.example')], bodyOf(500, 1))
    full = true
    await assert.rejects(
      bench.drive(bench.owner.admin('remove', [{ id, group: 0 }])),
      /^Error: the spool cannot be written \(.*ENOSPC.*\); the order is kept and carried out when it can$/,
    )
    assert.equal(bench.owner.counts().messages, 1)
    full = false
    assert.equal(await bench.drive(bench.owner.admin('remove', [{ id, group: 0 }])), 0, 'it was removed by the first order')
    assert.equal(bench.owner.counts().messages, 0)
    await bench.close()
  })
}
