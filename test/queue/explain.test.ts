// Why a message does not move: one reason, with its value and where it comes from.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueClass } from '../../src/spool/types.ts'
import { limitsFor } from '../../src/queue/shaping.ts'
import { type Bench, bench, DAY, pass, REFUSED, routeTo, row, rowsOf, up } from './support.ts'

function binding(b: Bench, id: number): string {
  const found = b.scheduler.explain([{ id, group: 0 }])[0]?.binding
  return found ? `${found.limit} | ${found.value} | ${found.origin}` : 'nothing'
}

test('a row that is due later says when and why', () => {
  const b = bench()
  b.scheduler.announce([row(1, { due: b.clock.now() + 60_000, attempts: 2 }), row(2, { due: b.clock.now() + 60_000 })])
  assert.equal(binding(b, 1), 'due | 2027-01-15T08:01:00.000Z | retry')
  assert.equal(binding(b, 2), 'due | 2027-01-15T08:01:00.000Z | not before')
})

test('a row whose domain has no answer says so', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  assert.equal(binding(b, 1), 'route | asked | router, example.org')
})

test('a row at a site that is backed off gives its last reply', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  const [explained] = b.scheduler.explain([{ id: 1, group: 0 }])
  assert.equal(explained?.binding.limit, 'backoff')
  assert.equal(explained?.binding.origin, 'default at mx.example.org[192.0.2.1]:25: 4.4.1 connection refused')
  assert.equal(explained?.lastReply, '4.4.1 connection refused')
})

test('the next attempt is when what blocks a row ends, and nothing where no time ends it', () => {
  const b = bench()
  const next = (id: number): string => {
    const [view] = b.scheduler.view([{ id, group: 0 }])
    return view && view.nextAttempt > 0 ? new Date(view.nextAttempt).toISOString() : ''
  }
  b.scheduler.announce([row(1), row(2, { domain: 'b.example' })])
  b.scheduler.routeAnswer('b.example', { kind: 'temporary', reply: { code: 451, enhanced: '4.4.3', text: 'no answer' }, retryMs: 60_000 })
  assert.equal(next(2), '2027-01-15T08:01:00.000Z')
  routeTo(b)
  assert.equal(next(1), '2027-01-15T08:00:00.000Z')
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  const [explained] = b.scheduler.explain([{ id: 1, group: 0 }])
  assert.equal(explained?.binding.value, next(1))
  assert.ok(next(1) > '2027-01-15T08:00:04')
  b.scheduler.suspend('site', Infinity, 'by hand')
  assert.equal(next(1), '')
})

test('a row that waits for a connection says which limit it is and who set it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(200, 1))
  const limits = limitsFor('mx', 'google', [{ origin: 'shaping.google', limits: { connections: 1 } }])
  b.scheduler.routeAnswer('example.org', { kind: 'site', site: { key: 'mx', limits, route: '' }, ttlMs: DAY })
  assert.equal(binding(b, 100), 'connections | 1 | shaping.google')
})

test('the first connection being opened is a reason', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(200, 1))
  routeTo(b)
  assert.equal(binding(b, 100), 'connecting | first connection is being opened | site')
})

test('rates are reasons: of connections, of messages, of the tenant', () => {
  const b = bench({ tenant: (name) => ({ weight: 1, messageRate: name === 'slow' ? { count: 1, periodMs: DAY } : undefined }) })
  b.scheduler.announce([...rowsOf(100, 1), ...rowsOf(2, 1_001, { domain: 'b.example', tenant: 'slow' })])
  routeTo(b, 'example.org', 'a', { messageRate: { count: 1, periodMs: 3_600_000 } })
  up(b)
  assert.match(binding(b, 50), /^messageRate \| 2027-01-15T09:00:00.000Z \| default: 1 per 3600 s$/)
  routeTo(b, 'b.example', 'b')
  up(b)
  assert.match(binding(b, 1_002), /^tenantRate \| 2027-01-16T08:00:00.000Z \| slow: 1 per 86400 s$/)
  const c = bench()
  c.scheduler.announce(rowsOf(100, 1))
  routeTo(c, 'example.org', 'c', { connectionRate: { count: 1, periodMs: 60_000 } })
  up(c)
  assert.equal(binding(c, 50), 'connectionRate | 1 per 60 s | default')
})

test('a row in its turn says how many are ready, and what goes before it', () => {
  const b = bench()
  b.scheduler.announce([...rowsOf(50, 1), ...rowsOf(50, 1_001, { class: QueueClass.transactional })])
  routeTo(b)
  up(b)
  assert.equal(binding(b, 20), 'turn | 99 ready | transactional goes first')
  assert.equal(binding(b, 1_020), 'turn | 99 ready | tenant anna, in its order')
})

test('a row in flight says since when and where', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  pass(b, 5_000)
  assert.equal(binding(b, 1), `inFlight | 2027-01-15T08:00:00.000Z | deliver thread 0, connection ${conn}`)
})

test('each group of a message is explained', () => {
  const b = bench()
  b.scheduler.announce([row(1, { group: 1, held: true }), row(1, { group: 0, domain: 'b.example' })])
  const groups = b.scheduler.explain([1, 0, 2].map((group) => ({ id: 1, group })))
  assert.deepEqual(
    groups.map((one) => one && [one.group, one.domain, one.state]),
    [[1, 'example.org', 'held'], [0, 'b.example', 'routing'], undefined],
  )
})

test('the summary counts by site, and domains without a route together', () => {
  const b = bench()
  b.scheduler.announce([
    ...rowsOf(3, 1),
    row(10, { due: b.clock.now() + 1_000 }),
    row(11, { held: true }),
    row(20, { domain: 'b.example' }),
    row(21, { domain: 'c.example' }),
  ])
  routeTo(b)
  up(b)
  const byKey = new Map(b.scheduler.summary().map((summary) => [summary.site, summary]))
  const { domains, scheduled, ready, inFlight, held, connections } = byKey.get('site') ?? {}
  assert.deepEqual([domains, scheduled, ready, inFlight, held, connections], [1, 1, 2, 1, 1, 1])
  assert.equal(byKey.get('')?.routing, 2)
})

test('rows are listed in pages, by what is asked for', () => {
  const b = bench()
  b.scheduler.announce([...rowsOf(25, 1, { tenant: 'a' }), ...rowsOf(5, 101, { tenant: 'b', held: true })])
  const ids: number[] = []
  let cursor: number | undefined = 0
  let pages = 0
  while (cursor !== undefined) {
    const page: { rows: { id: number }[]; next: number | undefined } = b.scheduler.rows({ tenant: 'a' }, cursor, 10)
    ids.push(...page.rows.map(({ id }) => id))
    cursor = page.next
    pages++
  }
  assert.equal(ids.length, 25)
  assert.equal(pages, 3)
  assert.equal(b.scheduler.rows({ state: 'held' }).rows.length, 5)
  assert.equal(b.scheduler.rows({ site: '', domain: 'example.org', class: QueueClass.bulk }).rows.length, 30)
  assert.equal(b.scheduler.rows({ domain: 'elsewhere.example' }).rows.length, 0)
})
