import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/config/limits.ts'
import { schedulerSettings } from '../../src/queue/settings.ts'
import { type Bench, bench, CLOSED, drain, routeTo, row, rowsOf, up } from './support.ts'

const TWO_POOLS = [
  { name: 'default', sources: [{ name: 'default', weight: 1 }] },
  { name: 'second', sources: [{ name: 'ip2', weight: 1 }] },
]

test('the configuration bounds connections over all deliver threads, and back-off by its retry times', () => {
  const retry = { firstMs: 1000, maxMs: 5000, expireMs: 60_000, warnAfterMs: 0 }
  const settings = schedulerSettings({ limits: defaultLimits, threads: { net: 2, deliver: 3, inspect: 1 }, retry })
  assert.deepEqual(settings.backoff, { firstMs: 1000, unreachedFirstMs: 1000, maxMs: 5000 })
  assert.equal(settings.connectionsTotal, 3 * defaultLimits.outboundConnectionsMax)
  assert.equal(settings.grantSlotMs, defaultLimits.grantSlotMs)
})

for (const [what, settings] of [
  ['a share above 0.99', { transactionalShare: 1 }],
  ['no pool', { pools: [] }],
  ['a pool without sources', { pools: [{ name: 'default', sources: [] }] }],
  ['a weight of 0', { pools: [{ name: 'default', sources: [{ name: 'a', weight: 0 }] }] }],
  ['a back-off that shrinks', { backoff: { firstMs: 2, unreachedFirstMs: 1, maxMs: 1 } }],
] as const) {
  test(`settings with ${what} are refused`, () => {
    assert.throws(() => bench(settings))
  })
}

test('a tenant without weight is refused', () => {
  const b = bench({ tenant: () => ({ weight: 0, messageRate: undefined }) })
  assert.throws(() => b.scheduler.announce([row(1)]), /a weight is/)
})

function sourceOf(b: Bench, id: number): string | undefined {
  const conn = b.host.grants.find(({ items }) => items.some((item) => item.id === id))?.conn
  return b.host.opened.find((opened) => opened.conn === conn)?.source
}

test('new weights hold for rows that wait already', () => {
  const b = bench()
  b.scheduler.announce([...rowsOf(2_000, 1, { tenant: 'a' }), ...rowsOf(2_000, 10_001, { tenant: 'b' })])
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  const conn = up(b)
  drain(b, conn, 100)
  b.scheduler.configure({ tenant: (name) => ({ weight: name === 'a' ? 3 : 1, messageRate: undefined }) })
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  const ids = drain(b, conn, 800)
  const share = ids.filter((id) => id < 10_000).length / ids.length
  assert.ok(Math.abs(share - 0.75) < 0.03, String(share))
})

test('rows whose pool changes move to it, and back when it is gone', () => {
  const b = bench({ pools: TWO_POOLS })
  b.scheduler.announce([row(1, { tenant: 'a' }), row(2, { tenant: 'b' })])
  routeTo(b)
  b.scheduler.configure({ pools: TWO_POOLS, poolOf: (tenant) => (tenant === 'a' ? 'second' : 'default') })
  routeTo(b)
  for (const { conn } of b.host.opened) {
    b.scheduler.connectionUp(conn)
    b.scheduler.pull(conn, 1)
  }
  assert.equal(sourceOf(b, 1), 'ip2')
  assert.equal(sourceOf(b, 2), 'default')

  const c = bench({ pools: TWO_POOLS, poolOf: () => 'second' })
  c.scheduler.announce([row(1)])
  routeTo(c)
  assert.equal(c.host.opened[0]?.source, 'ip2')
  c.scheduler.connectionDown(c.host.opened[0]?.conn ?? 0, CLOSED)
  c.scheduler.configure({ poolOf: () => 'second' })
  routeTo(c)
  up(c)
  assert.equal(sourceOf(c, 1), 'default')
})

test('after a change routes are asked for again before they are used', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  b.scheduler.configure({})
  assert.equal(b.host.asked.length, 2)
  b.scheduler.connectionUp(b.host.opened[0]?.conn ?? 0)
  b.scheduler.pull(b.host.opened[0]?.conn ?? 0, 1)
  assert.deepEqual(b.host.takeIds(), [])
  routeTo(b)
  assert.deepEqual(b.host.takeIds(), [1])
})
