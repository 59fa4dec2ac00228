// DeliverCore over real loopback sockets: connections, TLS, addresses, large bodies.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { SmtpSink } from '../support/smtp-sink.ts'
import { otherTls, peerTls } from '../support/tls.ts'
import { grantOf, hostsRoute, makeCore, outcomes, siteOf } from './support/core.ts'
import { SMALL_BODY } from './support/spool.ts'

const CR_LF = '\r\n'

/** A server whose connections a function plays. */
async function playedServer(play: (socket: Socket) => void): Promise<{ port: number; stop: () => void }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    play(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as AddressInfo).port, stop }
}

/** A port on which nobody listens: it was ours a moment ago. */
async function deadPort(): Promise<number> {
  const { port, stop } = await playedServer(() => undefined)
  stop()
  return port
}

test('messages share a connection, and each outcome names the peer', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host, clock } = makeCore([
    { id: 1, groups: [['b@example.net', 'c@example.net']] },
    { id: 2, sender: '', groups: [['d@example.net']] },
  ])
  t.after(() => core.abort())
  core.open(7, siteOf(hostsRoute(sink.port)), 'default')
  const info = await host.up(7)
  assert.deepEqual(info, { peer: `localhost[127.0.0.1]:${sink.port}`, tls: '', tlsFallback: '', certificateError: '' })
  core.grant(7, grantOf(clock, 1, 2))
  const [first, second] = await host.settled(2)
  assert.deepEqual(outcomes(first), ['delivered 250 2.0.0 kept', 'delivered 250 2.0.0 kept'])
  assert.deepEqual(
    { ...second, results: [] },
    {
      id: 2,
      group: 0,
      results: [],
      places: 1,
      site: 'site',
      source: 'default',
      peer: info.peer,
      peerDsn: true,
      peerDeliverBy: false,
      tls: '',
      startedAt: clock.now(),
      finishedAt: clock.now(),
    },
  )
  assert.equal(sink.connections, 1)
  assert.deepEqual(
    sink.messages.map((message) => [message.from, message.to, message.helo, message.data.toString('latin1')]),
    [
      ['a@example.org', ['b@example.net', 'c@example.net'], 'relay.example.org', SMALL_BODY],
      ['', ['d@example.net'], 'relay.example.org', SMALL_BODY],
    ],
  )
  core.close(7)
  const down = await host.down(7)
  assert.equal(down.kind, 'closed')
  assert.equal(down.messages, 2)
  assert.equal(core.connections, 0)
})

test('a grant for a connection that is gone returns', () => {
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  core.grant(3, grantOf(clock, 1))
  assert.deepEqual(
    host.returns.map(({ conn, item, reason }) => [conn, item.id, reason]),
    [[3, 1, 'unused']],
  )
})

test('STARTTLS is used when it is offered, without minding the certificate', async (t) => {
  await using sink = await SmtpSink.start({ tls: 'starttls', certificate: otherTls })
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(sink.port)), 'default')
  const info = await host.up(1)
  assert.equal(info.tls, 'TLSv1.3')
  core.grant(1, grantOf(clock, 1))
  const [settlement] = await host.settled(1)
  assert.equal(settlement?.tls, 'TLSv1.3')
  assert.equal(sink.messages[0]?.tls, 'TLSv1.3')
})

test('verify accepts a certificate for the name and refuses one for another', async (t) => {
  await using good = await SmtpSink.start({ tls: 'starttls', certificate: peerTls })
  await using bad = await SmtpSink.start({ tls: 'starttls', certificate: otherTls })
  const { core, host } = makeCore()
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(good.port, { tls: 'verify' })), 'default')
  assert.deepEqual((await host.up(1)).certificateError, '')
  core.open(2, siteOf(hostsRoute(bad.port, { tls: 'verify' })), 'default')
  const down = await host.down(2)
  assert.equal(down.kind, 'throttled')
  assert.equal(down.stage, 'tls')
  assert.match(down.reply.text, /certificate not accepted: .*localhost/i)
  assert.equal(down.reply.enhanced, '4.7.5')
})

test('required is not satisfied by plain text, and a site may require what its route does not', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host } = makeCore()
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(sink.port), { tlsRequired: true }), 'default')
  const down = await host.down(1)
  assert.deepEqual([down.kind, down.stage, down.reply.text], ['throttled', 'ehlo', 'TLS is required but not offered'])
})

/** Offers STARTTLS and then talks nonsense instead of TLS. */
function brokenTls(socket: Socket): void {
  socket.write(`220 broken${CR_LF}`)
  let broken = false
  socket.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1')
    if (broken) socket.end('not TLS at all, sorry for that\r\n')
    else if (text.startsWith('EHLO')) socket.write(`250-broken${CR_LF}250 STARTTLS${CR_LF}`)
    else if (text.startsWith('STARTTLS')) {
      broken = true
      socket.write(`220 go${CR_LF}`)
    } else socket.write(`${text.includes('DATA') ? '354' : '250'} ok${CR_LF}`)
  })
}

test('a failed opportunistic handshake falls back to plain text on a new connection, and is remembered', async (t) => {
  let connections = 0
  const server = await playedServer((socket) => {
    connections++
    brokenTls(socket)
  })
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  t.after(() => {
    core.abort()
    server.stop()
  })
  core.open(1, siteOf(hostsRoute(server.port)), 'default')
  const info = await host.up(1)
  assert.equal(info.tls, '')
  assert.match(info.tlsFallback, /^TLS handshake with localhost\[127\.0\.0\.1\]:\d+ failed: /)
  assert.equal(connections, 2)
  core.grant(1, grantOf(clock, 1))
  assert.deepEqual(outcomes((await host.settled(1))[0]), ['delivered 250  ok'])
  core.open(2, siteOf(hostsRoute(server.port)), 'default')
  assert.match((await host.up(2)).tlsFallback, /failed/)
  assert.equal(connections, 3)
  // Not for ever: the next one tries TLS again, and falls back again.
  clock.advance(10 * 60 * 1000)
  core.open(3, siteOf(hostsRoute(server.port)), 'default')
  await host.up(3)
  assert.equal(connections, 5)
})

test('a failed handshake is the end where TLS is required', async (t) => {
  const server = await playedServer(brokenTls)
  const { core, host } = makeCore()
  t.after(() => {
    core.abort()
    server.stop()
  })
  core.open(1, siteOf(hostsRoute(server.port, { tls: 'required' })), 'default')
  const down = await host.down(1)
  assert.deepEqual([down.kind, down.stage, down.reply.enhanced], ['throttled', 'tls', '4.7.5'])
})

test('TLS sessions are resumed', async (t) => {
  const reused: boolean[] = []
  const secureContext = createSecureContext({ cert: peerTls.certPem, key: peerTls.keyPem })
  const server = await playedServer((socket) => {
    socket.write(`220 mx${CR_LF}`)
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1')
      if (text.startsWith('EHLO')) socket.write(`250-mx${CR_LF}250 STARTTLS${CR_LF}`)
      if (!text.startsWith('STARTTLS')) return
      socket.removeAllListeners('data')
      socket.write(`220 go${CR_LF}`)
      const secure = new TLSSocket(socket, { isServer: true, secureContext })
      secure.on('secure', () => reused.push(secure.isSessionReused()))
      secure.on('data', (hello: Buffer) => secure.write(hello.toString('latin1').startsWith('QUIT') ? `221 bye${CR_LF}` : `250 mx${CR_LF}`))
    })
  })
  const { core, host } = makeCore()
  t.after(() => {
    core.abort()
    server.stop()
  })
  for (const conn of [1, 2]) {
    core.open(conn, siteOf(hostsRoute(server.port, { tls: 'verify' })), 'default')
    assert.equal((await host.up(conn)).certificateError, '')
    core.close(conn)
    await host.down(conn)
  }
  assert.deepEqual(reused, [false, true])
})

test('implicit TLS and AUTH to a smart host', async (t) => {
  await using sink = await SmtpSink.start({
    tls: 'implicit',
    extensions: ['PIPELINING', 'AUTH PLAIN'],
    script: ({ verb, line }) => (verb === 'AUTH' ? (line === 'AUTH PLAIN AHRpbQBzZWNyZXQ=' ? '235 ok\r\n' : '535 no\r\n') : undefined),
  })
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  t.after(() => core.abort())
  const route = { tls: 'verify', implicitTls: true, auth: { user: 'tim', password: 'secret' } } as const
  core.open(1, siteOf(hostsRoute(sink.port, route)), 'default')
  assert.equal((await host.up(1)).tls, 'TLSv1.3')
  core.grant(1, grantOf(clock, 1))
  await host.settled(1)
  assert.equal(sink.messages[0]?.tls, 'TLSv1.3')
  core.open(2, siteOf(hostsRoute(sink.port, { ...route, auth: { user: 'tim', password: 'wrong' } }, ['127.0.0.1', '127.0.0.1'])), 'default')
  const down = await host.down(2)
  assert.deepEqual([down.kind, down.stage, down.reply.code], ['throttled', 'auth', 535])
  // A refused password is not tried at the next address.
  assert.equal(sink.connections, 2)
})

test('LMTP', async (t) => {
  await using sink = await SmtpSink.start({ protocol: 'lmtp' })
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net'], ['c@example.net']] }])
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(sink.port, { protocol: 'lmtp' })), 'default')
  await host.up(1)
  core.grant(1, [{ id: 1, groups: [0, 1], attempt: 1, notAfter: clock.now() }])
  const settlements = await host.settled(2)
  assert.deepEqual(
    settlements.map((settlement) => [settlement.group, ...outcomes(settlement)]),
    [
      [0, 'delivered 250 2.0.0 kept'],
      [1, 'delivered 250 2.0.0 kept'],
    ],
  )
})

test('addresses are tried in order: a dead one, one that refuses the session, one that works', async (t) => {
  await using refusing = await SmtpSink.start({ script: ({ verb }) => (verb === 'banner' ? '554 5.7.1 not today\r\n' : undefined) })
  await using sink = await SmtpSink.start()
  const { core, host } = makeCore()
  t.after(() => core.abort())
  const hosts = [
    { name: 'dead.example', port: await deadPort(), addresses: ['127.0.0.1', '127.0.0.2'], preference: 10 },
    { name: 'refusing.example', port: refusing.port, addresses: ['127.0.0.1'], preference: 10 },
    { name: 'working.example', port: sink.port, addresses: ['127.0.0.1'], preference: 20 },
  ]
  core.open(1, siteOf(hostsRoute(0, { hosts })), 'default')
  assert.equal((await host.up(1)).peer, `working.example[127.0.0.1]:${sink.port}`)
  assert.equal(refusing.connections, 1)
})

test('when no address works, the last refusal is told', async (t) => {
  await using refusing = await SmtpSink.start({ script: ({ verb }) => (verb === 'banner' ? '421 4.3.2 busy\r\n' : undefined) })
  const { core, host } = makeCore()
  t.after(() => core.abort())
  const dead = await deadPort()
  core.open(1, siteOf(hostsRoute(dead)), 'default')
  const first = await host.down(1)
  assert.deepEqual([first.kind, first.stage, first.reply.enhanced], ['failed', 'connect', '4.4.1'])
  assert.equal(first.reply.text, `cannot connect to localhost[127.0.0.1]:${dead}: ECONNREFUSED`)
  core.open(2, siteOf(hostsRoute(refusing.port)), 'default')
  const second = await host.down(2)
  assert.deepEqual([second.kind, second.stage, second.reply], ['throttled', 'banner', { code: 421, enhanced: '4.3.2', text: 'busy' }])
  core.open(3, siteOf(hostsRoute(dead, {}, [])), 'default')
  assert.deepEqual([(await host.down(3)).kind, host.downs.get(3)?.reply.text], ['failed', 'the destination has no address'])
  core.open(4, siteOf(hostsRoute(dead)), 'nobody')
  assert.deepEqual([(await host.down(4)).kind, host.downs.get(4)?.reply.text], ['failed', 'no source is called nobody'])
})

test('a foreign MX does not lead to loopback or to ourselves, unless it is allowed', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host } = makeCore([], { ownAddresses: ['198.51.100.7'] })
  t.after(() => core.abort())
  const route = hostsRoute(sink.port, { fromMx: true }, ['127.0.0.1', '198.51.100.7'])
  core.open(1, siteOf(route), 'default')
  const down = await host.down(1)
  assert.deepEqual([down.kind, down.reply.enhanced], ['failed', '4.4.4'])
  assert.equal(down.reply.text, 'localhost has the address 198.51.100.7, which is refused (own)')
  assert.equal(sink.connections, 0)
  const { core: lab, host: labHost } = makeCore([], { allowHosts: ['127.0.0.0/8'] })
  t.after(() => lab.abort())
  lab.open(1, siteOf(route), 'default')
  await labHost.up(1)
})

test('a large body arrives whole by DATA and by BDAT', async (t) => {
  await using plain = await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME'] })
  await using chunking = await SmtpSink.start()
  const lines = Array.from({ length: 60_000 }, (_, i) => `${i % 7 === 0 ? '.' : ''}line ${i} of a body that has many\r\n`)
  const body = `Subject: large\r\n\r\n${lines.join('')}`
  const { core, host, reader, clock } = makeCore([{ id: 1, body, large: true, flags: ['dots'], groups: [['b@example.net']] }])
  t.after(() => core.abort())
  for (const [conn, sink] of [
    [1, plain],
    [2, chunking],
  ] as const) {
    core.open(conn, siteOf(hostsRoute(sink.port)), 'default')
    await host.up(conn)
    core.grant(conn, grantOf(clock, 1))
    await host.settled(conn)
    const [received] = await sink.received(1)
    const hash = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')
    assert.equal(received?.data.length, body.length)
    assert.equal(hash(received?.data as Buffer), hash(Buffer.from(body, 'latin1')))
  }
  core.close(1)
  core.close(2)
  await host.down(1)
  await host.down(2)
  assert.equal(reader.openStreams, 0)
})

test('a body that cannot be read comes back, and the connection ends without a message', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host, reader, clock } = makeCore([{ id: 1, large: true, groups: [['b@example.net']] }])
  t.after(() => core.abort())
  reader.failure = 'EIO: disk gone'
  core.open(1, siteOf(hostsRoute(sink.port)), 'default')
  await host.up(1)
  core.grant(1, grantOf(clock, 1))
  const down = await host.down(1)
  assert.deepEqual([down.kind, down.reply.text], ['closed', 'the spool cannot be read: EIO: disk gone'])
  assert.deepEqual(
    host.returns.map(({ item, reason }) => [item.id, reason]),
    [[1, 'error']],
  )
  assert.equal(sink.count, 0)
})

test('close finishes what was begun; drain closes everything and opens nothing more', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(sink.port)), 'default')
  core.open(2, siteOf({ kind: 'discard' }), 'default')
  await host.up(1)
  core.grant(1, grantOf(clock, 1))
  core.drain()
  assert.equal((await host.down(1)).kind, 'closed')
  assert.equal((await host.down(2)).kind, 'closed')
  assert.equal(host.settlements.length, 1)
  assert.equal(core.connections, 0)
  core.open(3, siteOf(hostsRoute(sink.port)), 'default')
  assert.deepEqual([host.downs.get(3)?.kind, host.downs.get(3)?.reply.text], ['closed', 'the server stops'])
})

test('abort tells of everything before it returns', async () => {
  await using sink = await SmtpSink.start({ script: ({ verb }) => (verb === 'content' ? '' : undefined) })
  const { core, host, clock } = makeCore([
    { id: 1, groups: [['b@example.net']] },
    { id: 2, groups: [['b@example.net'], ['c@example.net']] },
  ])
  core.open(1, siteOf(hostsRoute(sink.port)), 'default')
  core.open(2, siteOf(hostsRoute(sink.port)), 'default')
  await host.up(1)
  core.grant(1, [...grantOf(clock, 1), { id: 2, groups: [0, 1], attempt: 1, notAfter: clock.now() }])
  assert.deepEqual(
    core.held().map(({ id, group }) => `${id}/${group}`),
    ['2/0', '2/1', '1/0'],
  )
  await host.until('the second envelope is out', () => host.pulls.get(1) !== undefined)
  core.abort()
  assert.equal(core.connections, 0)
  assert.deepEqual([host.downs.get(1)?.kind, host.downs.get(2)?.kind], ['closed', 'closed'])
  assert.deepEqual(core.held(), [])
  const told = [...host.settlements.map(({ id }) => id), ...host.returns.map(({ item }) => item.id)]
  assert.deepEqual(
    told.toSorted((a, b) => a - b),
    [1, 2],
  )
})

test('a changed route ends the connections that do not lead there any more', async (t) => {
  await using sink = await SmtpSink.start()
  const { core, host } = makeCore()
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(sink.port)), 'default')
  await host.up(1)
  core.routeChanged(siteOf(hostsRoute(sink.port, {}, ['127.0.0.9', '127.0.0.1'])))
  core.routeChanged({ ...siteOf(hostsRoute(1)), key: 'another' })
  assert.equal(core.connections, 1)
  core.routeChanged(siteOf(hostsRoute(sink.port, { tls: 'required' })))
  assert.equal((await host.down(1)).kind, 'closed')
})

test('the trace shows the dialogue with AUTH blanked and the content counted', async (t) => {
  await using sink = await SmtpSink.start({
    extensions: ['PIPELINING', 'AUTH LOGIN'],
    script: ({ line }) => {
      if (line.startsWith('AUTH')) return '334 VXNlcm5hbWU6\r\n'
      if (line === 'dGlt') return '334 UGFzc3dvcmQ6\r\n'
      return line === 'c2VjcmV0' ? '235 ok\r\n' : undefined
    },
  })
  const lines: string[] = []
  const trace = {
    active: true,
    line: (conn: number, _: string, direction: string, text: string) =>
      void (conn === 1 && lines.push(`${direction} ${text.replaceAll(String(sink.port), 'PORT')}`)),
    message: (conn: number, _: string, text: string) => void (conn === 1 && lines.push(`note ${text}`)),
  }
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }], { trace })
  t.after(() => core.abort())
  const route = hostsRoute(sink.port, { tls: 'off', auth: { user: 'tim', password: 'secret', allowPlaintext: true } })
  core.open(1, siteOf(route), 'default')
  core.open(2, siteOf(route), 'default')
  await host.up(1)
  await host.up(2)
  core.grant(1, grantOf(clock, 1))
  await host.settled(1)
  assert.deepEqual(lines, [
    'note connecting to localhost[127.0.0.1]:PORT',
    'in 220 sink.test ESMTP',
    'out EHLO relay.example.org',
    'in 250-sink.test',
    'in 250-PIPELINING',
    'in 250 AUTH LOGIN',
    'out AUTH LOGIN ****',
    'in 334 ****',
    'out ****',
    'in 334 ****',
    'out ****',
    'in 235 ok',
    'note message 00000000001 of t from <a@example.org> to <b@example.net>',
    'out MAIL FROM:<a@example.org>',
    'out RCPT TO:<b@example.net>',
    'out DATA',
    'in 250 2.1.0 ok',
    'in 250 2.1.0 ok',
    'in 354 go',
    'note 26 bytes of content',
    'in 250 2.0.0 kept',
  ])
})

test("a dead scheduler's connection hears the answer to its final dot, and its number is free meanwhile", async (t) => {
  const dot = Promise.withResolvers<() => void>()
  const { port, stop } = await playedServer((socket) => {
    let content = false
    socket.write('220 peer' + CR_LF)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      for (const line of text.split(CR_LF).slice(0, -1)) {
        if (content && line === '.') {
          content = false
          dot.resolve(() => socket.write('250 2.0.0 kept' + CR_LF))
        } else if (line === 'DATA') {
          content = true
          socket.write('354 go' + CR_LF)
        } else if (line === 'QUIT') socket.end('221 bye' + CR_LF)
        else if (!content) socket.write('250 ok' + CR_LF)
      }
    })
  })
  t.after(stop)
  const { core, host, clock } = makeCore([{ id: 1, groups: [['b@example.net']] }])
  t.after(() => core.abort())
  core.open(1, siteOf(hostsRoute(port)), 'default')
  await host.up(1)
  core.grant(1, grantOf(clock, 1))
  const answer = await dot.promise
  core.retire()
  assert.deepEqual([core.held(), core.connections], [[{ id: 1, group: 0 }], 1])
  host.ups.clear()
  core.open(1, siteOf(hostsRoute(port)), 'default')
  await host.up(1)
  answer()
  assert.deepEqual(outcomes((await host.settled(1))[0]), ['delivered 250 2.0.0 kept'])
  await host.down(-1)
  assert.deepEqual([core.held(), core.connections, host.downs.has(1)], [[], 1, false])
})
