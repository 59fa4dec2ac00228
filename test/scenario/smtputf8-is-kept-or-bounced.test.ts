// SMTPUTF8 (RFC 6531): addresses and headers beyond ASCII go only where they are understood; else the sender is told in
// a form that can carry them (RFC 6533).

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted, handInBy } from '../support/mail.ts'
import { reportOf } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Received } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const world = stack.use(await SmtpSink.start())
const old = stack.use(await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME', 'DSN'] }))
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'world.test', to: `smtp://127.0.0.1:${world.port}` },
      { domain: 'old.test', to: `smtp://127.0.0.1:${old.port}` },
    ],
  }),
)

const CONTENT = 'From: J\u00fcrgen <j\u00fcrgen@home.test>\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nhello\r\n'
const PLAIN = 'From: <anna@home.test>\r\nSubject: plain\r\n\r\nhello\r\n'

async function homeGets(what: string, match: (message: Received) => boolean): Promise<Received> {
  await home.until(15_000, what, () => home.messages.some(match))
  return home.messages.find(match) as Received
}

test('addresses and header keep their characters where SMTPUTF8 is offered', async () => {
  using client = await greeted(server.port())
  await handInBy(client, {
    from: 'j\u00fcrgen@home.test',
    to: '\u0438\u0432\u0430\u043d@world.test',
    mail: 'SMTPUTF8 BODY=8BITMIME',
    content: CONTENT,
  })
  const [received] = await world.received(1)
  assert.deepEqual([received?.from, received?.to], ['j\u00fcrgen@home.test', ['\u0438\u0432\u0430\u043d@world.test']])
  assert.match(received?.mailParameters ?? '', /\bSMTPUTF8\b/)
  assert.ok(received?.data.toString('utf8').endsWith(CONTENT))
  assert.match(received?.data.toString('utf8') ?? '', /^Received: [^;]* with UTF8SMTP\r\n/)
})

test('where it is not, the message comes back as 5.6.7 in a global report', async () => {
  using client = await greeted(server.port())
  await handInBy(client, { from: 'j\u00fcrgen@home.test', to: '\u0438\u0432\u0430\u043d@old.test', mail: 'SMTPUTF8', content: CONTENT })
  const bounce = await homeGets('the report', ({ to }) => to.includes('j\u00fcrgen@home.test'))
  assert.match(bounce.mailParameters, /\bSMTPUTF8\b/, 'the way back needs it too')
  assert.equal(bounce.from, '')
  const report = reportOf(bounce.data)
  assert.equal(report.statusType, 'message/global-delivery-status')
  const [about] = report.recipients
  assert.equal(about?.get('final-recipient'), 'utf-8; \u0438\u0432\u0430\u043d@old.test')
  assert.deepEqual([about?.get('action'), about?.get('status')], ['failed', '5.6.7'])
  assert.equal(report.returnedType, 'message/global')
  assert.ok(report.returned.toString('utf8').includes('Subject: Gr\u00fc\u00dfe'))
  assert.equal(old.count, 0)
})

test('a sender in ASCII gets the same report without SMTPUTF8', async () => {
  using client = await greeted(server.port())
  await handInBy(client, { to: '\u0438\u0432\u0430\u043d@old.test', mail: 'SMTPUTF8', content: PLAIN })
  const bounce = await homeGets('the report', ({ to }) => to.includes('anna@home.test'))
  assert.doesNotMatch(bounce.mailParameters, /SMTPUTF8/)
  assert.ok(
    bounce.data.every((byte) => byte < 0x80),
    'anybody can take it',
  )
  const report = reportOf(bounce.data)
  assert.deepEqual([report.statusType, report.recipients[0]?.get('status')], ['message/global-delivery-status', '5.6.7'])
})

test('a message that only said SMTPUTF8 and does not need it goes anywhere', async () => {
  using client = await greeted(server.port())
  await handInBy(client, { to: 'b@old.test', mail: 'SMTPUTF8', content: PLAIN })
  assert.doesNotMatch((await old.received(1))[0]?.mailParameters ?? '', /SMTPUTF8/)
})

test('an address beyond ASCII without SMTPUTF8 is refused', async () => {
  using client = await greeted(server.port())
  await client.expect(550, 'MAIL FROM:<j\u00fcrgen@home.test>')
  await client.expect(250, 'MAIL FROM:<anna@home.test>')
  await client.expect(553, 'RCPT TO:<\u0438\u0432\u0430\u043d@world.test>')
})
