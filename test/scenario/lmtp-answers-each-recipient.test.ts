// LMTP (RFC 2033), in and out: one reply a recipient, behind DATA and behind BDAT LAST.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsTried } from '../support/control.ts'
import { HELLO, queuedId } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink, type Received } from '../support/smtp-sink.ts'

let full = true
const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const store = stack.use(
  await SmtpSink.start({
    protocol: 'lmtp',
    script: ({ verb }) =>
      verb === 'content' && full ? '250 2.0.0 kept\r\n552 5.2.2 mailbox is full\r\n451 4.2.0 mailbox is locked\r\n' : undefined,
  }),
)
const server = stack.use(
  await startServer({
    listeners: [
      { protocol: 'lmtp', port: 0 },
      { protocol: 'smtp', port: 0 },
    ],
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'store.test', to: `lmtp://127.0.0.1:${store.port}` },
    ],
  }),
)

async function begun(): Promise<SmtpClient> {
  const client = await SmtpClient.connect(server.port('lmtp'))
  await client.expect(250, 'LHLO client.test')
  await client.expect(250, 'MAIL FROM:<anna@home.test>')
  await client.expect(250, 'RCPT TO:<a@home.test>')
  await client.expect(501, 'RCPT TO:<bad address>')
  await client.expect(250, 'RCPT TO:<b@home.test>')
  return client
}

test('DATA is answered once for each accepted recipient', async () => {
  using client = await begun()
  await client.expect(354, 'DATA')
  client.write(`${HELLO}.\r\n`)
  assert.equal(queuedId(await client.reply()), queuedId(await client.reply()))
  await client.expect(250, 'NOOP')
  assert.deepEqual((await home.received(1))[0]?.to, ['a@home.test', 'b@home.test'])
})

test('BDAT LAST is answered once for each accepted recipient, BDAT before it once', async () => {
  using client = await begun()
  client.write(`BDAT 12\r\nSubject: x\r\nBDAT 9 LAST\r\n\r\nhello\r\n`)
  assert.match((await client.reply()).lines[0] ?? '', /^2\.0\.0 12 octets/)
  assert.equal(queuedId(await client.reply()), queuedId(await client.reply()))
  await client.expect(250, 'NOOP')
})

test('EHLO is not for LMTP, nor LHLO for SMTP; DATA without recipients is 503', async () => {
  using client = await SmtpClient.connect(server.port('lmtp'))
  await client.expect(500, 'EHLO client.test')
  await client.expect(250, 'LHLO client.test')
  await client.expect(250, 'MAIL FROM:<anna@home.test>')
  await client.expect(503, 'DATA')
  using smtp = await SmtpClient.connect(server.port('smtp'))
  await smtp.expect(500, 'LHLO client.test')
})

test('an LMTP hop decides for each recipient: one has it, one bounces, one is tried again', async () => {
  using client = await SmtpClient.connect(server.port('lmtp'))
  await client.expect(250, 'LHLO client.test')
  await client.expect(250, 'MAIL FROM:<anna@home.test>')
  for (const name of ['has', 'full', 'locked']) await client.expect(250, `RCPT TO:<${name}@store.test>`)
  await client.expect(354, 'DATA')
  client.write(`${HELLO}.\r\n`)
  for (let n = 0; n < 3; n++) queuedId(await client.reply())
  const isBounce = ({ from }: Received): boolean => from === ''
  await home.until(15_000, 'the bounce', () => home.messages.some(isBounce))
  const bounce = home.messages.find(isBounce)?.data.toString() ?? ''
  assert.deepEqual(bounce.match(/^Final-Recipient: .*(?=\r$)/gm), ['Final-Recipient: rfc822; full@store.test'])
  assert.match(bounce, /^Diagnostic-Code: smtp; 552 5\.2\.2 mailbox is full\r$/m)
  const [line] = await queueIsTried(server, 1)
  assert.deepEqual([line?.recipient, line?.state, line?.lastReply], ['locked@store.test', 'scheduled', '451 4.2.0 mailbox is locked'])
  full = false
  assert.equal((await server.command('queue', 'retry', '--recipient', 'locked@store.test')).code, 0)
  await store.until(10_000, 'the retry', () => store.messages.some(({ to }) => to.length === 1 && to[0] === 'locked@store.test'))
})
