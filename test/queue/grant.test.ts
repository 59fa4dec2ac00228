// Grants: what is in them, how large they are, and how they come back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bench, DAY, drain, pass, routeTo, row, rowsOf, up, upFast } from './support.ts'

test('the groups of a message for one site go in one item', () => {
  const b = bench()
  b.scheduler.announce([
    row(1, { group: 0, domain: 'a.example' }),
    row(1, { group: 1, domain: 'b.example' }),
    row(1, { group: 2, domain: 'elsewhere.example' }),
  ])
  routeTo(b, 'a.example', 'provider')
  routeTo(b, 'b.example', 'provider')
  routeTo(b, 'elsewhere.example', 'elsewhere')
  b.scheduler.announce([row(2, { domain: 'a.example' })])
  const conn = b.host.opened[0]?.conn ?? 0
  b.scheduler.connectionUp(conn)
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.grants, [{ conn, items: [{ id: 1, groups: [0, 1], attempt: 1, notAfter: b.clock.now() + 5_000 }] }])
})

test('groups go together up to the recipients of one transaction', () => {
  const b = bench()
  b.scheduler.announce([0, 1, 2, 3].map((group) => row(1, { group, domain: `d${group}.example`, recipients: 40 })))
  for (let group = 0; group < 4; group++) routeTo(b, `d${group}.example`, 'provider', { recipientsPerTransaction: 100 })
  up(b)
  assert.deepEqual(b.host.grants[0]?.items[0]?.groups, [0, 1])
})

test('a group larger than a transaction goes alone, for the deliver thread to split', () => {
  const b = bench()
  b.scheduler.announce([row(1, { group: 0, recipients: 1_000 }), row(1, { group: 1, domain: 'b.example' })])
  routeTo(b, 'example.org', 'provider')
  routeTo(b, 'b.example', 'provider')
  up(b)
  assert.deepEqual(b.host.grants[0]?.items[0]?.groups, [0])
})

test('groups at different attempts go apart', () => {
  const b = bench()
  b.scheduler.announce([row(1, { group: 0, attempts: 2 }), row(1, { group: 1, domain: 'b.example' })])
  routeTo(b, 'example.org', 'provider')
  routeTo(b, 'b.example', 'provider')
  up(b)
  assert.deepEqual(
    b.host.grants[0]?.items.map(({ groups, attempt }) => ({ groups, attempt })),
    [{ groups: [0], attempt: 3 }],
  )
})

test('a slow site gets one message at a time, whatever is asked for', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b)
  const conn = up(b, 64)
  for (let i = 0; i < 20; i++) {
    const ids = b.host.takeIds()
    assert.equal(ids.length, 1)
    pass(b, 100)
    b.scheduler.settled(ids.map((id) => ({ kind: 'gone', id, group: 0 })))
    b.scheduler.pull(conn, 64)
  }
})

test('a fast connection gets what it sends in a tenth of a second', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(20_000, 1))
  routeTo(b, 'example.org', 'site', { messagesPerConnection: Infinity })
  const conn = up(b, 64)
  let size = 0
  for (let i = 0; i < 400; i++) {
    const ids = b.host.takeIds()
    size = ids.length
    assert.ok(size >= 1 && size <= 64)
    // 200 messages a second.
    b.clock.advance(size * 5)
    b.scheduler.settled(ids.map((id) => ({ kind: 'gone', id, group: 0 })))
    b.scheduler.pull(conn, 64)
  }
  assert.ok(size >= 18 && size <= 30, String(size))
})

test('a grant is never larger than the pull, nor than what is left of the connection', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(20_000, 1))
  routeTo(b, 'example.org', 'site', { messagesPerConnection: 501 })
  const conn = up(b, 64)
  let granted = 0
  for (let i = 0; i < 2_000 && b.host.closed.length === 0; i++) {
    const ids = b.host.takeIds()
    assert.ok(ids.length <= 7)
    granted += ids.length
    b.clock.advance(1)
    b.scheduler.settled(ids.map((id) => ({ kind: 'gone', id, group: 0 })))
    b.scheduler.pull(conn, 7)
  }
  assert.equal(granted, 501)
  assert.deepEqual(b.host.closed, [conn])
})

test('what comes back unused is first again, in its order', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(6, 1))
  routeTo(b)
  const conn = upFast(b)
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [2])
  const both = [
    { id: 1, groups: [0] },
    { id: 2, groups: [0] },
  ]
  b.scheduler.returned(conn, both, 'unused')
  b.scheduler.pull(conn, 1)
  assert.deepEqual(drain(b, conn), [1, 2, 3, 4, 5, 6])
})

test('what this side failed to send waits a while', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', { idleReuseMs: 300_000 })
  const conn = up(b)
  b.host.takeIds()
  b.scheduler.returned(conn, [{ id: 1, groups: [0] }], 'error')
  b.scheduler.pull(conn, 1)
  pass(b, 59_000)
  assert.deepEqual(b.host.takeIds(), [])
  pass(b, 1_100)
  assert.deepEqual(b.host.takeIds(), [1])
})

test('returns of another connection, of unknown rows and of rows that are not in flight are stale and ignored', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(10, 1))
  routeTo(b)
  const conn = up(b)
  b.host.takeIds()
  b.scheduler.returned(conn + 1, [{ id: 1, groups: [0] }], 'unused')
  b.scheduler.returned(conn, [{ id: 99, groups: [0] }], 'unused')
  b.scheduler.returned(conn, [{ id: 5, groups: [0] }], 'unused')
  assert.equal(b.scheduler.view([{ id: 1, group: 0 }])[0]?.state, 'inFlight')
  assert.equal(b.scheduler.view([{ id: 5, group: 0 }])[0]?.state, 'ready')
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [2])
})

test('a row past its time is given up instead of granted', () => {
  const b = bench()
  b.scheduler.announce([row(1, { expires: b.clock.now() + 1_000 }), row(2)])
  routeTo(b)
  const conn = b.host.opened[0]?.conn ?? 0
  b.scheduler.connectionUp(conn)
  // The timer is late.
  b.clock.advance(2_000)
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [2])
  assert.deepEqual(
    b.host.expired.map(({ id }) => id),
    [1],
  )
})

test('a message that was tried and postponed is granted again at its time, as the next attempt', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', {}, DAY)
  const conn = up(b)
  b.host.takeIds()
  b.scheduler.settled([{ kind: 'rescheduled', row: row(1, { due: b.clock.now() + 300_000, attempts: 1 }) }])
  b.scheduler.pull(conn, 1)
  pass(b, 299_000)
  assert.equal(b.host.grants.length, 0)
  pass(b, 1_000)
  up(b)
  assert.equal(b.host.grants[0]?.items[0]?.attempt, 2)
})

test('pulls of unknown connections, of closing ones and for nothing are ignored', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(5, 1))
  routeTo(b, 'example.org', 'site', { messagesPerConnection: 1 })
  b.scheduler.pull(12_345, 1)
  const conn = up(b)
  assert.equal(b.host.takeIds().length, 1)
  b.scheduler.pull(conn, 1)
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.closed, [conn])
  assert.deepEqual(b.host.takeIds(), [])
})

test('a host that calls back is a bug', () => {
  const b = bench()
  b.host.askRoute = () => b.scheduler.tick()
  assert.throws(() => b.scheduler.announce([row(1)]), /called the scheduler back/)
})

// Outcomes that could not be written gathered without end while mail went on, and a crash sent all of it again.
test('a deliver thread whose outcomes wait for the spool gets no more, another goes on, and explain says why', () => {
  const b = bench({}, 2)
  b.scheduler.announce(rowsOf(10, 1))
  routeTo(b, 'example.org', 'site', { connections: 4 })
  const first = b.host.opened[0]
  assert.ok(first)
  b.scheduler.connectionUp(first.conn)
  b.scheduler.deliverThreadBehind(first.thread, true)
  b.scheduler.pull(first.conn, 1)
  assert.deepEqual(b.host.takeIds(), [])
  pass(b, 10_000)
  const others = b.host.opened.slice(1)
  assert.ok(others.length > 0 && others.every(({ thread }) => thread !== first.thread))
  const second = others[0]?.conn ?? 0
  b.scheduler.connectionUp(second)
  b.scheduler.pull(second, 1)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.deliverThreadBehind(1 - first.thread, true)
  assert.equal(b.scheduler.explain([{ id: 2, group: 0 }])[0]?.binding.limit, 'outcomes')
  b.scheduler.pull(second, 1)
  assert.deepEqual(b.host.takeIds(), [])
  b.scheduler.deliverThreadBehind(1 - first.thread, false)
  assert.deepEqual(b.host.takeIds(), [2])
})
