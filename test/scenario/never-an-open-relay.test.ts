// Strangers reach our own domains and postmaster, and nothing else, whatever the address looks like.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    relayFrom: [],
    domains: { 'home.test': { deliverTo: `smtp://127.0.0.1:${sink.port}` } },
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
  }),
)

const FOREIGN = [
  'b@foreign.test',
  'b%foreign.test@home.test',
  'foreign.test!b@home.test',
  '"b@foreign.test"@home.test',
  '"b%foreign.test"@home.test',
  '@home.test:b@foreign.test',
  '@home.test,@x.test:b@foreign.test',
  'b@home.test@foreign.test',
  'b@[192.0.2.1]',
  'b@[IPv6:::1]',
  'b@foreign.test.home.test.',
  'b@home.test.foreign.test',
  'b@sub.home.test',
]

test('no way of writing an address makes us relay', async () => {
  using client = await greeted(server.port())
  await client.expect(250, 'MAIL FROM:<a@home.test>')
  for (const address of FOREIGN) {
    const { code } = await client.command(`RCPT TO:<${address}>`)
    assert.ok(code === 550 || code === 501, `${address} was answered ${code}`)
  }
  await client.expect(554, 'DATA')
})

test('our own domains and postmaster are reached, a source route is ignored', async () => {
  using client = await greeted(server.port())
  const before = sink.count
  await client.expect(250, 'MAIL FROM:<>')
  for (const address of [
    'b@home.test',
    'B@Home.TEST',
    '@relay.test:c@home.test',
    'postmaster',
    'Postmaster@mx.rohrpost.test',
    '"b c"@home.test',
  ])
    await client.expect(250, `RCPT TO:<${address}>`)
  await client.expect(354, 'DATA')
  await client.expect(250, 'Subject: x\r\n\r\nhello\r\n.')
  await sink.received(before + 1)
  const recipients = (): string[] => sink.messages.slice(before).flatMap(({ to }) => to)
  await sink.until(10_000, 'all recipients', () => recipients().length >= 5)
  assert.deepEqual(recipients().toSorted(), ['"b c"@home.test', 'B@home.test', 'b@home.test', 'c@home.test', 'postmaster@home.test'])
})

test('VRFY confirms nobody, EXPN nothing, HELP lists the commands', async () => {
  using client = await greeted(server.port())
  await client.expect(252, 'VRFY b@home.test')
  await client.expect(252, 'VRFY nobody')
  await client.expect(502, 'EXPN everybody')
  assert.match((await client.expect(214, 'HELP')).lines.join(' '), /\bEHLO\b.*\bMAIL\b.*\bBDAT\b/)
})
