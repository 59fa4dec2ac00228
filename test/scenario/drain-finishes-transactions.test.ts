// SIGTERM: nothing new is begun, what was begun is finished, then 421, and the process ends with 0. SIGINT likewise.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envelope, greeted, handIn, HELLO, queuedId } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { startServer, type Server } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually, within } from '../support/wait.ts'

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

test('a transaction is finished, then 421; the message is in the queue when the process has ended', async () => {
  using folder = new TempFolder('drain')
  await using server = await startServer({}, folder.path)
  using data = await greeted(server.port())
  await envelope(data, { to: 'data@x.test' })
  await data.expect(354, 'DATA')
  data.write('From: <anna@home.test>\r\n')
  using begun = await greeted(server.port())
  await begun.expect(250, 'MAIL FROM:<anna@home.test>')
  server.child.signal('SIGTERM')
  await isDraining(server)
  data.write('Subject: x\r\n\r\nhello\r\n.\r\n')
  const id = queuedId(await data.reply())
  assert.equal((await data.reply()).code, 421)
  await begun.expect(250, 'RCPT TO:<begun@x.test>')
  await begun.expect(354, 'DATA')
  queuedId(await begun.command(`${HELLO}.`))
  assert.equal((await begun.reply()).code, 421)
  assert.equal(await server.child.exited, 0)
  const { stdout } = await server.command('queue', 'list', '--json')
  assert.match(stdout, new RegExp(`"id":"${id}".*"recipient":"data@x.test"`))
  assert.match(stdout, /"recipient":"begun@x.test"/)
})

test('who is between transactions is told at once; SIGINT means the same', async () => {
  await using server = await startServer({})
  using idle = await greeted(server.port())
  using silent = await SmtpClient.connect(server.port())
  server.child.signal('SIGINT')
  for (const client of [idle, silent]) assert.equal((await client.reply()).code, 421)
  assert.equal(await server.child.exited, 0)
})

test('a delivery under way is finished, and settled', async () => {
  using folder = new TempFolder('drain')
  const gate = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  const wait = (): Promise<void> => {
    arrived.resolve()
    return gate.promise
  }
  await using sink = await SmtpSink.start({ wait })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }, folder.path)
  await handIn(server, { to: 'b@x.test' })
  await within(10_000, 'the delivery begins', arrived.promise)
  server.child.signal('SIGTERM')
  await isDraining(server)
  gate.resolve()
  assert.equal(await server.child.exited, 0)
  await sink.received(1)
  assert.equal((await server.command('queue', 'list', '--json')).stdout, '', 'nothing is left that would go twice')
})
