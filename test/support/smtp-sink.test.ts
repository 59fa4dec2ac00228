// The tests' own server and client, against each other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load, loadId } from './load.ts'
import { SmtpClient } from './smtp-client.ts'
import { DROP, SmtpSink } from './smtp-sink.ts'

test('the sink keeps a message as it was sent, dots unstuffed', async () => {
  await using sink = await SmtpSink.start()
  using client = await SmtpClient.connect(sink.port)
  await client.expect(250, 'EHLO test')
  const reply = await client.send('a@test', ['b@test', 'c@test'], '..x\r\nSubject: y\r\n\r\n..\r\n')
  assert.equal(reply.code, 250)
  await client.quit()
  const [message] = await sink.received(1)
  assert.deepEqual(
    [message?.from, message?.to, message?.data.toString('latin1')],
    ['a@test', ['b@test', 'c@test'], '.x\r\nSubject: y\r\n\r\n.\r\n'],
  )
})

test('the sink speaks STARTTLS and TLS, and says so', async () => {
  for (const tls of ['starttls', 'implicit'] as const) {
    await using sink = await SmtpSink.start({ tls })
    using client = await SmtpClient.connect(sink.port, '127.0.0.1', tls === 'implicit')
    await client.expect(250, 'EHLO test')
    if (tls === 'starttls') await client.startTls()
    await client.expect(250, 'EHLO test')
    await client.send('', ['b@test'], 'x\r\n')
    assert.equal((await sink.received(1))[0]?.tls, 'TLSv1.3')
  }
})

test('the sink takes chunks and answers each recipient in LMTP', async () => {
  await using sink = await SmtpSink.start({ protocol: 'lmtp' })
  using client = await SmtpClient.connect(sink.port)
  await client.expect(250, 'LHLO test')
  await client.expect(250, 'MAIL FROM:<a@test>')
  await client.expect(250, 'RCPT TO:<b@test>')
  await client.expect(250, 'RCPT TO:<c@test>')
  // The client's own CRLF is the end of each chunk.
  await client.expect(250, 'BDAT 5\r\nab\n')
  assert.equal((await client.command('BDAT 3 LAST\r\nc')).code, 250)
  assert.equal((await client.reply()).code, 250)
  assert.equal((await sink.received(1))[0]?.data.toString('latin1'), 'ab\n\r\nc\r\n')
})

test('a script refuses, and cuts connections', async () => {
  await using sink = await SmtpSink.start({
    script: ({ verb, connection }) => (verb === 'MAIL' ? (connection === 1 ? '451 4.3.0 no\r\n' : DROP) : undefined),
  })
  using first = await SmtpClient.connect(sink.port)
  assert.equal((await first.command('MAIL FROM:<a@test>')).code, 451)
  using second = await SmtpClient.connect(sink.port)
  await assert.rejects(second.command('MAIL FROM:<a@test>'))
})

test('the load generator remembers what was answered 250', async () => {
  const seen = new Set<string>()
  await using sink = await SmtpSink.start({ keep: false, onMessage: ({ data }) => seen.add(loadId(data) ?? '?') })
  using load = new Load({ port: sink.port, connections: 3, bodyBytes: 500 })
  await sink.received(300)
  load.stop()
  assert.ok(load.acknowledged.size >= 290)
  for (const id of load.acknowledged) assert.ok(seen.has(id), id)
})
