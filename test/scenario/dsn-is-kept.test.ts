// DSN (RFC 3461 to 3464): what a sender asks to be told is passed on, or told by us, and never twice.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsEmpty, queueList } from '../support/control.ts'
import { handIn, HELLO } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { reportOf, type DsnReport } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Received, type Script } from '../support/smtp-sink.ts'

const refuseSome: Script = ({ verb, line }) => (verb === 'RCPT' && line.includes('nobody') ? '550 5.1.1 no such user here\r\n' : undefined)

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('capture'))
const home = stack.use(await SmtpSink.start())
const modern = stack.use(await SmtpSink.start({ script: refuseSome }))
const plain = stack.use(await SmtpSink.start({ extensions: ['PIPELINING'], script: refuseSome }))
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'modern.test', to: `smtp://127.0.0.1:${modern.port}` },
      { domain: 'plain.test', to: `smtp://127.0.0.1:${plain.port}` },
      { domain: 'gone.test', to: 'discard:' },
      { domain: 'kept.test', to: `capture:${folder.path}` },
      { domain: 'dead.test', to: 'smtp://127.0.0.1:1' },
    ],
    retry: { first: '10s', warnAfter: '1s' },
  }),
)

const about =
  (recipient: string) =>
  ({ data }: Received): boolean =>
    data.includes(`Final-Recipient: rfc822; ${recipient}\r\n`)

async function reportAbout(recipient: string): Promise<DsnReport> {
  await home.until(15_000, `a report about ${recipient}`, () => home.messages.some(about(recipient)))
  const report = home.messages.find(about(recipient)) as Received
  assert.deepEqual([report.from, report.to], ['', ['anna@home.test']])
  return reportOf(report.data)
}

function words({ recipients: [first] }: DsnReport): (string | undefined)[] {
  return [first?.get('action'), first?.get('status')]
}

test('a hop with DSN is given every parameter, and success is left to it', async () => {
  const to = [['b@modern.test', 'NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+2Bx@old.test']] as const
  await handIn(server, { to, mail: 'RET=HDRS ENVID=env+3D42' })
  const [received] = await modern.received(1)
  assert.match(received?.mailParameters ?? '', /\bRET=HDRS ENVID=env\+3D42\b/)
  assert.equal(received?.rcptParameters[0], 'NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+2Bx@old.test')
})

test('at a hop without DSN success is reported as relayed', async () => {
  await handIn(server, { to: [['b@plain.test', 'NOTIFY=SUCCESS ORCPT=rfc822;b@alias.test']], mail: 'RET=FULL ENVID=e1' })
  const report = await reportAbout('b@plain.test')
  assert.deepEqual(words(report), ['relayed', '2.0.0'])
  assert.equal(report.message.get('original-envelope-id'), 'e1')
  assert.equal(report.message.get('reporting-mta'), 'dns; mx.rohrpost.test')
  assert.equal(report.recipients[0]?.get('original-recipient'), 'rfc822; b@alias.test')
  assert.equal(report.recipients[0]?.get('remote-mta'), 'dns; 127.0.0.1')
  assert.equal(report.returnedType, 'text/rfc822-headers', 'RET is for failures')
  assert.equal(plain.messages.find(({ to }) => to.includes('b@plain.test'))?.mailParameters, '')
})

test('a failure is reported with the message, or with its header when RET asks for that', async () => {
  await handIn(server, { to: 'nobody1@modern.test' })
  const full = await reportAbout('nobody1@modern.test')
  assert.deepEqual(words(full), ['failed', '5.1.1'])
  assert.equal(full.recipients[0]?.get('diagnostic-code'), 'smtp; 550 5.1.1 no such user here')
  assert.equal(full.returnedType, 'message/rfc822')
  assert.ok(full.returned.toString().endsWith(HELLO))
  assert.match(full.text, /no such user here/)
  assert.deepEqual(
    ['auto-submitted', 'to', 'subject'].map((name) => full.fields.get(name)),
    ['auto-replied', '<anna@home.test>', 'Undelivered mail returned to sender'],
  )
  await handIn(server, { to: [['nobody2@plain.test', 'NOTIFY=FAILURE']], mail: 'RET=HDRS' })
  const header = await reportAbout('nobody2@plain.test')
  assert.equal(header.returnedType, 'text/rfc822-headers')
  assert.match(header.returned.toString(), /^Subject: hello\r$/m)
  assert.doesNotMatch(header.returned.toString(), /^hello/m)
})

test('discard: and capture: are deliveries', async () => {
  for (const recipient of ['b@gone.test', 'b@kept.test']) {
    await handIn(server, { to: [[recipient, 'NOTIFY=SUCCESS']] })
    assert.deepEqual(words(await reportAbout(recipient)), ['delivered', '2.0.0'])
  }
})

test('a delay is reported once, with the time until which it is tried', async () => {
  await handIn(server, { to: 'b@dead.test' })
  const report = await reportAbout('b@dead.test')
  assert.deepEqual(words(report), ['delayed', '4.4.1'])
  const [line] = await queueList(server, { recipient: 'b@dead.test' })
  const until = Date.parse(report.recipients[0]?.get('will-retry-until') ?? '')
  assert.ok(Math.abs(until - Date.parse(line?.expires ?? '')) < 2000, 'it expires when it said')
  await server.command('queue', 'remove', '--recipient', 'b@dead.test')
})

test('nobody is told who asked for silence, has no address, or did not ask', async () => {
  await handIn(server, { to: [['nobody3@plain.test', 'NOTIFY=NEVER']] })
  await handIn(server, { to: [['nobody4@plain.test', 'NOTIFY=SUCCESS']] })
  await handIn(server, { to: 'nobody5@plain.test', from: '' })
  await handIn(server, { to: 'quiet@plain.test' })
  // Its report comes after all that went before it in the same way.
  await handIn(server, { to: [['last@plain.test', 'NOTIFY=SUCCESS']] })
  await reportAbout('last@plain.test')
  await queueIsEmpty(server)
  for (const name of ['nobody3@plain.test', 'nobody4@plain.test', 'nobody5@plain.test', 'quiet@plain.test', 'b@modern.test'])
    assert.ok(!home.messages.some(about(name)), name)
  for (const name of ['b@plain.test', 'nobody1@modern.test', 'b@gone.test', 'b@dead.test'])
    assert.equal(home.messages.filter(about(name)).length, 1, `${name} once`)
})
