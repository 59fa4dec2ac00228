// PIPELINING (RFC 2920) and CHUNKING (RFC 3030): replies come one a command and in order, however the bytes came.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { envelope, greeted, HELLO } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }))

async function codes(client: SmtpClient, count: number): Promise<number[]> {
  const found: number[] = []
  for (let n = 0; n < count; n++) found.push((await client.reply()).code)
  return found
}

test('whole transactions in one packet are answered one command after the other', async () => {
  using client = await SmtpClient.connect(server.port())
  const before = sink.count
  const one = (name: string): string => `MAIL FROM:<a@b.test>\r\nRCPT TO:<${name}@c.test>\r\nRCPT TO:<>\r\nDATA\r\n${HELLO}.\r\n`
  client.write(`EHLO client.test\r\n${one('x')}${one('y')}NOOP\r\nQUIT\r\n`)
  assert.deepEqual(await codes(client, 13), [250, 250, 250, 501, 354, 250, 250, 250, 501, 354, 250, 250, 221])
  await sink.received(before + 2)
  assert.deepEqual(
    sink.messages.slice(before).map(({ to }) => to),
    [['x@c.test'], ['y@c.test']],
  )
})

test('chunks with bytes that look like commands, dots and ends arrive byte by byte', async () => {
  using client = await greeted(server.port())
  const before = sink.count
  const parts = ['Subject: x\r\n\r\n.\r\nQUIT\r\n', '..\r\n', '', 'RSET\r\nwithout an end']
  await envelope(client, { to: 'b@c.test' })
  client.write(parts.map((part, index) => `BDAT ${part.length}${index === parts.length - 1 ? ' LAST' : ''}\r\n${part}`).join(''))
  assert.deepEqual(await codes(client, 4), [250, 250, 250, 250])
  await sink.received(before + 1)
  assert.ok(sink.messages[before]?.data.toString().endsWith(parts.join('')))
})

test('chunks that nobody asked for are read and refused, and RSET ends a message of chunks', async () => {
  using client = await greeted(server.port())
  const before = sink.count
  client.write('BDAT 10 LAST\r\nQUIT\r\nQUIT')
  assert.deepEqual(await codes(client, 1), [503])
  await envelope(client, { to: 'b@c.test' })
  client.write('BDAT 4\r\nhalf')
  assert.deepEqual(await codes(client, 1), [250])
  await client.expect(503, 'RCPT TO:<c@c.test>')
  await client.expect(503, 'DATA')
  await client.expect(250, 'RSET')
  await client.expect(250, 'NOOP')
  await client.quit()
  assert.equal(sink.count, before)
})

test('what is pipelined behind STARTTLS is thrown away', async () => {
  using client = await greeted(server.port())
  client.write('STARTTLS\r\nMAIL FROM:<attacker@b.test>\r\n')
  assert.equal((await client.reply()).code, 220)
  await client.secure()
  const reply = await client.command('RCPT TO:<b@c.test>')
  assert.equal(reply.code, 503, 'the first reply inside of TLS is to the first command inside of it')
})
