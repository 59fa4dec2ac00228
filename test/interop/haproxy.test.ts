// haproxy stands before us: its PROXY header says who the client is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Haproxy } from '../support/peers/haproxy.ts'
import { without } from '../support/peers/installed.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { newestReceived, startRelay } from './relay.ts'

const skip = without('haproxy')

for (const send of ['send-proxy', 'send-proxy-v2'] as const) {
  test(`${send}: the client's address stands in Received and decides about relaying`, { skip }, async () => {
    await using relay = await startRelay({ proxyFrom: ['127.0.0.1/32'], relayFrom: ['::1/128'] })
    await using haproxy = await Haproxy.start({ target: relay.server.port(), send })
    using allowed = await SmtpClient.connect(haproxy.port, '::1')
    await allowed.expect(250, 'EHLO client.test')
    assert.equal((await allowed.send('a@example.org', ['b@example.net'], 'Subject: x\r\n\r\nhello\r\n')).code, 250)
    const [message] = await relay.sink.received(1)
    assert.match(newestReceived(message?.data ?? Buffer.alloc(0)), /\[IPv6:::1\]|\[IPv6:0:0:0:0:0:0:0:1\]/)
    // haproxy itself connects from 127.0.0.1; this client came from there too, and may not relay.
    using refused = await SmtpClient.connect(haproxy.port, '127.0.0.1')
    await refused.expect(250, 'EHLO client.test')
    await refused.expect(250, 'MAIL FROM:<a@example.org>')
    await refused.expect(550, 'RCPT TO:<b@example.net>')
  })

  test(`${send}: STARTTLS and a big message pass through`, { skip }, async () => {
    await using relay = await startRelay({ proxyFrom: ['127.0.0.1/32'] })
    await using haproxy = await Haproxy.start({ target: relay.server.port(), send })
    using client = await SmtpClient.connect(haproxy.port)
    await client.expect(250, 'EHLO client.test')
    await client.startTls()
    await client.expect(250, 'EHLO client.test')
    const body = `${'y'.repeat(76)}\r\n`.repeat(13_000)
    assert.equal((await client.send('a@example.org', ['b@example.net'], `Subject: x\r\n\r\n${body}`)).code, 250)
    assert.ok((await relay.sink.received(1))[0]?.data.toString('latin1').endsWith(body))
  })
}

test('a client that sends no PROXY header where one is due gets no banner', { skip }, async () => {
  await using relay = await startRelay({ proxyFrom: ['127.0.0.1/32'] })
  const { connect } = await import('node:net')
  const socket = connect(relay.server.port(), '127.0.0.1')
  socket.write('EHLO client.test\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  assert.doesNotMatch(Buffer.concat(chunks).toString('latin1'), /^220/)
})
