// The life of rows apart from delivery: hold, expiry, warnings, updates, and the deaths of threads.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { messageId } from '../../src/spool/ids.ts'
import { bench, DAY, drain, pass, REFUSED, routeTo, row, rowsOf, up, upFast } from './support.ts'

const gone = (id: number, group = 0): { kind: 'gone'; id: number; group: number } => ({ kind: 'gone', id, group })

test('a held row neither goes, nor expires, nor warns, until it is released', () => {
  const b = bench()
  b.scheduler.announce([row(1, { held: true, warnAt: b.clock.now() + 1_000, expires: b.clock.now() + DAY })])
  pass(b, DAY - 1_000)
  assert.equal(b.host.asked.length + b.host.warned.length + b.host.expired.length, 0)
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.binding.origin, 'operator')
  b.scheduler.announce([row(1, { expires: b.clock.now() + DAY })])
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [1])
})

test('a ready row is held, changed and released where it stands', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b)
  b.scheduler.announce([row(2, { held: true })])
  const conn = up(b)
  assert.deepEqual(drain(b, conn), [1, 3])
  b.scheduler.announce([row(2, { priority: 5, recipients: 7 })])
  assert.deepEqual(drain(b, conn), [2])
})

test('a row that is held while it waits is no longer looked at by time', () => {
  const b = bench()
  const times = { warnAt: b.clock.now() + 1_000, expires: b.clock.now() + 2_000 }
  b.scheduler.announce([row(1, times), row(2, { ...times, due: b.clock.now() + 500 })])
  b.scheduler.announce([row(1, { ...times, held: true }), row(2, { ...times, due: b.clock.now() + 500, held: true })])
  pass(b, DAY)
  assert.equal(b.host.warned.length + b.host.expired.length, 0)
  assert.equal(b.scheduler.rows({ state: 'held' }).rows.length, 2)
})

test('a retry that an operator orders makes a scheduled row due at once', () => {
  const b = bench()
  b.scheduler.announce([row(1, { due: b.clock.now() + 4 * 3_600_000, attempts: 3 })])
  b.scheduler.announce([row(1, { due: b.clock.now(), attempts: 3 })])
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [1])
})

test('an operator moves a row to another route and another tenant', () => {
  const b = bench()
  b.scheduler.announce([row(1), row(2)])
  routeTo(b)
  b.scheduler.announce([row(1, { domain: 'smtp://192.0.2.9:25', tenant: 'bert' })])
  assert.equal(b.host.asked.at(-1), 'smtp://192.0.2.9:25')
  routeTo(b, 'smtp://192.0.2.9:25', 'smtp://192.0.2.9:25')
  assert.equal(b.scheduler.view([{ id: 1, group: 0 }])[0]?.site, 'smtp://192.0.2.9:25')
  assert.equal(b.scheduler.view([{ id: 1, group: 0 }])[0]?.tenant, 'bert')
  assert.equal(b.scheduler.summary().find(({ site }) => site === 'site')?.ready, 1)
})

test('a row expires where it waits, with what kept it there', () => {
  const b = bench()
  const soon = b.clock.now() + 30_000
  b.scheduler.announce([
    row(1, { expires: soon }),
    row(2, { expires: soon, domain: 'slow.example' }),
    row(3, { expires: soon, due: soon + 1 }),
  ])
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  const dns = { code: 0, enhanced: '4.4.3', text: 'timeout' }
  b.scheduler.routeAnswer('slow.example', { kind: 'temporary', reply: dns, retryMs: 600_000 })
  pass(b, 30_000)
  assert.deepEqual(
    b.host.expired.sort((a, c) => a.id - c.id),
    [
      { id: 1, group: 0, reply: REFUSED.reply, peer: REFUSED.peer },
      { id: 2, group: 0, reply: dns, peer: '' },
      { id: 3, group: 0, reply: undefined, peer: '' },
    ],
  )
  b.scheduler.settled([gone(1), gone(2), gone(3)])
  assert.equal(b.scheduler.residentCount, 0)
})

test('a row that is announced after its time expires at once', () => {
  const b = bench()
  b.scheduler.announce([row(1, { expires: b.clock.now() })])
  assert.equal(b.host.expired.length, 1)
  assert.deepEqual(b.host.asked, [])
})

test('a row in flight does not expire; when it comes back it does', () => {
  const b = bench()
  b.scheduler.announce([row(1, { expires: b.clock.now() + 10_000 })])
  routeTo(b)
  const conn = up(b)
  pass(b, 20_000)
  assert.equal(b.host.expired.length, 0)
  b.scheduler.returned(conn, [{ id: 1, groups: [0] }], 'unused')
  pass(b, 100)
  assert.equal(b.host.expired.length, 1)
})

test('a delay is warned about once, and the row stays', () => {
  const b = bench()
  b.scheduler.announce([row(1, { warnAt: b.clock.now() + 4 * 3_600_000 })])
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  pass(b, 3 * 3_600_000)
  assert.equal(b.host.warned.length, 0)
  pass(b, 20 * 3_600_000)
  assert.deepEqual(b.host.warned, [{ id: 1, group: 0, reply: REFUSED.reply, peer: REFUSED.peer }])
  assert.equal(b.scheduler.residentCount, 1)
})

test('rows that are settled while they wait are gone', () => {
  const b = bench()
  b.scheduler.announce([row(1), row(2, { due: b.clock.now() + 1_000 }), row(3, { held: true }), row(4, { domain: 'other.example' })])
  routeTo(b)
  b.scheduler.settled([gone(1), gone(2), gone(3), gone(4), gone(5)])
  assert.equal(b.scheduler.residentCount, 0)
  assert.ok(b.scheduler.summary().every(({ ready, scheduled, held, routing }) => ready + scheduled + held + routing === 0))
})

test('an announcement of a row in flight changes nothing', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  b.host.takeIds()
  b.scheduler.announce([row(1)])
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [])
  assert.equal(b.scheduler.residentCount, 1)
})

test('a change that an owner committed while the row is in flight does not grant it again', () => {
  const b = bench()
  b.scheduler.announce([row(1), row(2)])
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.settled([{ kind: 'changed', row: row(1, { due: b.clock.now() }) }])
  b.scheduler.settled([{ kind: 'gone', id: 2, group: 0 }])
  b.scheduler.pull(conn, 5, 0)
  assert.deepEqual(b.host.takeIds(), [])
  assert.equal(b.scheduler.view([{ id: 1, group: 0 }])[0]?.state, 'inFlight')
  b.scheduler.settled([{ kind: 'rescheduled', row: row(1, { attempts: 1, due: b.clock.now() }) }])
  assert.deepEqual(b.host.takeIds(), [1])
})

test('a settlement of a row that is not known adds the row', () => {
  const b = bench()
  b.scheduler.settled([{ kind: 'rescheduled', row: row(1, { attempts: 1, due: b.clock.now() + 1_000 }) }])
  pass(b, 1_000)
  assert.deepEqual(b.host.asked, ['example.org'])
})

test('the grants of a dead deliver thread return after a pause for settlements under way', () => {
  const b = bench({}, 2)
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b, 'example.org', 'site', { connections: 2 })
  const first = b.host.opened[0]
  assert.ok(first)
  b.scheduler.connectionUp(first.conn)
  b.scheduler.pull(first.conn, 1)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.deliverThreadDown(first.thread)
  // Its settlement was committed after all.
  b.scheduler.settled([gone(1)])
  assert.ok(b.host.opened.slice(1).every(({ thread }) => thread !== first.thread))
  pass(b, 1_100)
  assert.equal(b.scheduler.residentCount, 99)
  assert.equal(b.scheduler.summary()[0]?.connections, b.host.opened.length - 1)
})

test('a message whose deliver thread died is granted again on another', () => {
  const b = bench({}, 2)
  b.scheduler.announce([row(1)])
  routeTo(b)
  const first = b.host.opened[0]
  assert.ok(first)
  up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.deliverThreadDown(first.thread)
  pass(b, 1_100)
  assert.notEqual(b.host.opened.at(-1)?.thread, first.thread)
  up(b)
  assert.deepEqual(b.host.takeIds(), [1])
})

test('with no deliver thread nothing is opened, and all goes on when one is back', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  b.scheduler.deliverThreadDown(0)
  pass(b, DAY / 2)
  assert.equal(b.host.opened.length, 1)
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.binding.limit, 'deliverThread')
  b.scheduler.deliverThreadUp(0)
  assert.equal(b.host.opened.length, 2)
})

test('a dead owner takes its rows along, but for those in flight; it announces them again', () => {
  const b = bench()
  const [mine, other] = [messageId(1, 7), messageId(2, 7)]
  b.scheduler.announce([row(mine), row(mine + 1), row(other)])
  routeTo(b)
  const conn = upFast(b)
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [mine])
  b.scheduler.ownerDown([1])
  assert.equal(b.scheduler.residentCount, 2)
  b.scheduler.announce([row(mine), row(mine + 1)])
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [other])
  b.scheduler.settled([gone(mine), gone(other)])
  assert.deepEqual(
    b.scheduler.rows({}).rows.map(({ id }) => id),
    [mine + 1],
  )
})

test('what a deliver thread holds after an owner died stays in flight; what it does not hold is due again', () => {
  const b = bench()
  const ids = [messageId(1, 1), messageId(1, 2), messageId(1, 3)]
  b.scheduler.announce(ids.map((id) => row(id)))
  routeTo(b)
  const conn = upFast(b)
  for (let i = 0; i < 3; i++) b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), ids)
  b.scheduler.ownerDown([1])
  b.scheduler.announce([row(ids[0] as number), row(ids[1] as number)])
  b.scheduler.inFlight(0, [{ id: ids[0] as number, group: 0 }])
  const states = b.scheduler.view(ids.map((id) => ({ id, group: 0 }))).map((view) => view?.state)
  // The third was settled before its owner died: it is not announced again, and gone.
  assert.deepEqual(states, ['inFlight', 'ready', undefined])
})

test('a row that is held while it is in flight is held when it comes back unused', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  b.scheduler.announce([row(1, { held: true })])
  b.scheduler.returned(conn, [{ id: 1, groups: [0] }], 'unused')
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.state, 'held')
  const c = bench()
  c.scheduler.announce([row(1)])
  routeTo(c)
  up(c)
  c.scheduler.announce([row(1, { held: true })])
  c.scheduler.deliverThreadDown(0)
  assert.equal(c.scheduler.explain([{ id: 1, group: 0 }])[0]?.state, 'held')
})

test('an announcement counts for one death of its owner only', () => {
  const b = bench()
  const id = messageId(1, 1)
  b.scheduler.announce([row(id)])
  routeTo(b)
  up(b)
  b.scheduler.ownerDown([1])
  b.scheduler.announce([row(id)])
  b.scheduler.inFlight(0, [{ id, group: 0 }])
  b.scheduler.announce([row(id)])
  b.scheduler.ownerDown([1])
  b.scheduler.inFlight(0, [])
  assert.equal(b.scheduler.residentCount, 0)
})

test('after a restart nothing that deliver threads hold is granted, whichever is heard of first', () => {
  const b = bench({}, 0)
  b.scheduler.announce([row(1), row(2)])
  b.scheduler.inFlight(0, [
    { id: 1, group: 0 },
    { id: 3, group: 0 },
  ])
  b.scheduler.inFlight(1, [{ id: 4, group: 1 }])
  b.scheduler.announce([row(3), row(4, { group: 1 }), row(4, { group: 0 })])
  b.scheduler.deliverThreadUp(0)
  b.scheduler.deliverThreadUp(1)
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [2, 4])
  assert.match(b.scheduler.explain([{ id: 3, group: 0 }])[0]?.binding.origin ?? '', /thread 0/)
  b.scheduler.settled([gone(3)])
  b.scheduler.returned(77, [{ id: 1, groups: [0] }], 'unused')
  b.scheduler.deliverThreadDown(1)
  pass(b, 1_100)
  const left = b.scheduler.rows({}).rows.map(({ id, group, state }) => `${id}/${group} ${state}`)
  assert.ok(!left.some((text) => text.startsWith('3/')))
  assert.equal(left.filter((text) => text.startsWith('1/')).length, 1)
  assert.ok(!left.includes('4/1 inFlight'), left.join())
})

test('what was held of unknown messages is forgotten with its settlement, its return or its thread', () => {
  const b = bench({}, 0)
  b.scheduler.inFlight(0, [
    { id: 1, group: 0 },
    { id: 1, group: 1 },
    { id: 2, group: 0 },
  ])
  b.scheduler.settled([gone(1)])
  b.scheduler.returned(5, [{ id: 1, groups: [1] }], 'unused')
  b.scheduler.deliverThreadDown(0)
  b.scheduler.deliverThreadUp(0)
  b.scheduler.announce([row(1), row(1, { group: 1 }), row(2)])
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [1, 2])
})

test('a late timer loses nothing, and one tick does a bounded amount', () => {
  const b = bench({ rowsPerTick: 100 })
  b.scheduler.announce(Array.from({ length: 1_000 }, (_, i) => row(i, { due: b.clock.now() + 1_000 + i })))
  b.clock.advance(DAY)
  b.scheduler.tick()
  assert.equal(b.scheduler.rows({ state: 'routing' }).rows.length, 100)
  assert.ok(b.scheduler.nextTickAt() <= b.clock.now())
  for (let i = 0; i < 9; i++) b.scheduler.tick()
  assert.equal(b.scheduler.rows({ state: 'routing' }).rows.length, 1_000)
})
