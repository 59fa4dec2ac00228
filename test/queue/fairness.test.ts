// What a ready queue sends next: class, tenant, priority, order.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueClass, type QueueRow } from '../../src/spool/types.ts'
import { type Bench, bench, drain, pass, routeTo, row, rowsOf, up } from './support.ts'

const transactional = { class: QueueClass.transactional }

/** All rows ready at one site over one connection; the ids in the order of grants. */
function orderOf(rows: readonly QueueRow[], b: Bench = bench(), most?: number): number[] {
  b.scheduler.announce(rows)
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  return drain(b, up(b), most)
}

test('rows of one tenant go first come first served', () => {
  assert.deepEqual(
    orderOf(rowsOf(20, 1)),
    Array.from({ length: 20 }, (_, i) => i + 1),
  )
})

test('a higher priority overtakes, a lower one waits (RFC 6710)', () => {
  const rows = [row(1), row(2, { priority: -9 }), row(3, { priority: 9 }), row(4), row(5, { priority: 9 }), row(6, { priority: 1 })]
  assert.deepEqual(orderOf(rows), [3, 5, 6, 1, 4, 2])
})

test('scheduled rows become ready in the order they are due', () => {
  const b = bench()
  const now = b.clock.now()
  b.scheduler.announce([row(1, { due: now + 3_000 }), row(2, { due: now + 1_000 }), row(3, { due: now + 2_000 })])
  pass(b, 5_000)
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [2, 3, 1])
})

test('transactional overtakes bulk that waited before it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(1_000, 1, { tenant: 'news' }))
  routeTo(b)
  const conn = up(b)
  assert.equal(drain(b, conn, 5).length, 5)
  b.scheduler.announce([row(5_000, { tenant: 'shop', ...transactional })])
  const next = drain(b, conn, 3)
  // The row granted before stays; the one after it is the transactional one.
  assert.ok(next.indexOf(5_000) <= 1, next.join())
})

test('bulk keeps a tenth of the traffic while transactional never ends', () => {
  const ids = orderOf([...rowsOf(1_000, 1), ...rowsOf(1_000, 10_001, { tenant: 'shop', ...transactional })], bench(), 1_000)
  const bulk = ids.filter((id) => id <= 1_000).length
  assert.ok(bulk >= 97 && bulk <= 102, `${bulk} of 1000`)
})

test('the minimum share of bulk is a setting', () => {
  const rows = [...rowsOf(1_000, 1), ...rowsOf(1_000, 10_001, transactional)]
  const bulk = orderOf(rows, bench({ transactionalShare: 0.5 }), 1_000).filter((id) => id <= 1_000).length
  assert.ok(bulk >= 490 && bulk <= 510, `${bulk} of 1000`)
})

test('bulk that was absent has saved nothing up', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(2_000, 10_001, transactional))
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  const conn = up(b)
  drain(b, conn, 1_000)
  b.scheduler.announce(rowsOf(100, 1))
  const next = drain(b, conn, 50)
  assert.ok(next.filter((id) => id <= 100).length <= 6, next.join())
})

test('tenants share by weight', () => {
  const weights: Record<string, number> = { a: 1, b: 2, c: 4 }
  const b = bench({ tenant: (name) => ({ weight: weights[name] ?? 1, messageRate: undefined }) })
  const rows = [...rowsOf(5_000, 1, { tenant: 'a' }), ...rowsOf(5_000, 10_001, { tenant: 'b' }), ...rowsOf(5_000, 20_001, { tenant: 'c' })]
  const ids = orderOf(rows, b, 7_000)
  const count = (from: number): number => ids.filter((id) => id >= from && id < from + 10_000).length
  assert.ok(Math.abs(count(1) - 1_000) <= 20, String(count(1)))
  assert.ok(Math.abs(count(10_001) - 2_000) <= 30, String(count(10_001)))
  assert.ok(Math.abs(count(20_001) - 4_000) <= 40, String(count(20_001)))
})

test('a tenant with large transactions gets no more recipients than one with small ones', () => {
  const rows = [...rowsOf(500, 1, { tenant: 'large', recipients: 50 }), ...rowsOf(20_000, 10_001, { tenant: 'small' })]
  const b = bench()
  const ids = orderOf(rows, b, 5_100)
  const large = ids.filter((id) => id <= 500).length * 50
  const small = ids.filter((id) => id > 10_000).length
  assert.ok(Math.abs(large / (large + small) - 0.5) < 0.03, `${large} and ${small}`)
})

test('one message of a small tenant does not wait for a million of another', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(10_000, 1, { tenant: 'news' }))
  routeTo(b)
  const conn = up(b)
  drain(b, conn, 15)
  b.scheduler.announce([row(50_000, { tenant: 'anna' })])
  // At most the rest of the other's turn goes first, and what is granted already.
  const next = drain(b, conn, 12)
  assert.ok(next.includes(50_000), next.join())
})

test('a tenant at its rate is passed over, and has at most one quantum when it may send again', () => {
  const b = bench({ tenant: (name) => ({ weight: 1, messageRate: name === 'slow' ? { count: 200, periodMs: 60_000 } : undefined }) })
  b.scheduler.announce([...rowsOf(1_000, 1, { tenant: 'slow' }), ...rowsOf(10_000, 10_001, { tenant: 'fast' })])
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  const conn = up(b)
  const first = drain(b, conn, 3_000)
  assert.equal(first.filter((id) => id <= 1_000).length, 200)
  b.clock.advance(600_000)
  const later = drain(b, conn, 60)
  assert.ok(later.filter((id) => id <= 1_000).length <= 40, later.join())
})

test('when every tenant is at its rate the queue sleeps until the first may send', () => {
  const b = bench({ tenant: () => ({ weight: 1, messageRate: { count: 1, periodMs: 30_000 } }) })
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(drain(b, conn), [1])
  pass(b, 29_000)
  assert.deepEqual(b.host.takeIds(), [])
  pass(b, 1_100)
  assert.deepEqual(drain(b, conn), [2])
})
