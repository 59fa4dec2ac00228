import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { QueueRow, Settled, Settlement } from '../../src/spool/types.ts'
import {
  packItems,
  packRows,
  packSettled,
  packSettlements,
  unpackItems,
  unpackRows,
  unpackSettled,
  unpackSettlements,
} from '../../src/threads/messages.ts'

const id = fc.nat({ max: 2 ** 31 - 1 })
const row: fc.Arbitrary<QueueRow> = fc.record({
  id,
  group: fc.nat(2000),
  domain: fc.string(),
  tenant: fc.string(),
  class: fc.constantFrom(0, 1),
  priority: fc.integer({ min: -9, max: 9 }),
  due: fc.nat(),
  expires: fc.nat(),
  warnAt: fc.nat(),
  attempts: fc.nat(),
  recipients: fc.nat(),
  bytes: fc.nat(),
  held: fc.boolean(),
})
const settlement: fc.Arbitrary<Settlement> = fc.record({
  id,
  group: fc.nat(2000),
  results: fc.array(
    fc.record(
      {
        index: fc.nat(),
        outcome: fc.constantFrom(0, 1, 2),
        code: fc.nat(),
        enhanced: fc.string(),
        text: fc.string(),
        apart: fc.constant(true),
      },
      { requiredKeys: ['index', 'outcome', 'code', 'enhanced', 'text'] },
    ),
  ),
  places: fc.nat(),
  site: fc.string(),
  source: fc.string(),
  peer: fc.string(),
  peerDsn: fc.boolean(),
  peerDeliverBy: fc.boolean(),
  tls: fc.string(),
  startedAt: fc.nat(),
  finishedAt: fc.nat(),
})
const settled: fc.Arbitrary<Settled> = fc.oneof(
  fc.record({ kind: fc.constant('gone' as const), id, group: fc.nat() }),
  fc.record({ kind: fc.constant('rescheduled' as const), row }),
  fc.record({ kind: fc.constant('changed' as const), row }),
)
const item = fc.record({ id, groups: fc.array(fc.nat(2000)), attempt: fc.nat(), notAfter: fc.nat() })

// What arrives has been through a structured clone, as between threads.
test('rows, settled rows, settlements and grants arrive as they were sent', () => {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
  fc.assert(
    fc.property(fc.array(row), fc.array(settled), fc.array(settlement), fc.array(item), (rows, items, settlements, grants) => {
      assert.deepEqual(plain(unpackRows(structuredClone(packRows(rows)))), plain(rows))
      assert.deepEqual(plain(unpackSettled(structuredClone(packSettled(items)))), plain(items))
      assert.deepEqual(plain(unpackSettlements(structuredClone(packSettlements(settlements)))), plain(settlements))
      assert.deepEqual(plain(unpackItems(structuredClone(packItems(grants)))), plain(grants))
    }),
  )
})
