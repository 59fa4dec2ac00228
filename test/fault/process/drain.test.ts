// SIGTERM: nothing new is begun, what is in hand is finished within its time, and the process ends 0; what is left waits
// for the next start.

import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { freePort } from '../../support/ports.ts'
import { TempFolder } from '../../support/process.ts'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually, within } from '../../support/wait.ts'
import { Peer } from '../support/peer.ts'
import { logs, queued } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const FEW_SECONDS_MS = 6000
const WAITING = 500

async function fill(server: Server, count: number): Promise<void> {
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  for (let n = 0; n < count; n++) {
    assert.equal((await client.send('a@example.org', [`r${n}@d${n % 50}.test`], 'Subject: x\r\n\r\nx\r\n')).code, 250)
  }
}

/** Stops it; resolves with how long that took. */
async function stopped(server: Server): Promise<number> {
  const at = performance.now()
  assert.equal(await server.stop(60_000), 0)
  return performance.now() - at
}

/** Accepts connections and says nothing, ever. */
async function blackHole(): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

for (const kind of ['nobody listens', 'nobody answers'] as const) {
  test(`a queue full of mail for a dead site (${kind}) does not hold up the end`, async () => {
    using folder = new TempFolder('drain')
    await using hole = await blackHole()
    const port = kind === 'nobody answers' ? hole.port : await freePort()
    const config = { routes: [{ domain: '*', to: `smtp://127.0.0.1:${port}` }], retry: { first: '200ms', max: '1s', expire: '1h' } }
    const server = await startServer(config, folder.path)
    await fill(server, WAITING)
    if (kind === 'nobody listens') await logs(server, /site backed off/)
    const took = await stopped(server)
    assert.ok(took < FEW_SECONDS_MS, `${took.toFixed(0)} ms`)
    await using next = await startServer(config, folder.path)
    assert.equal((await queued(next)).length, WAITING, 'nothing was lost')
    assert.ok((await stopped(next)) < FEW_SECONDS_MS)
  })
}

test('a client in the middle of DATA may finish, then is told 421; idle ones are told at once, new ones not served', async () => {
  using folder = new TempFolder('drain')
  await using sink = await SmtpSink.start()
  const config = { routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }
  const server = await startServer(config, folder.path)
  using busy = await Wire.open({ port: server.port() })
  using idle = await Wire.open({ port: server.port() })
  await busy.greet()
  await idle.greet()
  await busy.openData('a@example.org', 'b@example.net')
  busy.write('Subject: half\r\n\r\n')
  server.child.signal('SIGTERM')
  await idle.ends()
  assert.match(idle.text, /\r\n421 4\.3\.2 mx\.rohrpost\.test service shutting down, closing connection\r\n$/)
  const refused = connect(server.port(), '127.0.0.1')
  await within(10_000, 'a new connection is refused', once(refused, 'error'))
  // A second signal changes nothing.
  server.child.signal('SIGTERM')
  busy.write('the other half\r\n.\r\n')
  await busy.ends()
  assert.match(busy.text, /\r\n250 2\.0\.0 queued as \w+\r\n421 4\.3\.2 [^\r]*\r\n$/)
  assert.equal(await within(20_000, 'the end', server.child.exited), 0)
  await using next = await startServer(config, folder.path)
  const [message] = await sink.received(1)
  assert.match(message?.data.toString('latin1') ?? '', /Subject: half\r\n\r\nthe other half\r\n$/)
  assert.equal(await next.stop(), 0)
  assert.equal(sink.count, 1)
})

test('a client that does not finish is cut off when its time is over, and nothing of it is queued', async () => {
  using folder = new TempFolder('drain')
  const config = { limits: { drainSessionsMsMax: '2s' } }
  const server = await startServer(config, folder.path)
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await wire.openData('a@example.org', 'b@example.net')
  wire.write('Subject: half\r\n\r\n')
  const took = await stopped(server)
  assert.ok(took > 1500 && took < 2000 + FEW_SECONDS_MS, `${took.toFixed(0)} ms`)
  await wire.ends()
  assert.doesNotMatch(wire.text, /queued as/)
  await using next = await startServer(config, folder.path)
  assert.deepEqual(await queued(next), [])
})

test('a delivery that waits for its last reply is finished, so that the message does not go out twice', async () => {
  using folder = new TempFolder('drain')
  const slow = { say: '250 2.0.0 kept\r\n', everyMs: 100 }
  await using peer = await Peer.start(({ verb }) => (verb === 'content' ? slow : undefined))
  const config = { routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }] }
  const server = await startServer(config, folder.path)
  await fill(server, 1)
  await peer.until(20_000, 'the content is there', () => peer.contents === 1)
  assert.equal(await server.stop(30_000), 0)
  await using next = await startServer(config, folder.path)
  assert.deepEqual(await queued(next), [])
  assert.equal(peer.contents, 1)
})

test('a delivery that gets no reply in time is given up, marked, and tried again after the next start', async () => {
  using folder = new TempFolder('drain')
  await using peer = await Peer.start(({ verb, connection }) => (verb === 'content' && connection === 1 ? { then: 'deaf' } : undefined))
  const config = {
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }],
    limits: { drainDeliveriesMsMax: '1s' },
    retry: { first: '100ms', max: '1s', expire: '1h' },
  }
  const server = await startServer(config, folder.path)
  await fill(server, 1)
  await peer.until(20_000, 'the content is there', () => peer.contents === 1)
  assert.ok((await stopped(server)) < 1000 + FEW_SECONDS_MS)
  await using next = await startServer(config, folder.path)
  await peer.takes(1)
  assert.equal(peer.contents, 2)
  await eventually(10_000, 'the queue is empty', async () => (await queued(next)).length === 0 || undefined)
})

// What was settled when the time was over went to a thread that ended at the same moment, or nowhere.
test('who has got a message does not get it again when the rest of its recipients were given up', async () => {
  using folder = new TempFolder('drain')
  let contents = 0
  const extensions = ['PIPELINING', 'ENHANCEDSTATUSCODES', '8BITMIME', 'LIMITS RCPTMAX=2']
  await using peer = await Peer.start(({ verb }) => (verb === 'content' && ++contents === 2 ? { then: 'deaf' } : undefined), { extensions })
  const config = {
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }],
    limits: { drainDeliveriesMsMax: '1s' },
    retry: { first: '100ms', max: '1s', expire: '1h' },
  }
  const all = ['a@x.test', 'b@x.test', 'c@x.test', 'd@x.test']
  const server = await startServer(config, folder.path)
  {
    using client = await SmtpClient.connect(server.port())
    await client.expect(250, 'EHLO test')
    assert.equal((await client.send('a@example.org', all, 'Subject: x\r\n\r\nx\r\n')).code, 250)
  }
  await peer.until(20_000, 'the second content is there', () => peer.contents === 2)
  assert.ok((await stopped(server)) < 1000 + FEW_SECONDS_MS)
  await using next = await startServer(config, folder.path)
  await eventually(10_000, 'the queue is empty', async () => (await queued(next)).length === 0 || undefined)
  assert.deepEqual(
    peer.taken.flatMap(({ to }) => to),
    all,
  )
})
