// A keyword is announced only when it is kept end to end: what EHLO says on each kind of listener, word by word, and the
// scenario that proves it. A new keyword fails here until it has one.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { greeted, handInBy } from '../support/mail.ts'
import { plain } from '../support/sasl.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'

const PROVED_BY: Readonly<Record<string, string>> = {
  '8BITMIME': 'binarymime-reaches-every-hop',
  AUTH: 'auth-mechanisms',
  BINARYMIME: 'binarymime-reaches-every-hop',
  CHUNKING: 'pipelining-and-chunks',
  DELIVERBY: 'deliver-by',
  DSN: 'dsn-is-kept',
  ENHANCEDSTATUSCODES: 'every-keyword-is-kept',
  FUTURERELEASE: 'future-release-holds',
  HELP: 'never-an-open-relay',
  LIMITS: 'every-keyword-is-kept',
  'MT-PRIORITY': 'priority-overtakes',
  PIPELINING: 'pipelining-and-chunks',
  SIZE: 'size-is-kept',
  SMTPUTF8: 'smtputf8-is-kept-or-bounced',
  STARTTLS: 'tls-resumes-across-threads',
}
const ALWAYS = Object.keys(PROVED_BY).filter((word) => !['AUTH', 'FUTURERELEASE', 'STARTTLS'].includes(word))

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const server = stack.use(
  await startServer({
    listeners: [
      { protocol: 'smtp', port: 0, tls: 'starttls' },
      { protocol: 'submission', port: 0, tls: 'starttls' },
      { protocol: 'lmtp', port: 0 },
    ],
    accounts: [{ name: 'anna@home.test', password: 'secret' }],
    routes: [{ domain: '*', to: 'discard:' }],
    smtp: { recipientsMax: 100 },
    limits: { messagesPerConnectionMax: 2 },
  }),
)

function words(lines: readonly string[]): string[] {
  return lines
    .slice(1)
    .map((line) => line.split(' ')[0] as string)
    .toSorted()
}

test('each keyword has a scenario that proves it', () => {
  for (const [keyword, file] of Object.entries(PROVED_BY)) assert.ok(existsSync(join(import.meta.dirname, `${file}.test.ts`)), keyword)
})

test('EHLO and LHLO announce what is there for this listener, this TLS and this account', async () => {
  using smtp = await SmtpClient.connect(server.port('smtp'))
  const hello = async (client: SmtpClient, verb = 'EHLO'): Promise<string[]> =>
    words((await client.expect(250, `${verb} client.test`)).lines)
  // SCRAM does not show the password, so that it is offered without TLS.
  assert.deepEqual(await hello(smtp), [...ALWAYS, 'AUTH', 'STARTTLS'].toSorted())
  await smtp.startTls()
  assert.deepEqual(await hello(smtp), [...ALWAYS, 'AUTH'].toSorted())
  await smtp.expect(235, `AUTH PLAIN ${plain('anna@home.test', 'secret')}`)
  assert.deepEqual(await hello(smtp), ALWAYS.toSorted())
  using submission = await SmtpClient.connect(server.port('submission'))
  assert.deepEqual(await hello(submission), [...ALWAYS, 'AUTH', 'FUTURERELEASE', 'STARTTLS'].toSorted())
  using lmtp = await SmtpClient.connect(server.port('lmtp'))
  assert.deepEqual(await hello(lmtp, 'LHLO'), ALWAYS.toSorted())
})

test('LIMITS are kept: recipients of a transaction, transactions of a session', async () => {
  using client = await greeted(server.port('smtp'))
  const { lines } = await client.expect(250, 'EHLO client.test')
  assert.deepEqual(
    lines
      .find((line) => line.startsWith('LIMITS '))
      ?.split(' ')
      .toSorted(),
    ['LIMITS', 'MAILMAX=2', 'RCPTMAX=100'],
  )
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  for (let n = 0; n < 100; n++) await client.expect(250, `RCPT TO:<r${n}@c.test>`)
  const refused = await client.expect(452, 'RCPT TO:<one.too.many@c.test>')
  assert.match(refused.lines[0] ?? '', /^4\.5\.3 /)
  await client.expect(354, 'DATA')
  await client.expect(250, 'Subject: x\r\n\r\nhello\r\n.')
  await handInBy(client, { to: 'b@c.test' })
  assert.equal((await client.command('MAIL FROM:<a@b.test>')).code, 421)
})

test('ENHANCEDSTATUSCODES: every reply has one, but for the greeting, EHLO and 354 (RFC 2034)', async () => {
  using client = await greeted(server.port('smtp'))
  const commands = ['NOOP', 'RSET', 'VRFY x', 'EXPN x', 'HELP', 'NONSENSE', 'MAIL FROM:<a@b.test>', 'MAIL FROM:<a@b.test>', 'RCPT TO:<x>']
  for (const command of [...commands, 'RCPT TO:<b@c.test>', 'BDAT x', 'QUIT']) {
    const { code, lines } = await client.command(command)
    for (const line of lines) assert.match(line, new RegExp(`^${Math.floor(code / 100)}\\.\\d{1,3}\\.\\d{1,3} `), command)
  }
})
