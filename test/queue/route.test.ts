// Domains and their routes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bench, CLOSED, DAY, drain, pass, REFUSED, routeTo, row, rowsOf, up } from './support.ts'

const NXDOMAIN = { code: 0, enhanced: '5.1.2', text: 'no such domain' }
const SERVFAIL = { code: 0, enhanced: '4.4.3', text: 'SERVFAIL from 127.0.0.1' }

test('a domain is asked about once, however many rows wait for it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(100, 1))
  b.scheduler.announce(rowsOf(100, 1_001))
  assert.deepEqual(b.host.asked, ['example.org'])
  assert.deepEqual(b.host.opened, [])
})

test('a domain that lost its rows while it was asked about is not asked about twice', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  b.scheduler.announce([row(2)])
  assert.equal(b.host.asked.length, 1)
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [2])
})

test('nothing is asked for rows that are not due', () => {
  const b = bench()
  b.scheduler.announce([row(1, { due: b.clock.now() + 60_000 })])
  assert.deepEqual(b.host.asked, [])
  pass(b, 60_000)
  assert.deepEqual(b.host.asked, ['example.org'])
})

test('a domain without an answer delays nobody else', () => {
  const b = bench()
  b.scheduler.announce([row(1, { domain: 'slow.example' }), row(2, { domain: 'fast.example' })])
  routeTo(b, 'fast.example')
  assert.deepEqual(drain(b, up(b)), [2])
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.binding.limit, 'route')
})

test('a good route is used without asking again, a stale one is asked for anew', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', {}, 300_000)
  const conn = up(b)
  drain(b, conn)
  b.clock.advance(200_000)
  b.scheduler.announce([row(2)])
  assert.deepEqual(drain(b, conn), [2])
  assert.equal(b.host.asked.length, 1)
  b.clock.advance(200_000)
  b.scheduler.announce([row(3)])
  assert.deepEqual(b.host.takeIds(), [])
  assert.equal(b.host.asked.length, 2)
})

test('rows of several domains at one provider share its site', () => {
  const b = bench()
  b.scheduler.announce([row(1, { domain: 'a.example' }), row(2, { domain: 'b.example' })])
  routeTo(b, 'a.example', 'provider')
  routeTo(b, 'b.example', 'provider')
  assert.equal(b.host.opened.length, 1)
  assert.deepEqual(drain(b, up(b)), [1, 2])
})

test('no such domain: due rows bounce with the reply, and wait for their owner', () => {
  const b = bench()
  b.scheduler.announce([row(1), row(2), row(3, { due: b.clock.now() + 1_000 })])
  b.scheduler.routeAnswer('example.org', { kind: 'permanent', reply: NXDOMAIN })
  assert.deepEqual(b.host.bounced, [
    {
      rows: [
        { id: 1, group: 0 },
        { id: 2, group: 0 },
      ],
      reply: NXDOMAIN,
    },
  ])
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.state, 'leaving')
  b.scheduler.settled([
    { kind: 'gone', id: 1, group: 0 },
    { kind: 'gone', id: 2, group: 0 },
  ])
  assert.equal(b.scheduler.residentCount, 1)
  pass(b, 1_000)
  assert.equal(b.host.asked.length, 2, 'the third asks for itself')
})

test('a temporary failure keeps the rows and asks again at its time, once', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(10, 1))
  b.scheduler.routeAnswer('example.org', { kind: 'temporary', reply: SERVFAIL, retryMs: 60_000 })
  b.scheduler.announce(rowsOf(10, 101))
  pass(b, 59_000)
  assert.equal(b.host.asked.length, 1)
  const [explained] = b.scheduler.explain([{ id: 1, group: 0 }])
  assert.match(explained?.binding.origin ?? '', /SERVFAIL/)
  pass(b, 1_000)
  assert.equal(b.host.asked.length, 2)
  routeTo(b)
  assert.equal(drain(b, up(b)).length, 20)
})

test('a temporary failure is asked about again although nothing new comes', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(10, 1))
  b.scheduler.routeAnswer('example.org', { kind: 'temporary', reply: SERVFAIL, retryMs: 60_000 })
  pass(b, 60_000)
  assert.equal(b.host.asked.length, 2)
})

test('an operator can have a domain asked about at once', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  b.scheduler.routeAnswer('example.org', { kind: 'temporary', reply: SERVFAIL, retryMs: 3_600_000 })
  b.scheduler.wake('example.org')
  assert.equal(b.host.asked.length, 2)
})

test('rows that wait at a dead site move when their domain has a new one', () => {
  const b = bench()
  b.scheduler.announce([...rowsOf(3, 1), row(9, { domain: 'other.example' })])
  routeTo(b, 'example.org', 'old', {}, 60_000)
  routeTo(b, 'other.example', 'old')
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, { ...REFUSED, kind: 'throttled' })
  assert.equal(b.host.backoffs.length, 1)
  // The back-off ends after the route did: the domain is asked about before the site is tried again.
  pass(b, 70_000)
  assert.equal(b.host.asked.filter((domain) => domain === 'example.org').length, 2)
  routeTo(b, 'example.org', 'new')
  assert.equal(b.host.opened.at(-1)?.site, 'new')
  assert.deepEqual(drain(b, up(b)), [1, 2, 3])
  assert.equal(b.scheduler.view([{ id: 9, group: 0 }])[0]?.site, 'old')
})

test('a route that changes while rows are ready takes them along in their order', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(5, 1))
  routeTo(b, 'example.org', 'old')
  routeTo(b, 'example.org', 'new')
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  assert.equal(b.host.opened.at(-1)?.site, 'new')
  assert.deepEqual(drain(b, up(b)), [1, 2, 3, 4, 5])
})

test('questions in flight are bounded over all domains', () => {
  const b = bench({ routeQuestions: 2 })
  for (let i = 0; i < 5; i++) b.scheduler.announce([row(i, { domain: `d${i}.example` })])
  assert.deepEqual(b.host.asked, ['d0.example', 'd1.example'])
  routeTo(b, 'd0.example')
  assert.deepEqual(b.host.asked, ['d0.example', 'd1.example', 'd2.example'])
})

test('without a deliver thread there is nobody to ask; the first that comes up is asked', () => {
  const b = bench({}, 0)
  b.scheduler.announce([row(1)])
  assert.deepEqual(b.host.asked, [])
  b.scheduler.deliverThreadUp(0)
  assert.deepEqual(b.host.asked, ['example.org'])
})

test('what a dead deliver thread was asked is asked again, and a second answer does no harm', () => {
  const b = bench({}, 2)
  b.scheduler.announce([row(1)])
  b.scheduler.deliverThreadDown(0)
  assert.deepEqual(b.host.asked, ['example.org', 'example.org'])
  routeTo(b)
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [1])
})

test('domains, sites and tenants that nobody needs are forgotten', () => {
  const b = bench()
  for (let i = 0; i < 500; i++) b.scheduler.announce([row(i, { domain: `d${i}.example`, tenant: `t${i}` })])
  for (let i = 0; i < 500; i++) routeTo(b, `d${i}.example`, `s${i}`, {}, 60_000)
  for (let i = 0; i < 500; i++) {
    const opened = b.host.opened[i]
    assert.ok(opened)
    b.scheduler.connectionUp(opened.conn)
    b.scheduler.pull(opened.conn, 1)
  }
  for (let i = 0; i < 500; i++) b.scheduler.settled([{ kind: 'gone', id: i, group: 0 }])
  for (const { conn } of b.host.opened) b.scheduler.connectionDown(conn, CLOSED)
  assert.ok(b.scheduler.summary().length >= 500)
  pass(b, DAY)
  assert.deepEqual(b.scheduler.summary(), [])
  assert.equal(b.scheduler.nextTickAt(), Infinity)
})
