// Submission (RFC 6409): AUTH first, the sender's address is the account's, missing fields are added, the client's address
// is nobody's business, and an account's hour has a limit.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { envelope, greeted, handInBy, HELLO } from '../support/mail.ts'
import { newestReceived } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const account = (name: string, more: object = {}): object => ({ name, password: 'secret', ...more })

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    listeners: [{ protocol: 'submission', name: 'smtp', port: 0, tls: 'starttls' }],
    accounts: [
      account('anna@home.test', { aliases: ['sales@home.test', '*@shop.test'] }),
      account('mess@home.test', { quota: { messagesPerHour: 2 } }),
      account('rcpt@home.test', { quota: { recipientsPerHour: 3 } }),
    ],
    relayFrom: [],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
  }),
)

async function loggedIn(name: string): Promise<SmtpClient> {
  const client = await greeted(server.port())
  await client.startTls()
  await client.expect(250, 'EHLO client.test')
  await client.expect(235, `AUTH PLAIN ${Buffer.from(`\0${name}\0secret`).toString('base64')}`)
  return client
}

async function answered(client: SmtpClient, content: string, from = 'anna@home.test'): Promise<number> {
  await envelope(client, { from, to: 'b@c.test' })
  await client.expect(354, 'DATA')
  return (await client.command(`${content}.`)).code
}

test('nothing is taken before AUTH', async () => {
  using client = await greeted(server.port())
  const refused = await client.expect(530, 'MAIL FROM:<anna@home.test>')
  assert.match(refused.lines[0] ?? '', /^5\.7\.0 /)
})

test('Message-ID and Date are added when they are missing, Bcc goes, and the client is not named', async () => {
  using client = await loggedIn('anna@home.test')
  const id = await handInBy(client, { to: 'b@c.test', content: HELLO.replace('Subject', 'Bcc: secret@c.test\r\nSubject') })
  const [received] = await sink.received(1)
  const text = received?.data.toString() ?? ''
  assert.match(text, new RegExp(`^Message-ID: <${id}@mx\\.rohrpost\\.test>\\r$`, 'm'))
  assert.match(text, /^Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r$/m)
  assert.doesNotMatch(text, /^Bcc:/m)
  assert.match(newestReceived(text), /^Received: from client\.test by mx\.rohrpost\.test with ESMTPSA /)
  assert.doesNotMatch(text, /127\.0\.0\.1/)
})

test('what is there stays as it is', async () => {
  using client = await loggedIn('anna@home.test')
  const before = sink.count
  const content = `Message-ID: <mine@client.test>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0100\r\n${HELLO}`
  await handInBy(client, { to: 'b@c.test', content })
  await sink.received(before + 1)
  assert.ok(sink.messages[before]?.data.toString().endsWith(`\r\n${content}`))
})

test('MAIL and From must belong to the account, by name, alias or pattern', async () => {
  using client = await loggedIn('anna@home.test')
  for (const address of ['sales@home.test', 'Anyone@Shop.test', '']) {
    await client.expect(250, `MAIL FROM:<${address}>`)
    await client.expect(250, 'RSET')
  }
  const refused = await client.expect(550, 'MAIL FROM:<chef@home.test>')
  assert.match(refused.lines[0] ?? '', /^5\.7\.1 /)
  assert.equal(await answered(client, HELLO.replace('anna@home.test', 'x@shop.test')), 250)
  assert.equal(await answered(client, HELLO.replace('anna@home.test', 'chef@home.test')), 550)
  assert.equal(await answered(client, `From: <anna@home.test>, <chef@home.test>\r\n\r\nx\r\n`), 550)
  assert.equal(await answered(client, `From: <anna@home.test>\r\n${HELLO}`), 554)
  assert.equal(await answered(client, 'Subject: nobody\r\n\r\nx\r\n'), 554)
})

test('an account has an hour of so many messages and recipients, however many connections', async () => {
  const from = 'mess@home.test'
  const content = HELLO.replace('anna', 'mess')
  for (let n = 0; n < 2; n++) {
    using client = await loggedIn(from)
    await handInBy(client, { from, to: 'b@c.test', content })
  }
  using client = await loggedIn(from)
  const refused = await client.expect(451, `MAIL FROM:<${from}>`)
  assert.match(refused.lines[0] ?? '', /^4\.7\.\d+ .*quota/)
  using other = await loggedIn('rcpt@home.test')
  await other.expect(250, 'MAIL FROM:<rcpt@home.test>')
  for (const code of [250, 250, 250, 451]) await other.expect(code, 'RCPT TO:<b@c.test>')
})
