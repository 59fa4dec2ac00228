import assert from 'node:assert/strict'
import { test } from 'node:test'
import packet from 'dns-packet'
import { ManualClock } from '../../src/lib/clock.ts'
import { StubResolver } from '../../src/net/resolver.ts'
import { resolverSettings } from '../../src/net/resolver-config.ts'
import type { ResolverOptions } from '../../src/net/resolver-config.ts'
import { AD, ScriptedTransport, TC, replyTo, soa } from '../support/dns.ts'
import type { Asked } from '../support/dns.ts'

const A = { name: 'example.org', type: 'A', ttl: 60, data: '192.0.2.1' }

interface Setup {
  readonly clock: ManualClock
  readonly transport: ScriptedTransport
  readonly resolver: StubResolver
}

function setup(script: (asked: Asked, index: number) => void, options: Partial<ResolverOptions> = {}): Setup {
  const clock = new ManualClock()
  const transport = new ScriptedTransport(script)
  const settings = resolverSettings(
    { servers: ['192.0.2.53', '192.0.2.54'], timeoutMs: 1000, attempts: 2, deadlineMs: 10_000, ...options },
    '',
  )
  assert(settings.ok)
  let id = 100
  return { clock, transport, resolver: new StubResolver(settings.value, { clock, transport, randomId: () => id++ }) }
}

/** Lets everything happen that needs no time, then a second, and again, until the answer is there. */
async function settle<T>({ clock }: Setup, lookup: Promise<T>): Promise<T> {
  let result: T | undefined
  void lookup.then((value) => (result = value))
  for (let i = 0; i < 60; i++) {
    await drained()
    if (result) return result
    clock.advance(1000)
  }
  throw new Error('no answer after a minute')
}

async function drained(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

const servers = (transport: ScriptedTransport): string[] => transport.asked.map(({ server, protocol }) => `${protocol} ${server.address}`)
const good = (asked: Asked): void => asked.answer(replyTo(asked.query, { answers: [A] }))

test('an answer comes with its time to live and leaves no socket open', async () => {
  const s = setup(good)
  const result = await settle(s, s.resolver.lookup('Example.ORG.', 'A'))
  assert.deepEqual(result, { kind: 'answer', records: ['192.0.2.1'], ttlMs: 60_000, secure: false })
  assert.equal(packet.decode((s.transport.asked[0] as Asked).query).questions[0]?.name, 'example.org')
  assert.equal(s.transport.open_, 0)
  assert.equal(s.clock.nextTimerAt(), Infinity, 'no timer is left')
})

test('a silent server is followed by the next, then by the first again', async () => {
  const s = setup((asked, index) => index === 2 && good(asked))
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'udp 192.0.2.54', 'udp 192.0.2.53'])
  assert.equal(s.transport.asked[0]?.query, s.transport.asked[2]?.query, 'a retry is the same message on the same socket')
})

test('when every server is silent the lookup ends in a timeout', async () => {
  const s = setup(() => {})
  assert.deepEqual(await settle(s, s.resolver.lookup('example.org', 'A')), {
    kind: 'failure',
    reason: 'timeout',
    text: '192.0.2.53:53: no answer within 1000 ms',
  })
  assert.equal(s.transport.asked.length, 4)
  assert.equal(s.transport.open_, 0)
  assert.equal(s.clock.now(), 1_700_000_000_000 + 4000)
})

test('the deadline ends a lookup whose tries would take longer', async () => {
  const s = setup(() => {}, { attempts: 5, timeoutMs: 4000, deadlineMs: 6000 })
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'failure')
  assert.equal(s.clock.now(), 1_700_000_000_000 + 6000)
})

test('an answer that comes after its try was given up still counts', async () => {
  const s = setup((_asked, index) => index === 1 && good(s.transport.asked[0] as Asked))
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
})

test('answers with a wrong id, a wrong question or garbage are waited out', async () => {
  const s = setup((asked) => {
    asked.answer(replyTo(asked.query, { answers: [A], id: 9 }))
    asked.answer(replyTo(asked.query, { answers: [A], question: { name: 'example.com', type: 'A' } }))
    asked.answer(replyTo(asked.query, { answers: [A], question: { name: 'EXAMPLE.org', type: 'AAAA' } }))
    asked.answer(Buffer.alloc(0))
    asked.answer(Buffer.from('garbage'))
    asked.answer(asked.query)
    if (s.transport.asked.length === 1) return
    good(asked)
  })
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.equal(s.transport.asked.length, 2, 'the first server was asked, waited for, and given up')
})

test('SERVFAIL goes to the next server at once', async () => {
  const s = setup((asked, index) => (index === 0 ? asked.answer(replyTo(asked.query, { rcode: 2 })) : good(asked)))
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.equal(s.clock.now(), 1_700_000_000_000)
})

test('a server that failed is not asked twice, and its words are reported', async () => {
  const s = setup((asked, index) => index === 0 && asked.answer(replyTo(asked.query, { rcode: 5 })))
  assert.deepEqual(await settle(s, s.resolver.lookup('example.org', 'A')), {
    kind: 'failure',
    reason: 'refused',
    text: '192.0.2.53:53: REFUSED',
  })
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'udp 192.0.2.54', 'udp 192.0.2.54'])
})

test('a reply that cannot be read counts as a failure of its server', async () => {
  const s = setup((asked) => asked.answer(replyTo(asked.query, { answers: [A] }).subarray(0, -2)))
  assert.deepEqual(await settle(s, s.resolver.lookup('example.org', 'A')), {
    kind: 'failure',
    reason: 'malformed',
    text: '192.0.2.54:53: record data cut short',
  })
  assert.equal(s.transport.asked.length, 2)
})

test('servers that cannot be reached are a network failure', async () => {
  const s = setup((asked) => asked.fail('connect ECONNREFUSED'))
  assert.deepEqual(await settle(s, s.resolver.lookup('example.org', 'A')), {
    kind: 'failure',
    reason: 'network',
    text: '192.0.2.53:53: connect ECONNREFUSED',
  })
  assert.equal(s.clock.now(), 1_700_000_000_000)
})

test('a truncated answer is asked for again over TCP with another id', async () => {
  const s = setup((asked) => (asked.protocol === 'udp' ? asked.answer(replyTo(asked.query, { flags: TC, answers: [] })) : good(asked)))
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'tcp 192.0.2.53'])
  assert.deepEqual(
    s.transport.asked.map(({ query }) => packet.decode(query).id),
    [100, 101],
  )
})

test('TCP that says truncated, or falls silent, is left for the next server', async () => {
  const s = setup((asked) => {
    if (asked.protocol === 'udp') return asked.answer(replyTo(asked.query, { flags: TC }))
    if (asked.server.address === '192.0.2.53') return undefined
    return asked.answer(replyTo(asked.query, { flags: TC }))
  })
  assert.deepEqual(await settle(s, s.resolver.lookup('example.org', 'A')), {
    kind: 'failure',
    reason: 'malformed',
    text: '192.0.2.54:53: truncated over TCP',
  })
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'tcp 192.0.2.53', 'udp 192.0.2.54', 'tcp 192.0.2.54'])
})

test('use-vc asks over TCP from the start', async () => {
  const s = setup(good, { tcpOnly: true })
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.deepEqual(servers(s.transport), ['tcp 192.0.2.53'])
})

test('a server that does not know EDNS is asked without', async () => {
  const s = setup((asked) => {
    const edns = packet.decode(asked.query).additionals.length > 0
    asked.answer(replyTo(asked.query, edns ? { rcode: 1 } : { answers: [A] }))
  })
  assert.equal((await settle(s, s.resolver.lookup('example.org', 'A'))).kind, 'answer')
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'udp 192.0.2.53'])
})

test('the AD bit counts only from a server on this machine or one that is trusted', async () => {
  const secure = (asked: Asked): void => asked.answer(replyTo(asked.query, { answers: [A], flags: AD }))
  for (const [server, want] of [
    ['192.0.2.53', false],
    ['127.0.0.1', true],
    ['[::1]:5353', true],
  ] as const) {
    const s = setup(secure, { servers: [server] })
    const result = await settle(s, s.resolver.lookup('example.org', 'A'))
    assert.equal(result.kind === 'answer' && result.secure, want, server)
  }
})

test('a server that was silent is asked last for a while', async () => {
  const s = setup((asked) => asked.server.address === '192.0.2.54' && good(asked))
  await settle(s, s.resolver.lookup('a.example', 'A'))
  await settle(s, s.resolver.lookup('b.example', 'A'))
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'udp 192.0.2.54', 'udp 192.0.2.54'])
  s.clock.advance(31_000)
  await settle(s, s.resolver.lookup('c.example', 'A'))
  assert.equal(servers(s.transport)[3], 'udp 192.0.2.53')
})

test('rotate begins each question at another server', async () => {
  const s = setup(good, { rotate: true })
  for (const name of ['a.example', 'b.example', 'c.example']) await settle(s, s.resolver.lookup(name, 'A'))
  assert.deepEqual(servers(s.transport), ['udp 192.0.2.53', 'udp 192.0.2.54', 'udp 192.0.2.53'])
})

test('an answer is kept for its time to live, which runs down', async () => {
  const s = setup(good)
  await settle(s, s.resolver.lookup('example.org', 'A'))
  s.clock.advance(20_000)
  const again = await s.resolver.lookup('example.org', 'A')
  assert.equal(again.kind === 'answer' && again.ttlMs, 40_000)
  s.clock.advance(40_000)
  await settle(s, s.resolver.lookup('example.org', 'A'))
  assert.equal(s.transport.asked.length, 2)
  assert.deepEqual(s.resolver.counts, { lookups: 3, cached: 1, shared: 0, failures: 0 })
})

test('times to live are kept within their bounds', async () => {
  const ttl = async (seconds: number): Promise<number> => {
    const s = setup((asked) => asked.answer(replyTo(asked.query, { answers: [{ ...A, ttl: seconds }] })), {
      ttlMsMin: 5000,
      ttlMsMax: 90_000,
    })
    const result = await settle(s, s.resolver.lookup('example.org', 'A'))
    return result.kind === 'answer' ? result.ttlMs : -1
  }
  assert.deepEqual([await ttl(0), await ttl(30), await ttl(1_000_000)], [5000, 30_000, 90_000])
})

test('no such domain is kept as long as the SOA record says, within its bound', async () => {
  const s = setup((asked) => asked.answer(replyTo(asked.query, { rcode: 3, authorities: [soa('org', 900, 300)] })))
  const result = await settle(s, s.resolver.lookup('example.org', 'A'))
  assert.deepEqual(result, { kind: 'nxdomain', ttlMs: 300_000, secure: false })
  s.clock.advance(299_000)
  assert.deepEqual(await s.resolver.lookup('example.org', 'A'), { kind: 'nxdomain', ttlMs: 1000, secure: false })
  await settle(s, s.resolver.lookup('example.org', 'MX'))
  assert.equal(s.transport.asked.length, 2, 'another type is another question')
})

test('failures are remembered for two seconds, so that a dead server is not hammered', async () => {
  const s = setup((asked) => asked.answer(replyTo(asked.query, { rcode: 2 })))
  await settle(s, s.resolver.lookup('example.org', 'A'))
  assert.equal((await s.resolver.lookup('example.org', 'A')).kind, 'failure')
  assert.equal(s.transport.asked.length, 2)
  s.clock.advance(2000)
  await settle(s, s.resolver.lookup('example.org', 'A'))
  assert.equal(s.transport.asked.length, 4)
})

test('questions that are under way are shared', async () => {
  const s = setup((asked, index) => index === 1 && good(asked))
  const lookups = [s.resolver.lookup('example.org', 'A'), s.resolver.lookup('EXAMPLE.org.', 'A')]
  s.clock.advance(1000)
  const results = await Promise.all(lookups)
  assert.equal(results[0], results[1])
  assert.equal(s.transport.asked.length, 2)
  assert.equal(s.resolver.counts.shared, 1)
})

test('names that cannot be asked fail without a question', async () => {
  const s = setup(good)
  for (const name of ['', '.', 'a..b', 'a b', 'x'.repeat(64), `${'a.'.repeat(130)}org`, '192.0.2.1', 'a.9', 'a,b']) {
    const result = await s.resolver.lookup(name, 'A')
    assert.equal(result.kind === 'failure' && result.reason, 'name', name)
  }
  assert.equal(s.transport.asked.length, 0)
})

test('U-labels are asked as A-labels', async () => {
  const s = setup((asked) => asked.answer(replyTo(asked.query, { rcode: 3 })))
  await settle(s, s.resolver.lookup('Bücher.example', 'MX'))
  assert.equal(packet.decode((s.transport.asked[0] as Asked).query).questions[0]?.name, 'xn--bcher-kva.example')
})

test('more questions than sockets wait; more than may wait fail at once', async () => {
  const held: Asked[] = []
  const s = setup((asked) => void held.push(asked), { inFlightMax: 2, waitingMax: 2 })
  const lookups = ['a.example', 'b.example', 'c.example', 'd.example'].map((name) => s.resolver.lookup(name, 'A'))
  const refused = await s.resolver.lookup('e.example', 'A')
  assert.equal(refused.kind === 'failure' && refused.reason, 'overload')
  await drained()
  assert.equal(s.transport.open_, 2)
  for (let i = 0; i < 4; i++) {
    const asked = held[i] as Asked
    const name = packet.decode(asked.query).questions[0]?.name
    asked.answer(replyTo(asked.query, { answers: [{ ...A, name }] }))
    await drained()
  }
  assert.deepEqual(
    (await Promise.all(lookups)).map((lookup) => lookup.kind),
    ['answer', 'answer', 'answer', 'answer'],
  )
  assert.equal(s.transport.open_, 0)
})

test('questions that waited longer than a lookup may take fail instead of starting', async () => {
  const s = setup(() => {}, { inFlightMax: 1, waitingMax: 100, deadlineMs: 3000 })
  const lookups = Array.from({ length: 50 }, (_, i) => s.resolver.lookup(`d${i}.example`, 'A'))
  const results = await settle(s, Promise.all(lookups))
  const reasons = results.map((lookup) => lookup.kind === 'failure' && lookup.reason)
  assert.deepEqual(reasons, ['timeout', ...Array.from({ length: 49 }, () => 'overload')])
  assert.equal(s.transport.asked.length, 3)
})

test('many questions at once go out in bursts: the next when the last have been answered or have had their moment', async () => {
  const held: Asked[] = []
  const s = setup((asked) => void held.push(asked), { servers: ['192.0.2.53'], burstMax: 10, timeoutMs: 5000 })
  for (let i = 0; i < 25; i++) void s.resolver.lookup(`d${i}.example`, 'A')
  await drained()
  assert.equal(held.length, 10)
  for (const asked of held.slice(0, 3)) asked.answer(replyTo(asked.query, { rcode: 3 }))
  await drained()
  assert.equal(held.length, 13, 'an answer makes room')
  s.clock.advance(200)
  await drained()
  assert.equal(held.length, 23, 'so does age')
  s.clock.advance(200)
  await drained()
  assert.equal(held.length, 25)
})
