// OpenSMTPD both ways. That of Debian 12 offers STARTTLS and then fails every handshake (its privilege separation and
// OpenSSL 3 do not go together): a delivery has to fall back to plain there (RFC 7435), and uses TLS with newer ones.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withoutRootOr } from '../support/peers/installed.ts'
import { OpenSmtpd, tlsServerWorks } from '../support/peers/opensmtpd.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { receivedBy, RETRY, startRelay } from './relay.ts'

const skip = withoutRootOr('smtpd')

async function handIn(port: number, tls: boolean): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO client.test')
  if (tls) {
    await client.startTls()
    await client.expect(250, 'EHLO client.test')
  }
  const reply = await client.send('a@example.org', ['b@example.net', 'c@example.net'], 'Subject: x\r\n\r\n..dot\r\nhello\r\n')
  assert.equal(reply.code, 250)
  await client.quit()
}

test('OpenSMTPD relays through us, insisting on TLS', { skip }, async () => {
  await using relay = await startRelay()
  await using peer = await OpenSmtpd.start({ relay: `smtp+tls://127.0.0.1:${relay.server.port()}` })
  await handIn(peer.port, tlsServerWorks())
  const messages = await relay.sink.received(1)
  assert.match(receivedBy(messages[0]?.data ?? Buffer.alloc(0), 'mx.rohrpost.test'), /from peer\.rohrpost\.test .* with ESMTPS/)
  assert.match(messages[0]?.data.toString('latin1') ?? '', /\r\n\r\n\.dot\r\nhello\r\n$/)
})

test('we deliver to OpenSMTPD, by TLS where its TLS works and plain where it fails', { skip }, async (t) => {
  await using sink = await SmtpSink.start()
  await using peer = await OpenSmtpd.start({ relay: `smtp+notls://127.0.0.1:${sink.port}` })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }], retry: RETRY })
  await handIn(server.port(), false)
  const messages = await sink.received(1)
  t.diagnostic(tlsServerWorks() ? 'by TLS' : 'its TLS is broken: plain')
  const trace = receivedBy(messages[0]?.data ?? Buffer.alloc(0), 'peer.rohrpost.test')
  assert.match(trace, tlsServerWorks() ? /with ESMTPS/ : /with ESMTP id/)
  assert.match(messages[0]?.data.toString('latin1') ?? '', /\r\n\r\n\.dot\r\nhello\r\n$/)
})
