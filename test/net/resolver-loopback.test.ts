// The resolver over real sockets, against servers on loopback that do what a script says. The resolver's clock stands
// still unless a script moves it, so silence costs no time.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { after, test } from 'node:test'
import { defaultLimits } from '../../src/config/limits.ts'
import { ManualClock } from '../../src/lib/clock.ts'
import { StubResolver, systemResolver } from '../../src/net/resolver.ts'
import { resolverSettings } from '../../src/net/resolver-config.ts'
import { systemTransport } from '../../src/net/resolver-transport.ts'
import { AD, TC, replyTo } from '../support/dns.ts'

interface Script {
  readonly udp?: (query: Buffer, reply: (bytes: Buffer) => void, from: RemoteInfo) => void
  readonly tcp?: (query: Buffer, socket: Socket) => void
}

const open: (UdpSocket | Server)[] = []
after(() => open.forEach((socket) => socket.close()))

/** Listens on one port of loopback over UDP and TCP; returns `127.0.0.1:port`. */
async function serve(script: Script): Promise<string> {
  const tcp = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (bytes: Buffer) => script.tcp?.(bytes.subarray(2), socket))
  })
  tcp.listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const { port } = tcp.address() as AddressInfo
  const udp = createSocket('udp4')
  udp.on('message', (query, from) => script.udp?.(query, (bytes) => udp.send(bytes, from.port, from.address), from))
  udp.bind(port, '127.0.0.1')
  await once(udp, 'listening')
  open.push(tcp, udp)
  return `127.0.0.1:${port}`
}

function resolverOf(clock: ManualClock, servers: string[]): StubResolver {
  const settings = resolverSettings({ servers, timeoutMs: 1000, attempts: 2, deadlineMs: 60_000 }, '')
  assert(settings.ok)
  let id = 4000
  return new StubResolver(settings.value, { clock, transport: systemTransport, randomId: () => id++ })
}

const answers = (address: string): unknown[] => [{ name: 'example.org', type: 'A', ttl: 60, data: address }]
const good = (query: Buffer, address = '192.0.2.1'): Buffer => replyTo(query, { answers: answers(address) })
const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.of(message.length >> 8, message.length & 0xff), message])
const GOOD = { kind: 'answer', records: ['192.0.2.1'], ttlMs: 60_000, secure: false } as const
/** From a server on loopback the AD bit would count; these do not set it. */
const lookup = (clock: ManualClock, ...servers: string[]): Promise<unknown> => resolverOf(clock, servers).lookup('example.org', 'A')

test('the resolver of a configuration asks its servers and trusts those of this machine', async () => {
  const server = await serve({ udp: (query, reply) => reply(replyTo(query, { flags: AD, answers: answers('192.0.2.1') })) })
  const resolver = systemResolver({ dns: { servers: [server] }, limits: defaultLimits })
  assert.deepEqual(await resolver.lookup('example.org', 'A'), { ...GOOD, secure: true })
})

test('an answer over UDP', async () => {
  const server = await serve({ udp: (query, reply) => reply(good(query)) })
  assert.deepEqual(await lookup(new ManualClock(), server), GOOD)
})

test('a silent server is given up when its time is over', async () => {
  const clock = new ManualClock()
  const silent = await serve({ udp: () => clock.advance(1000) })
  const server = await serve({ udp: (query, reply) => reply(good(query)) })
  assert.deepEqual(await lookup(clock, silent, server), GOOD)
})

test('only silence ends in a timeout', async () => {
  const clock = new ManualClock()
  const silent = await serve({ udp: () => clock.advance(1000) })
  assert.deepEqual(await lookup(clock, silent), { kind: 'failure', reason: 'timeout', text: `${silent}: no answer within 1000 ms` })
})

test('wrong ids, wrong questions and garbage are ignored in favour of the real answer', async () => {
  const server = await serve({
    udp: (query, reply) => {
      reply(replyTo(query, { id: 1, answers: answers('192.0.2.66') }))
      reply(replyTo(query, { question: { name: 'example.com', type: 'A' }, answers: answers('192.0.2.66') }))
      reply(Buffer.from('not DNS at all'))
      reply(Buffer.alloc(0))
      reply(good(query))
    },
  })
  assert.deepEqual(await lookup(new ManualClock(), server), GOOD)
})

test('an answer from another port than the one that was asked never arrives', async () => {
  const forger = createSocket('udp4')
  open.push(forger)
  const server = await serve({
    udp: (query, reply, from) => {
      forger.send(good(query, '192.0.2.66'), from.port, from.address, () => reply(good(query)))
    },
  })
  assert.deepEqual(await lookup(new ManualClock(), server), GOOD)
})

test('a truncated answer is fetched over TCP, however it is cut into segments', async () => {
  const server = await serve({
    udp: (query, reply) => reply(replyTo(query, { flags: TC })),
    tcp: (query, socket) => {
      socket.setNoDelay(true)
      const bytes = framed(good(query))
      const next = (i: number): void => {
        if (i < bytes.length) socket.write(bytes.subarray(i, i + 1), () => setImmediate(next, i + 1))
      }
      next(0)
    },
  })
  assert.deepEqual(await lookup(new ManualClock(), server), GOOD)
})

test('an answer larger than a datagram comes over TCP whole', async () => {
  const many = Array.from({ length: 900 }, (_, i) => ({ name: 'example.org', type: 'A', ttl: 60, data: `192.0.${i >> 8}.${i & 255}` }))
  const server = await serve({
    udp: (query, reply) => reply(replyTo(query, { flags: TC })),
    tcp: (query, socket) => socket.write(framed(replyTo(query, { answers: many }))),
  })
  const result = await resolverOf(new ManualClock(), [server]).lookup('example.org', 'A')
  assert.equal(result.kind === 'answer' && result.records.length, 900)
})

test('a TCP connection that is closed in the middle is a failure of that server', async () => {
  const server = await serve({
    udp: (query, reply) => reply(replyTo(query, { flags: TC })),
    tcp: (query, socket) => socket.end(framed(good(query)).subarray(0, 20)),
  })
  assert.deepEqual(await lookup(new ManualClock(), server), { kind: 'failure', reason: 'network', text: `${server}: connection closed` })
})

test('SERVFAIL of one server is healed by the next', async () => {
  const broken = await serve({ udp: (query, reply) => reply(replyTo(query, { rcode: 2 })) })
  const server = await serve({ udp: (query, reply) => reply(good(query)) })
  assert.deepEqual(await lookup(new ManualClock(), broken, server), GOOD)
})

test('a port where nobody listens is passed over at once', async () => {
  const closed = createSocket('udp4')
  closed.bind(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address()
  closed.close()
  await once(closed, 'close')
  const server = await serve({ udp: (query, reply) => reply(good(query)) })
  assert.deepEqual(await lookup(new ManualClock(), `127.0.0.1:${port}`, server), GOOD)
})

test('each question has a port of its own', async () => {
  const ports = new Set<number>()
  const server = await serve({
    udp: (query, reply, from) => {
      ports.add(from.port)
      reply(replyTo(query, { rcode: 3 }))
    },
  })
  const resolver = resolverOf(new ManualClock(), [server])
  await Promise.all(Array.from({ length: 20 }, (_, i) => resolver.lookup(`d${i}.example`, 'MX')))
  assert.equal(ports.size, 20)
})
