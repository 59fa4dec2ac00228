// SIGTERM: nothing new is begun, what was begun is finished, then 421, and the process ends with 0. SIGINT likewise.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envelope, greeted, HELLO, queuedId } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { startServer, type Server } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

async function isDraining(server: Server): Promise<void> {
  await server.child.prints(/"msg":"draining"/)
  await eventually(10_000, 'the listener is closed', async () => {
    try {
      using client = await SmtpClient.connect(server.port())
      return client ? undefined : true
    } catch {
      return true
    }
  })
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets a transaction end, and its message is delivered after the next start`, async () => {
    using folder = new TempFolder('drain')
    const gate = Promise.withResolvers<void>()
    await using sink = await SmtpSink.start({ script: ({ verb }) => (verb === 'banner' ? '421 4.3.2 later\r\n' : undefined) })
    const server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }, folder.path)
    gate.resolve()
    using idle = await greeted(server.port())
    using data = await greeted(server.port())
    await envelope(data, { to: 'data@x.test' })
    await data.expect(354, 'DATA')
    data.write('From: <anna@home.test>\r\n')
    using begun = await greeted(server.port())
    await begun.expect(250, 'MAIL FROM:<anna@home.test>')
    server.child.signal(signal)
    assert.equal((await idle.reply()).code, 421)
    await isDraining(server)
    data.write(`${HELLO.split('\r\n').slice(1).join('\r\n')}.\r\n`)
    const id = queuedId(await data.reply())
    assert.equal((await data.reply()).code, 421)
    await begun.expect(250, 'RCPT TO:<begun@x.test>')
    await begun.expect(354, 'DATA')
    queuedId(await begun.command(`${HELLO}.`))
    assert.equal((await begun.reply()).code, 421)
    assert.equal(await server.child.exited, 0)
    const { stdout } = await server.command('queue', 'list', '--json')
    assert.match(stdout, new RegExp(`"id":"${id}".*"recipient":"data@x.test"`))
    await using healthy = await SmtpSink.start()
    await using again = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${healthy.port}` }] }, folder.path)
    assert.ok(again)
    const [first] = await queueOf(again)
    assert.equal(first, 2)
  })
}

async function queueOf(server: Server): Promise<number[]> {
  const { stdout } = await server.command('queue', 'list', '--json')
  return [stdout.trim().split('\n').length]
}

test('a delivery under way is finished, and settled', async () => {
  using folder = new TempFolder('drain')
  const gate = Promise.withResolvers<void>()
  await using sink = await SmtpSink.start({ wait: () => gate.promise })
  const server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }, folder.path)
  using client = await greeted(server.port())
  await envelope(client, { to: 'b@x.test' })
  await client.expect(354, 'DATA')
  queuedId(await client.command(`${HELLO}.`))
  await client.quit()
  await sink.until(10_000, 'the delivery begins', () => sink.connections > 0)
  server.child.signal('SIGTERM')
  await isDraining(server)
  gate.resolve()
  assert.equal(await server.child.exited, 0)
  await sink.received(1)
  assert.equal((await server.command('queue', 'list', '--json')).stdout, '', 'nothing is left that would go twice')
})
