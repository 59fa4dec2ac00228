// Connections over a played network: time, addresses, sources. Nothing here touches a socket.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultLimits } from '../../src/config/limits.ts'
import { deliverLimits } from '../../src/deliver/limits.ts'
import type { ConnectTarget, PeerSocket, SocketEvents, TlsTarget, Transport } from '../../src/deliver/transport.ts'
import { grantOf, hostsRoute, makeCore, outcomes, siteOf } from './support/core.ts'
import type { TestCore } from './support/core.ts'
import type { DeliverOptions } from '../../src/deliver/dispatcher.ts'
import type { TestMessage } from './support/spool.ts'

class PlayedSocket implements PeerSocket {
  readonly target: ConnectTarget
  readonly events: SocketEvents
  said = ''
  tls: TlsTarget | undefined
  state: 'open' | 'ended' | 'destroyed' = 'open'

  constructor(target: ConnectTarget, events: SocketEvents) {
    this.target = target
    this.events = events
  }

  write(bytes: Buffer): boolean {
    assert.equal(this.state, 'open')
    this.said += bytes.toString('latin1')
    return true
  }

  startTls(target: TlsTarget): void {
    this.tls = target
  }

  end(): void {
    this.state = 'ended'
  }

  destroy(): void {
    this.state = 'destroyed'
  }

  say(text: string): void {
    const bytes = Buffer.from(text)
    this.events.received(bytes, 0, bytes.length)
  }

  hears(): string {
    const said = this.said
    this.said = ''
    return said
  }
}

class PlayedTransport implements Transport {
  readonly sockets: PlayedSocket[] = []

  connect(target: ConnectTarget, events: SocketEvents): PeerSocket {
    const socket = new PlayedSocket(target, events)
    this.sockets.push(socket)
    return socket
  }

  get last(): PlayedSocket {
    return this.sockets.at(-1) as PlayedSocket
  }
}

function played(messages: readonly TestMessage[] = [], options: Partial<DeliverOptions> = {}): TestCore & { net: PlayedTransport } {
  const net = new PlayedTransport()
  return { ...makeCore(messages, { transport: net, defer: (fn) => fn(), ...options }), net }
}

/** Brings a connection up with PIPELINING. */
function openSession(net: PlayedTransport): PlayedSocket {
  const socket = net.last
  socket.events.connected()
  socket.say('220 mx\r\n')
  socket.say('250-mx\r\n250 PIPELINING\r\n')
  socket.hears()
  return socket
}

test('an address that does not answer is left after its time, and the next one gets its own', () => {
  const { core, host, clock, net } = played()
  core.open(1, siteOf(hostsRoute(25, {}, ['192.0.2.1', '2001:db8::1'])), 'default')
  clock.advance(29_000)
  assert.equal(net.sockets.length, 1)
  clock.advance(2000)
  assert.deepEqual(
    net.sockets.map(({ target, state }) => [target.address, state]),
    [
      ['192.0.2.1', 'destroyed'],
      ['2001:db8::1', 'open'],
    ],
  )
  clock.advance(28_000)
  assert.equal(host.downs.size, 0)
  clock.advance(2000)
  const down = host.downs.get(1)
  assert.deepEqual(
    [down?.kind, down?.stage, down?.reply.text],
    ['failed', 'connect', 'cannot connect to localhost[2001:db8::1]:25: timed out'],
  )
})

test('ten dead addresses of the best host do not hide its backup', () => {
  const { core, host, net } = played()
  const dead = Array.from({ length: 10 }, (_, i) => `192.0.2.${i}`)
  const hosts = [
    { name: 'mx1', port: 25, addresses: dead, preference: 10 },
    { name: 'mx2', port: 25, addresses: ['198.51.100.1'], preference: 20 },
  ]
  core.open(1, siteOf(hostsRoute(25, { hosts })), 'default')
  for (const address of dead.slice(0, 5)) {
    assert.equal(net.last.target.address, address)
    net.last.events.closed('EHOSTUNREACH')
  }
  assert.equal(net.last.target.address, '198.51.100.1')
  net.last.events.closed('ECONNREFUSED')
  assert.equal(host.downs.get(1)?.reply.text, 'cannot connect to mx2[198.51.100.1]:25: ECONNREFUSED')
})

test('the next connection does not wait for an address that did not answer, until it has answered again', () => {
  const { core, host, clock, net } = played()
  const site = siteOf(hostsRoute(25, {}, ['192.0.2.1', '192.0.2.2']))
  core.open(1, site, 'default')
  clock.advance(31_000)
  openSession(net)
  core.open(2, site, 'default')
  assert.equal(net.last.target.address, '192.0.2.2')
  net.last.events.closed('ECONNREFUSED')
  assert.equal(net.last.target.address, '192.0.2.1')
  openSession(net)
  core.open(3, site, 'default')
  assert.equal(net.last.target.address, '192.0.2.1')
  assert.equal(host.downs.size, 0)
})

test('an address that refuses in words is asked first again', () => {
  const { core, net } = played()
  const site = siteOf(hostsRoute(25, {}, ['192.0.2.1', '192.0.2.2']))
  core.open(1, site, 'default')
  net.last.events.connected()
  net.last.say('554 not you\r\n')
  openSession(net)
  core.open(2, site, 'default')
  assert.equal(net.last.target.address, '192.0.2.1')
})

test('a source binds to its address of the same family and leaves out addresses that it cannot reach', () => {
  const sources = [
    { name: 'four', hello: 'four.example.org', address4: '198.51.100.1' },
    { name: 'both', hello: 'both.example.org', address4: '198.51.100.1', address6: '2001:db8::9' },
  ]
  const { core, host, net } = played([], { sources })
  const route = hostsRoute(25, {}, ['2001:db8::1', '192.0.2.1'])
  core.open(1, siteOf(route), 'four')
  assert.deepEqual(net.last.target, { address: '192.0.2.1', port: 25, localAddress: '198.51.100.1' })
  net.last.events.connected()
  net.last.say('220 mx\r\n')
  assert.equal(net.last.hears(), 'EHLO four.example.org\r\n')
  core.open(2, siteOf(route), 'both')
  assert.deepEqual(net.last.target, { address: '2001:db8::1', port: 25, localAddress: '2001:db8::9' })
  core.open(3, siteOf(hostsRoute(25, {}, ['2001:db8::1'])), 'four')
  assert.deepEqual(
    [host.downs.get(3)?.kind, host.downs.get(3)?.reply.text],
    ['failed', 'source four has no address to reach 2001:db8::1 from'],
  )
})

test('a socket on this machine is reached from any source, without TLS, and its troubles are told in words', () => {
  const sources = [{ name: 'four', hello: 'four.example.org', address4: '198.51.100.1' }]
  const { core, host, net } = played([], { sources })
  const path = '/run/dovecot/lmtp'
  const hosts = [{ name: path, port: 0, addresses: [path], preference: 0 }]
  const site = siteOf(hostsRoute(0, { protocol: 'lmtp', hosts }), { tlsRequired: true })
  core.open(1, site, 'four')
  assert.deepEqual(net.last.target, { address: path, port: 0, localAddress: undefined })
  net.last.events.connected()
  net.last.say('220 lmtp\r\n')
  assert.equal(net.last.hears(), 'LHLO four.example.org\r\n')
  net.last.say('250-lmtp\r\n250 STARTTLS\r\n')
  assert.deepEqual([net.last.hears(), host.ups.get(1)?.peer], ['', path])
  const told = [
    ['ENOENT', 'there is no such socket (ENOENT)'],
    ['ECONNREFUSED', 'nobody listens on this socket (ECONNREFUSED)'],
    ['EACCES', 'this user may not write to the socket, or not enter its directory (EACCES)'],
    ['EAGAIN', 'EAGAIN'],
  ] as const
  for (const [index, [cause, words]] of told.entries()) {
    core.open(10 + index, site, 'four')
    net.last.events.closed(cause)
    const { kind, reply, peer } = host.downs.get(10 + index) ?? {}
    assert.deepEqual([kind, reply?.text, peer], ['failed', `cannot connect to ${path}: ${words}`, path])
  }
})

test('a handshake that takes too long falls back to plain text where that is allowed', () => {
  const { core, host, clock, net } = played()
  core.open(1, siteOf(hostsRoute(25)), 'default')
  net.last.events.connected()
  net.last.say('220 mx\r\n')
  net.last.say('250-mx\r\n250 STARTTLS\r\n')
  net.last.say('220 go\r\n')
  assert.deepEqual(net.last.tls, { name: 'localhost', port: 25, policy: 'opportunistic' })
  clock.advance(61_000)
  assert.deepEqual(
    net.sockets.map(({ state }) => state),
    ['destroyed', 'open'],
  )
  net.last.events.connected()
  net.last.say('220 mx\r\n')
  net.last.say('250-mx\r\n250 STARTTLS\r\n')
  assert.equal(host.ups.get(1)?.tlsFallback, 'TLS handshake with localhost[127.0.0.1]:25 failed: timed out')
})

test('implicit TLS is shaken before the banner and has no fallback', () => {
  const { core, host, net } = played()
  const route = hostsRoute(465, { implicitTls: true, tls: 'opportunistic' })
  core.open(1, siteOf(route), 'default')
  net.last.events.connected()
  assert.equal(net.last.tls?.port, 465)
  net.last.events.closed('ECONNRESET')
  assert.deepEqual([host.downs.get(1)?.kind, host.downs.get(1)?.stage], ['throttled', 'tls'])
  core.open(2, siteOf(route), 'default')
  net.last.events.connected()
  net.last.events.secured({ protocol: 'TLSv1.3', certificateError: '' })
  net.last.say('220 mx\r\n')
  net.last.say('250 mx\r\n')
  assert.equal(host.ups.get(2)?.tls, 'TLSv1.3')
})

test('the client’s deadlines are kept by the sweep, and the message knows why', () => {
  const { core, host, clock, net } = played([{ id: 1, groups: [['b@example.net']] }])
  core.open(1, siteOf(hostsRoute(25)), 'default')
  const socket = openSession(net)
  core.grant(1, grantOf(clock, 1))
  socket.say('250 ok\r\n250 ok\r\n354 go\r\n')
  clock.advance(599_000)
  assert.equal(host.settlements.length, 0)
  clock.advance(2000)
  assert.deepEqual(outcomes(host.settlements[0]), [
    'deferred 0 4.4.2 timed out while waiting for the reply to the content (after the content was sent: it may arrive twice)',
  ])
  assert.equal(host.downs.get(1)?.kind, 'broken')
  assert.equal(socket.state, 'ended')
  assert.equal(clock.nextTimerAt(), Infinity)
})

test('an idle connection that nobody closes says QUIT some time after that of its site', () => {
  const { core, host, clock, net } = played()
  core.open(1, siteOf(hostsRoute(25), { idleReuseMs: 5000 }), 'default')
  const socket = openSession(net)
  clock.advance(6000)
  assert.equal(socket.hears(), '')
  clock.advance(5000)
  assert.equal(socket.hears(), 'QUIT\r\n')
  socket.say('221 bye\r\n')
  assert.equal(host.downs.get(1)?.kind, 'closed')
})

test('events of a socket that was given up are nobody’s', () => {
  const { core, host, net } = played()
  core.open(1, siteOf(hostsRoute(25, {}, ['192.0.2.1', '192.0.2.2'])), 'default')
  net.last.events.connected()
  net.last.say('554 no\r\n')
  assert.equal(net.sockets[0]?.state, 'ended')
  openSession(net)
  assert.equal(host.ups.get(1)?.peer, 'localhost[192.0.2.2]:25')
})

test('closing while a connection is being made ends it without another address', () => {
  const { core, host, net } = played()
  core.open(1, siteOf(hostsRoute(25, {}, ['192.0.2.1', '192.0.2.2'])), 'default')
  core.close(1)
  assert.deepEqual([host.downs.get(1)?.kind, net.last.state, net.sockets.length], ['closed', 'destroyed', 1])
  core.open(2, siteOf(hostsRoute(25, {}, ['192.0.2.1', '192.0.2.2'])), 'default')
  net.last.events.connected()
  core.close(2)
  assert.deepEqual([host.downs.get(2)?.kind, net.last.state, net.sockets.length], ['closed', 'ended', 2])
})

test('the number of connections of a thread is limited', () => {
  const limits = { ...deliverLimits(defaultLimits), outboundConnectionsMax: 1 }
  const { core, host } = played([], { limits })
  core.open(1, siteOf(hostsRoute(25)), 'default')
  core.open(2, siteOf(hostsRoute(25)), 'default')
  assert.equal(host.downs.get(2)?.reply.text, 'too many outbound connections')
  core.close(1)
  core.open(3, siteOf(hostsRoute(25)), 'default')
  assert.equal(host.downs.has(3), false)
})

test('outcomes of one turn travel in one batch, and before the end of their connection', () => {
  const deferred: (() => void)[] = []
  const messages = [1, 2, 3].map((id) => ({ id, groups: [['b@example.net']] }))
  const { core, host, clock, net } = played(messages, { defer: (fn) => void deferred.push(fn) })
  core.open(1, siteOf(hostsRoute(25)), 'default')
  const socket = openSession(net)
  core.grant(1, grantOf(clock, 1, 2, 3))
  socket.say('250 ok\r\n250 ok\r\n354 go\r\n250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n250 two\r\n')
  assert.equal(host.batches, 0)
  assert.equal(deferred.length, 1)
  deferred[0]?.()
  assert.deepEqual([host.batches, host.settlements.length], [1, 2])
  socket.say('250 ok\r\n250 ok\r\n354 go\r\n250 three\r\n')
  socket.events.closed('')
  assert.deepEqual([host.batches, host.settlements.length, host.downs.get(1)?.messages], [2, 3, 3])
  deferred.at(-1)?.()
  assert.equal(host.batches, 2)
})

test('the spool is looked at anew for each grant', () => {
  const { core, reader, clock, net } = played([{ id: 1, groups: [['b@example.net']] }])
  core.open(1, siteOf(hostsRoute(25)), 'default')
  openSession(net)
  core.grant(1, grantOf(clock, 1))
  assert.equal(reader.refreshed, 1)
})
