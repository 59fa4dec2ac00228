// Postfix both ways, TLS on: it relays through us, and we deliver to it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withoutRootOr } from '../support/peers/installed.ts'
import { Postfix } from '../support/peers/postfix.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { caPath, peerTls } from '../support/tls.ts'
import { receivedBy, RETRY, startRelay } from './relay.ts'

const skip = withoutRootOr('postfix')
const COUNT = 50

/** Hands in COUNT small messages on one connection. */
async function handIn(port: number): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO client.test')
  for (let i = 0; i < COUNT; i++) {
    const reply = await client.send('a@example.org', [`r${i}@example.net`], `Subject: ${i}\r\n\r\n..dot\r\nhello\r\n`)
    assert.equal(reply.code, 250)
  }
  await client.quit()
}

function recipients(messages: readonly { readonly to: readonly string[] }[]): string[] {
  return messages.flatMap(({ to }) => to).toSorted()
}

const expected = Array.from({ length: COUNT }, (_, index) => `r${index}@example.net`).toSorted()

test('Postfix relays through us, by STARTTLS with our certificate verified', { skip }, async () => {
  await using relay = await startRelay()
  const settings = {
    smtp_tls_security_level: 'secure',
    smtp_tls_secure_cert_match: 'mx.rohrpost.test',
    smtp_tls_CAfile: caPath,
    smtp_connection_cache_on_demand: 'yes',
  }
  await using postfix = await Postfix.start({ relayhost: `[127.0.0.1]:${relay.server.port()}`, settings })
  await handIn(postfix.port)
  const messages = await relay.sink.received(COUNT)
  assert.deepEqual(recipients(messages), expected)
  for (const { data } of messages) {
    assert.match(receivedBy(data, 'mx.rohrpost.test'), /from peer\.rohrpost\.test .* with ESMTPS/)
    assert.match(data.toString('latin1'), /\r\n\r\n\.dot\r\nhello\r\n$/)
  }
})

test('we deliver to a Postfix that insists on STARTTLS', { skip }, async () => {
  await using sink = await SmtpSink.start()
  const settings = {
    smtpd_tls_security_level: 'encrypt',
    smtpd_tls_cert_file: peerTls.cert,
    smtpd_tls_key_file: peerTls.key,
    smtpd_tls_received_header: 'yes',
  }
  await using postfix = await Postfix.start({ relayhost: `[127.0.0.1]:${sink.port}`, settings })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${postfix.port}` }], retry: RETRY })
  await handIn(server.port())
  const messages = await sink.received(COUNT)
  assert.deepEqual(recipients(messages), expected)
  for (const { data } of messages)
    assert.match(receivedBy(data, 'peer.rohrpost.test'), /from mx\.rohrpost\.test .*\(using TLSv1\.3 .* with ESMTPS/)
})

test('what Postfix refuses for good comes back as a report', { skip }, async () => {
  await using sink = await SmtpSink.start()
  const settings = {
    smtpd_recipient_restrictions: 'check_recipient_access inline:{{r@refused.test=550 5.1.1 nobody here}},permit_mynetworks,reject',
  }
  await using postfix = await Postfix.start({ relayhost: `[127.0.0.1]:${sink.port}`, settings })
  const routes = [
    { domain: 'refused.test', to: `smtp://127.0.0.1:${postfix.port}` },
    { domain: '*', to: `smtp://127.0.0.1:${sink.port}` },
  ]
  await using server = await startServer({ routes, retry: RETRY })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO client.test')
  await client.send('a@example.org', ['r@refused.test'], 'Subject: x\r\n\r\nhello\r\n')
  const [report] = await sink.received(1)
  assert.deepEqual([report?.from, report?.to], ['', ['a@example.org']])
  assert.match(report?.data.toString('latin1') ?? '', /Status: 5\.1\.1[\s\S]*Diagnostic-Code: smtp;\s*550 5\.1\.1/)
})
