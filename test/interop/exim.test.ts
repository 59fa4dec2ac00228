// Exim both ways, TLS on: it relays through us (by CHUNKING), and we deliver to it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exim } from '../support/peers/exim.ts'
import { withoutRootOr } from '../support/peers/installed.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { receivedBy, RETRY, startRelay } from './relay.ts'

const skip = withoutRootOr('exim4')
const BODY = '..dot\r\nGr\u00fc\u00dfe\r\n'.repeat(2000)

async function handIn(port: number, tls: boolean): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO client.test')
  if (tls) {
    await client.startTls()
    await client.expect(250, 'EHLO client.test')
  }
  await client.expect(250, 'MAIL FROM:<a@example.org> BODY=8BITMIME')
  await client.expect(250, 'RCPT TO:<b@example.net>')
  await client.expect(250, 'RCPT TO:<c@example.net>')
  await client.expect(354, 'DATA')
  assert.equal((await client.command(`Subject: x\r\n\r\n${BODY}.`)).code, 250)
  await client.quit()
}

const received = BODY.replaceAll('..dot', '.dot')

test('Exim relays through us, insisting on TLS', { skip }, async () => {
  await using relay = await startRelay()
  await using exim = await Exim.start({ nextPort: relay.server.port(), requireTls: true })
  await handIn(exim.port, true)
  const [message] = await relay.sink.received(1)
  assert.deepEqual(message?.to.toSorted(), ['b@example.net', 'c@example.net'])
  assert.match(receivedBy(message.data, 'mx.rohrpost.test'), /from peer\.rohrpost\.test .* with ESMTPS/)
  assert.ok(message.data.toString('utf8').endsWith(`\r\n\r\n${received}`), exim.log())
})

test('we deliver to an Exim that insists on TLS', { skip }, async () => {
  await using sink = await SmtpSink.start()
  await using exim = await Exim.start({ nextPort: sink.port, requireTls: false })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${exim.port}` }], retry: RETRY })
  await handIn(server.port(), false)
  const [message] = await sink.received(1)
  assert.deepEqual(message?.to.toSorted(), ['b@example.net', 'c@example.net'])
  assert.match(receivedBy(message.data, 'peer.rohrpost.test'), /from .*mx\.rohrpost\.test.* with esmtps .*TLS1\.3/)
  assert.ok(message.data.toString('utf8').endsWith(`\r\n\r\n${received}`), exim.log())
})
