// The peers' own set-up, without a Rohrpost between them: a failure here is one of the harness.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Dovecot } from '../support/peers/dovecot.ts'
import { Exim } from '../support/peers/exim.ts'
import { Haproxy } from '../support/peers/haproxy.ts'
import { without, withoutRootOr } from '../support/peers/installed.ts'
import { OpenSmtpd, tlsServerWorks } from '../support/peers/opensmtpd.ts'
import { Postfix } from '../support/peers/postfix.ts'
import { Unbound } from '../support/peers/unbound.ts'
import { execute } from '../support/process.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { peerTls } from '../support/tls.ts'

async function handIn(port: number, tls: boolean): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO test')
  if (tls) {
    await client.startTls()
    await client.expect(250, 'EHLO test')
  }
  assert.equal((await client.send('a@example.org', ['b@example.net'], 'Subject: x\r\n\r\nhello\r\n')).code, 250)
  await client.quit()
}

test('Postfix relays with TLS on both sides', { skip: withoutRootOr('postfix') }, async () => {
  await using sink = await SmtpSink.start({ tls: 'starttls' })
  const settings = {
    smtp_tls_security_level: 'encrypt',
    smtpd_tls_security_level: 'encrypt',
    smtpd_tls_cert_file: peerTls.cert,
    smtpd_tls_key_file: peerTls.key,
  }
  await using postfix = await Postfix.start({ relayhost: `[127.0.0.1]:${sink.port}`, settings })
  await handIn(postfix.port, true)
  assert.equal((await sink.received(1))[0]?.tls, 'TLSv1.3')
})

test('Exim relays with TLS on both sides', { skip: withoutRootOr('exim4') }, async () => {
  await using sink = await SmtpSink.start({ tls: 'starttls' })
  await using exim = await Exim.start({ nextPort: sink.port, requireTls: true })
  await handIn(exim.port, true)
  assert.equal((await sink.received(1))[0]?.tls, 'TLSv1.3')
})

test('OpenSMTPD relays with TLS', { skip: withoutRootOr('smtpd') }, async () => {
  await using sink = await SmtpSink.start({ tls: 'starttls' })
  await using peer = await OpenSmtpd.start({ relay: `smtp+tls://127.0.0.1:${sink.port}` })
  await handIn(peer.port, tlsServerWorks())
  assert.equal((await sink.received(1))[0]?.tls, 'TLSv1.3')
})

test('Dovecot takes mail by LMTP', { skip: withoutRootOr('dovecot') }, async () => {
  await using dovecot = await Dovecot.start(['anna@example.org'])
  using client = await SmtpClient.connect(dovecot.port)
  await client.expect(250, 'LHLO test')
  assert.equal((await client.send('a@example.org', ['anna@example.org'], 'Subject: x\r\n\r\nhello\r\n')).code, 250)
  await client.expect(250, 'MAIL FROM:<a@example.org>')
  await client.expect(550, 'RCPT TO:<nobody@example.org>')
  assert.match((await dovecot.mailbox('anna@example.org', 1))[0] ?? '', /hello/)
})

test('haproxy sends a PROXY header', { skip: without('haproxy') }, async () => {
  const lines: string[] = []
  await using sink = await SmtpSink.start({
    script: ({ line }) => {
      lines.push(line)
      return undefined
    },
  })
  await using haproxy = await Haproxy.start({ target: sink.port, send: 'send-proxy' })
  using client = await SmtpClient.connect(haproxy.port)
  await client.command('NOOP')
  assert.match(lines.join('\n'), /PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+/)
})

test('unbound answers from its local data, and is silent where told', { skip: without('unbound') }, async () => {
  const records = ['example.test. 300 IN MX 10 mx.example.test.', 'mx.example.test. 300 IN A 127.0.0.1']
  await using unbound = await Unbound.start({ records, silent: ['silent.test.'] })
  const script = `const { Resolver } = require('node:dns').promises
const resolver = new Resolver({ timeout: 500, tries: 1 })
resolver.setServers(['127.0.0.1:${unbound.port}'])
resolver.resolveMx('example.test').then(async (mx) => console.log(mx[0].exchange, await resolver.resolveMx('x.silent.test').catch((e) => e.code)))`
  const { stdout } = await execute([process.execPath, '-e', script])
  assert.equal(stdout.trim(), 'mx.example.test ETIMEOUT')
})
