// Connections: how many, where, from which source, and what their end means.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConnectionEnd, SchedulerSettings } from '../../src/queue/ports.ts'
import { limitsFor } from '../../src/queue/shaping.ts'
import { QueueClass } from '../../src/spool/types.ts'
import { type Bench, bench, BROKEN, CLOSED, drain, pass, REFUSED, routeTo, row, rowsOf, up, upFast } from './support.ts'

/** Every connection that was opened comes up and asks for work, until no new one is opened; how many there are. */
function openAll(b: Bench): number {
  for (let i = 0; i < b.host.opened.length; i++) {
    const conn = b.host.opened[i]?.conn ?? 0
    b.scheduler.connectionUp(conn)
    b.scheduler.pull(conn, 1)
  }
  return b.host.opened.length
}

test('three messages do not open fifty connections', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b, 'example.org', 'site', { connections: 50 })
  assert.equal(openAll(b), 1)
})

test('a site starts with one connection and doubles while they come up', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(1_000, 1))
  routeTo(b, 'example.org', 'site', { connections: 50 })
  assert.equal(b.host.opened.length, 1)
  b.scheduler.connectionUp(b.host.opened[0]?.conn ?? 0)
  assert.equal(b.host.opened.length, 2)
  b.scheduler.connectionUp(b.host.opened[1]?.conn ?? 0)
  assert.equal(b.host.opened.length, 4)
  assert.equal(openAll(b), 50)
})

test('connections are spread over the deliver threads', () => {
  const b = bench({}, 3)
  b.scheduler.announce(rowsOf(1_000, 1))
  routeTo(b, 'example.org', 'site', { connections: 12 })
  openAll(b)
  for (const thread of [0, 1, 2]) assert.equal(b.host.opened.filter((opened) => opened.thread === thread).length, 4)
})

test('a closing connection counts until it is down', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b, 'example.org', 'site', { connections: 1, messagesPerConnection: 3 })
  const conn = up(b)
  assert.equal(drain(b, conn).length, 3)
  assert.deepEqual(b.host.closed, [conn])
  assert.equal(b.host.opened.length, 1)
  b.scheduler.connectionDown(conn, CLOSED)
  assert.equal(b.host.opened.length, 2)
})

test('a slow message does not hold up the few that wait behind it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b)
  up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  pass(b, 1_100)
  assert.equal(b.host.opened.length, 2)
  up(b)
  assert.deepEqual(b.host.takeIds(), [2])
})

test('a connection that took long to come up takes its message, without another one for it', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  pass(b, 5_000)
  up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  assert.equal(b.host.opened.length, 1)
})

test('a connection that takes long for its message gets no more until it is done: nothing waits behind it', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.pull(conn, 1, 1)
  b.scheduler.announce([row(2)])
  assert.deepEqual(b.host.takeIds(), [])
  pass(b, 1_000)
  assert.equal(b.host.opened.length, 2, 'another one is opened for it')
  b.scheduler.pull(conn, 1, 0)
  assert.deepEqual(b.host.takeIds(), [2], 'done with it, it gets the next')
})

test('a connection that is fast gets work ahead, when it asks and not much later', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(4, 1))
  routeTo(b)
  const conn = upFast(b)
  for (const id of [1, 2, 3, 4]) {
    b.scheduler.pull(conn, 1, 1)
    assert.deepEqual(b.host.takeIds(), [id])
  }
  b.scheduler.pull(conn, 1, 1)
  pass(b, 500)
  b.scheduler.announce([row(5)])
  assert.deepEqual(b.host.takeIds(), [])
})

test('a connection with more on hand than it sends soon gets no more', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(4, 1))
  routeTo(b)
  const conn = upFast(b)
  b.scheduler.pull(conn, 64, 1_000)
  assert.deepEqual(b.host.takeIds(), [])
})

test('an idle connection is closed after its time, a busy one that asked ahead is not', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', { idleReuseMs: 60_000 })
  const conn = up(b)
  b.scheduler.pull(conn, 1)
  pass(b, 300_000)
  assert.deepEqual(b.host.closed, [])
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  pass(b, 60_000)
  assert.deepEqual(b.host.closed, [conn])
})

test('without time for reuse an idle connection is closed at once, and a busy one keeps nobody busy', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', { idleReuseMs: 0 })
  const conn = up(b)
  b.scheduler.pull(conn, 1)
  pass(b, 10_000)
  assert.deepEqual(b.host.closed, [])
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  pass(b, 1_000)
  assert.deepEqual(b.host.closed, [conn])
})

test('work that comes while a connection is idle goes out on it', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(drain(b, conn), [1])
  pass(b, 30_000)
  b.scheduler.announce([row(2)])
  assert.equal(b.host.grants[0]?.conn, conn)
  assert.equal(b.host.opened.length, 1)
})

test('a failure backs off the site with one record, and its rows stay', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  const [record] = b.host.backoffs
  assert.equal(b.host.backoffs.length, 1)
  assert.equal(record?.failures, 1)
  assert.equal(record?.ready, 100)
  assert.equal(b.host.opened.length, 1)
  pass(b, (record?.until ?? 0) - b.clock.now() - 1)
  assert.equal(b.host.opened.length, 1)
  pass(b, 1)
  assert.equal(b.host.opened.length, 2, 'one connection probes')
})

test('connections that fail together are one back-off; each later probe doubles it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(1_000, 1))
  routeTo(b, 'example.org', 'site', { connections: 8 }, 86_400_000 * 5)
  openAll(b)
  assert.equal(b.host.opened.length, 8)
  for (const { conn } of b.host.opened) b.scheduler.connectionDown(conn, { ...REFUSED, kind: 'throttled' })
  assert.equal(b.host.backoffs.length, 1)
  const delays: number[] = []
  for (let i = 0; i < 8; i++) {
    delays.push((b.host.backoffs.at(-1)?.until ?? 0) - b.clock.now())
    pass(b, delays.at(-1) ?? 0)
    assert.equal(b.host.opened.length, 9 + i)
    b.scheduler.connectionDown(b.host.opened.at(-1)?.conn ?? 0, { ...REFUSED, kind: 'throttled' })
  }
  doubling(delays, 60_000)
})

test('a server that cannot be reached may be restarting: it is tried again within seconds, later as rarely as others', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', {}, 86_400_000 * 5)
  const delays: number[] = []
  for (let i = 0; i < 12; i++) {
    b.scheduler.connectionDown(b.host.opened.at(-1)?.conn ?? 0, REFUSED)
    delays.push((b.host.backoffs.at(-1)?.until ?? 0) - b.clock.now())
    pass(b, delays.at(-1) ?? 0)
  }
  doubling(delays, 5_000)
})

function doubling(delays: readonly number[], firstMs: number): void {
  delays.forEach((delay, i) => {
    const plain = Math.min(firstMs * 2 ** i, 3_600_000)
    assert.ok(delay >= plain * 0.9 && delay <= plain * 1.1, `${i}: ${delay}`)
  })
}

test('a settled message ends the escalation', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  pass(b, 66_001)
  const conn = up(b)
  drain(b, conn, 1)
  b.scheduler.connectionDown(conn, { ...REFUSED, kind: 'throttled' })
  assert.equal(b.host.backoffs.at(-1)?.failures, 1)
})

test('a 421 leaves the other connections at work and opens no new one', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(1_000, 1))
  routeTo(b, 'example.org', 'site', { connections: 4 })
  openAll(b)
  const [first, second] = b.host.opened
  b.scheduler.connectionDown(first?.conn ?? 0, { ...REFUSED, kind: 'throttled' })
  assert.equal(b.host.opened.length, 4)
  const [id = 0] = b.host.grants.find(({ conn }) => conn === second?.conn)?.items.map((item) => item.id) ?? []
  b.host.takeIds()
  b.scheduler.settled([{ kind: 'gone', id, group: 0 }])
  b.scheduler.pull(second?.conn ?? 0, 1)
  assert.equal(b.host.takeIds().length, 1)
})

test('a peer that closes every connection without taking anything is backed off', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  const conn = up(b)
  b.scheduler.returned(conn, [{ id: 1, groups: [0] }], 'unused')
  b.scheduler.connectionDown(conn, CLOSED)
  assert.equal(b.host.backoffs.length, 1)
  assert.equal(b.host.opened.length, 1)
})

/** The last connection gets a message and breaks off in the midst of it; the message is deferred. */
function breaksOff(b: Bench, end: Partial<ConnectionEnd> = {}): void {
  const conn = up(b)
  const [id = 0] = b.host.takeIds()
  b.scheduler.connectionDown(conn, { ...BROKEN, ...end })
  b.scheduler.settled([{ kind: 'rescheduled', row: row(id, { attempts: 1, due: b.clock.now() + 300_000 }) }])
}

test('a connection that breaks off in the midst of a message is followed by the next one at once', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(3, 1))
  routeTo(b)
  breaksOff(b)
  assert.equal(b.host.opened.length, 2)
  assert.deepEqual(drain(b, up(b)), [2, 3])
  assert.deepEqual(b.host.backoffs, [])
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.binding.limit, 'due')
})

test('three connections in a row that break off back off the site, and three more do so for longer', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(4, 1))
  routeTo(b)
  // As few as keep it at one connection at a time.
  for (let i = 0; i < 3; i++) {
    assert.equal(b.host.backoffs.length, 0)
    breaksOff(b)
  }
  assert.equal(b.host.backoffs.length, 1)
  assert.equal(b.host.opened.length, 3)
  const { binding, lastReply } = b.scheduler.explain([{ id: 4, group: 0 }])[0] ?? {}
  assert.deepEqual(binding, {
    limit: 'backoff',
    value: new Date(b.host.backoffs[0]?.until ?? 0).toISOString(),
    origin: 'default at mx.example.org[192.0.2.1]:25: 421 4.3.2 going down',
  })
  assert.equal(lastReply, '421 4.3.2 going down')
  pass(b, (b.host.backoffs[0]?.until ?? 0) - b.clock.now())
  assert.equal(b.host.opened.length, 4, 'one connection probes')
  b.scheduler.announce(rowsOf(2, 5))
  breaksOff(b)
  breaksOff(b)
  assert.equal(b.host.backoffs.length, 1)
  breaksOff(b)
  assert.deepEqual(
    b.host.backoffs.map(({ failures }) => failures),
    [1, 2],
  )
})

test('a success between two connections that break off starts the count anew', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(20, 1))
  routeTo(b)
  for (let i = 0; i < 3; i++) {
    breaksOff(b)
    breaksOff(b)
    const conn = up(b)
    drain(b, conn, 1)
    b.scheduler.connectionDown(conn, { ...CLOSED, messages: 1 })
  }
  assert.deepEqual(b.host.backoffs, [])
})

test('one message that breaks its connection at each retry is no reason to back off', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', {}, 86_400_000 * 5)
  for (let attempts = 1; attempts <= 6; attempts++) {
    const conn = up(b)
    assert.deepEqual(b.host.takeIds(), [1])
    b.scheduler.connectionDown(conn, BROKEN)
    b.scheduler.settled([{ kind: 'rescheduled', row: row(1, { attempts, due: b.clock.now() + 20 * 60_000 }) }])
    pass(b, 21 * 60_000)
  }
  assert.deepEqual(b.host.backoffs, [])
})

test('what a connection did before it broke off is a success, what it left is none', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(20, 1))
  routeTo(b)
  for (let i = 0; i < 3; i++) {
    breaksOff(b)
    breaksOff(b, { messages: 5 })
  }
  breaksOff(b)
  assert.deepEqual(b.host.backoffs, [])
  breaksOff(b)
  assert.equal(b.host.backoffs.length, 1)
})

test('where another connection works, one that breaks off again and again backs off nobody', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(30, 1))
  routeTo(b)
  const steady = up(b)
  for (let i = 0; i < 5; i++) {
    const [mine = 0] = b.host.takeIds()
    pass(b, 1_100)
    breaksOff(b)
    b.scheduler.settled([{ kind: 'gone', id: mine, group: 0 }])
    b.scheduler.pull(steady, 1)
  }
  assert.deepEqual(b.host.backoffs, [])
})

test('a provider that says what it wants in the midst of a message is heeded at the first time', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(2, 1))
  routeTo(b, 'example.org', 'site', { reactions: [{ text: 'TS04', pauseMs: 7_200_000 }] })
  breaksOff(b, { reply: { code: 421, enhanced: '4.7.0', text: '[TS04] Messages temporarily deferred' } })
  assert.equal(b.host.backoffs[0]?.until, b.clock.now() + 7_200_000)
})

test('a provider that says what it wants where no message is harmed is heeded as well', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(2, 1))
  routeTo(b, 'example.org', 'site', { reactions: [{ text: 'TS04', pauseMs: 7_200_000 }] })
  const conn = up(b)
  drain(b, conn, 1)
  const [id = 2] = b.host.takeIds()
  b.scheduler.returned(conn, [{ id, groups: [0] }], 'unused')
  b.scheduler.connectionDown(conn, { ...CLOSED, messages: 1, reply: { code: 421, enhanced: '4.7.0', text: '[TS04] not now' } })
  assert.equal(b.host.backoffs[0]?.until, b.clock.now() + 7_200_000)
})

test('a connection that ends after its work is no failure', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(2, 1))
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.connectionDown(conn, CLOSED)
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  assert.equal(b.host.backoffs.length, 0)
  assert.deepEqual(drain(b, up(b)), [2])
})

test('the rate of connections holds', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b, 'example.org', 'site', { connectionRate: { count: 2, periodMs: 10_000 }, messagesPerConnection: 1 })
  const opened: number[] = []
  for (let second = 0; second < 60; second++) {
    for (; opened.length < b.host.opened.length; opened.push(b.clock.now())) {
      const conn = b.host.opened[opened.length]?.conn ?? 0
      b.scheduler.connectionUp(conn)
      b.scheduler.pull(conn, 1)
      drain(b, conn)
      b.scheduler.connectionDown(conn, CLOSED)
    }
    pass(b, 1_000)
  }
  opened.forEach((at, i) => i >= 2 && assert.ok(at - (opened[i - 2] ?? 0) >= 10_000))
  assert.ok(opened.length >= 10, String(opened.length))
})

test('the rate of messages holds, and no connection is opened to wait for it', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(1_000, 1))
  routeTo(b, 'example.org', 'site', { messageRate: { count: 5, periodMs: 1_000 } })
  const conn = up(b)
  assert.equal(drain(b, conn).length, 5)
  const before = b.host.opened.length
  pass(b, 999)
  assert.equal(b.host.opened.length, before)
  pass(b, 1)
  assert.equal(drain(b, conn).length, 5)
})

test('a provider that says so is paused for as long as it asks', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b, 'example.org', 'site', { reactions: [{ text: 'TS04', pauseMs: 7_200_000 }] })
  const reply = { code: 421, enhanced: '4.7.0', text: '[TS04] Messages temporarily deferred' }
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, { ...REFUSED, kind: 'throttled', reply })
  assert.equal(b.host.backoffs[0]?.until, b.clock.now() + 7_200_000)
})

test('a provider that says so is sent to more slowly for a while', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(50, 1))
  const reaction = { text: 'RL0000', messageRate: { count: 2, periodMs: 600_000 }, forMs: 3_600_000 }
  routeTo(b, 'example.org', 'site', { reactions: [reaction] })
  const reply = { code: 421, enhanced: '4.2.0', text: 'Too many messages RL000001' }
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, { ...REFUSED, kind: 'throttled', reply })
  pass(b, 70_000)
  const conn = up(b)
  assert.equal(drain(b, conn).length, 2)
  pass(b, 1_000)
  assert.equal(drain(b, conn).length, 0)
  pass(b, 3_600_000)
  b.scheduler.announce([row(100)])
  assert.ok(b.scheduler.explain([{ id: 100, group: 0 }])[0]?.binding.limit !== 'messageRate')
})

test('a suspended site gets nothing until its time, a woken one at once', () => {
  const b = bench()
  b.scheduler.suspend('site', b.clock.now() + 600_000, 'complaints')
  b.scheduler.suspend('other', Infinity, 'complaints')
  b.scheduler.announce([row(1), row(2, { domain: 'other.example' })])
  routeTo(b)
  routeTo(b, 'other.example', 'other')
  pass(b, 599_000)
  assert.equal(b.host.opened.length, 0)
  assert.equal(b.scheduler.explain([{ id: 1, group: 0 }])[0]?.binding.origin, 'complaints')
  pass(b, 1_000)
  assert.deepEqual(
    b.host.opened.map(({ site }) => site),
    ['site'],
  )
  b.scheduler.wake('other')
  assert.equal(b.host.opened.at(-1)?.site, 'other')
})

test('a provider is suspended by its name, on connections that are up too', () => {
  const b = bench()
  b.scheduler.announce(rowsOf(10, 1))
  b.scheduler.routeAnswer('example.org', {
    kind: 'site',
    site: { key: 'mx.a', provider: 'google', limits: limits(), route: '' },
    ttlMs: 1e9,
  })
  const conn = up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.suspend('google', Infinity, 'test')
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [])
  b.scheduler.wake('google')
  assert.equal(b.host.takeIds().length, 1)
})

test('waking a site ends its back-off', () => {
  const b = bench()
  b.scheduler.announce([row(1)])
  routeTo(b)
  b.scheduler.connectionDown(b.host.opened[0]?.conn ?? 0, REFUSED)
  b.scheduler.wake('site')
  assert.equal(b.host.opened.length, 2)
})

test('connections over all sites are bounded; an idle one makes room', () => {
  const b = bench({ connectionsTotal: 2 })
  for (const name of ['a', 'b', 'c']) {
    b.scheduler.announce([row(name.charCodeAt(0), { domain: `${name}.example` })])
    routeTo(b, `${name}.example`, name)
  }
  assert.equal(b.host.opened.length, 2)
  const first = b.host.opened[0]?.conn ?? 0
  b.scheduler.connectionUp(first)
  b.scheduler.pull(first, 1)
  b.host.takeIds()
  b.scheduler.settled([{ kind: 'gone', id: 97, group: 0 }])
  b.scheduler.pull(first, 1)
  assert.deepEqual(b.host.closed, [first])
  b.scheduler.connectionDown(first, CLOSED)
  assert.equal(b.host.opened.at(-1)?.site, 'c')
})

test('a connection that asked before its last message was settled makes room once it is', () => {
  const b = bench({ connectionsTotal: 1 })
  for (const name of ['a', 'b']) {
    b.scheduler.announce([row(name.charCodeAt(0), { domain: `${name}.example` })])
    routeTo(b, `${name}.example`, name)
  }
  const first = b.host.opened[0]?.conn ?? 0
  b.scheduler.connectionUp(first)
  b.scheduler.pull(first, 1)
  const [id = 0] = b.host.takeIds()
  b.scheduler.pull(first, 1)
  assert.deepEqual(b.host.closed, [], 'its message is not on the books yet')
  b.scheduler.settled([{ kind: 'gone', id, group: 0 }])
  assert.deepEqual(b.host.closed, [first])
  b.scheduler.connectionDown(first, CLOSED)
  assert.equal(b.host.opened.length, 2)
})

// Each was given the free place, and the other waited for one that nobody had: for its next mail, or for ever.
test('a place that a site has no use for any more goes to the next that waits for one', () => {
  const inA = { id: 97, group: 0 }
  const noUse: [string, (b: Bench) => void][] = [
    ['its mail is gone', (b) => b.scheduler.settled([{ kind: 'gone', ...inA }])],
    ['it is suspended', (b) => b.scheduler.suspend('a', Infinity, 'for a test')],
  ]
  for (const [why, happen] of noUse) {
    const b = bench({ connectionsTotal: 1 })
    for (const name of ['z', 'a', 'b']) {
      b.scheduler.announce([row(name.charCodeAt(0), { domain: `${name}.example` })])
      routeTo(b, `${name}.example`, name)
    }
    const first = up(b)
    assert.deepEqual(b.host.takeIds(), [122])
    happen(b)
    b.scheduler.settled([{ kind: 'gone', id: 122, group: 0 }])
    b.scheduler.pull(first, 1)
    b.scheduler.connectionDown(first, CLOSED)
    assert.deepEqual(
      b.host.opened.slice(1).map(({ site }) => site),
      ['b'],
      why,
    )
  }
})

test('sources of a pool share by weight, and one that is backed off is passed over', () => {
  const settings: Partial<SchedulerSettings> = {
    pools: [
      {
        name: 'default',
        sources: [
          { name: 'ip1', weight: 3 },
          { name: 'ip2', weight: 1 },
        ],
      },
    ],
  }
  const b = bench(settings)
  b.scheduler.announce(rowsOf(100, 1))
  routeTo(b, 'example.org', 'site', { connections: 20 })
  openAll(b)
  const count = (source: string): number => b.host.opened.filter((opened) => opened.source === source).length
  assert.ok(count('ip1') >= 1.5 * count('ip2'), `${count('ip1')} and ${count('ip2')}`)
  const c = bench(settings)
  c.scheduler.announce(rowsOf(1_000, 1))
  routeTo(c)
  c.scheduler.connectionDown(c.host.opened[0]?.conn ?? 0, REFUSED)
  c.scheduler.connectionUp(c.host.opened[1]?.conn ?? 0)
  assert.equal(c.host.opened[0]?.source, 'ip1')
  assert.ok(c.host.opened.slice(1).every(({ source }) => source === 'ip2'))
})

test('classes of a tenant leave from the pool they are given to', () => {
  const b = bench({
    pools: [
      { name: 'news', sources: [{ name: 'ip1', weight: 1 }] },
      { name: 'mail', sources: [{ name: 'ip2', weight: 1 }] },
    ],
    poolOf: (_tenant, cls) => (cls === QueueClass.transactional ? 'mail' : 'news'),
  })
  b.scheduler.announce([row(1), row(2, { class: QueueClass.transactional })])
  routeTo(b)
  for (const { conn } of b.host.opened) {
    b.scheduler.connectionUp(conn)
    b.scheduler.pull(conn, 8)
  }
  const sourceOf = (id: number): string | undefined => {
    const conn = b.host.grants.find(({ items }) => items.some((item) => item.id === id))?.conn
    return b.host.opened.find((opened) => opened.conn === conn)?.source
  }
  assert.equal(sourceOf(1), 'ip1')
  assert.equal(sourceOf(2), 'ip2')
})

function limits(): ReturnType<typeof limitsFor> {
  return limitsFor('mx.a', 'google')
}
