// SIZE (RFC 1870): what is announced holds, told beforehand or found out on the way, and nothing of it is kept in memory.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsEmpty } from '../support/control.ts'
import { envelope, greeted, handInBy } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Received } from '../support/smtp-sink.ts'

const BYTES_MAX = 200_000

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const small = stack.use(await SmtpSink.start({ extensions: ['PIPELINING', 'SIZE 50000'] }))
const server = stack.use(
  await startServer({
    smtp: { maxMessageBytes: BYTES_MAX },
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: '*', to: `smtp://127.0.0.1:${small.port}` },
    ],
  }),
)

/** Lines of 62 bytes and a last one, `bytes` in all. */
function contentOf(bytes: number): string {
  const lines = `Subject: x\r\n\r\n${`${'0123456789'.repeat(6)}\r\n`.repeat(Math.ceil(bytes / 62))}`
  return `${lines.slice(0, bytes - 64).replace(/\r$/, 'x')}${'x'.repeat(62)}\r\n`
}

test('SIZE is announced, and a larger message is refused at MAIL', async () => {
  using client = await greeted(server.port())
  const { lines } = await client.expect(250, 'EHLO client.test')
  assert.ok(lines.includes(`SIZE ${BYTES_MAX}`), lines.join(' '))
  const refused = await client.expect(552, `MAIL FROM:<anna@home.test> SIZE=${BYTES_MAX + 1}`)
  assert.match(refused.lines[0] ?? '', /^5\.3\.4 /)
  await client.expect(250, `MAIL FROM:<anna@home.test> SIZE=${BYTES_MAX}`)
})

test('a message that grows over the limit is refused at its end, and the session goes on', async () => {
  using client = await greeted(server.port())
  await envelope(client, { to: 'b@home.test', mail: 'SIZE=100' })
  await client.expect(354, 'DATA')
  const refused = await client.command(`${contentOf(BYTES_MAX + 100)}.`)
  assert.deepEqual([refused.code, refused.lines[0]?.slice(0, 5)], [552, '5.3.4'])
  await handInBy(client, { to: 'b@home.test', content: contentOf(BYTES_MAX) })
  assert.ok(((await home.received(1))[0]?.data.length as number) > BYTES_MAX)
})

test('chunks that grow over the limit are refused when they do', async () => {
  using client = await greeted(server.port())
  await envelope(client, { to: 'b@home.test' })
  const chunk = contentOf(BYTES_MAX / 2)
  for (const code of [250, 250]) {
    client.write(`BDAT ${chunk.length}\r\n${chunk}`)
    assert.equal((await client.reply()).code, code)
  }
  client.write('BDAT 1 LAST\r\nx')
  assert.equal((await client.reply()).code, 552)
  await handInBy(client, { to: 'b@home.test' })
})

test('a client that goes on sending what was refused is cut off', async () => {
  using client = await greeted(server.port())
  await envelope(client, { to: 'b@home.test' })
  await client.expect(354, 'DATA')
  client.write(contentOf(2 * BYTES_MAX + 100_000))
  assert.equal((await client.reply()).code, 421)
})

test('a message larger than the next hop takes is not sent there, but returned', async () => {
  using client = await greeted(server.port())
  await handInBy(client, { to: 'b@small.test', content: contentOf(60_000) })
  const isBounce = ({ from }: Received): boolean => from === ''
  await home.until(15_000, 'the bounce', () => home.messages.some(isBounce))
  const bounce = home.messages.find(isBounce)?.data.toString() ?? ''
  assert.match(bounce, /^Status: 5\.3\.4\r$/m)
  assert.match(bounce, /^Content-Type: text\/rfc822-headers\r$/m, 'a large message does not come back whole')
  assert.equal(small.count, 0)
  await handInBy(client, { to: 'b@small.test', content: contentOf(40_000) })
  assert.match((await small.received(1))[0]?.mailParameters ?? '', /^SIZE=40\d{3}$/)
  await queueIsEmpty(server)
})
