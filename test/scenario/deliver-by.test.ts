// DELIVERBY (RFC 2852): a time that cannot be kept ends in a report, and each next hop is told what is left of it.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueList } from '../support/control.ts'
import { handIn } from '../support/mail.ts'
import { reportOf, type DsnReport } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Received } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const plain = stack.use(await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME', 'DSN'] }))
const timely = stack.use(await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME', 'DSN', 'DELIVERBY 30'] }))
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'plain.test', to: `smtp://127.0.0.1:${plain.port}` },
      { domain: 'timely.test', to: `smtp://127.0.0.1:${timely.port}` },
      { domain: '*', to: 'smtp://127.0.0.1:1' },
    ],
    limits: { deliverByMsMin: '1s' },
  }),
)

/** The report about a recipient, once it has come home. */
async function reportAbout(recipient: string): Promise<DsnReport> {
  const about = ({ data }: Received): boolean => data.includes(`Final-Recipient: rfc822; ${recipient}`)
  await home.until(15_000, `a report about ${recipient}`, () => home.messages.some(about))
  return reportOf(home.messages.find(about)?.data as Buffer)
}

function words({ recipients: [first] }: DsnReport): (string | undefined)[] {
  return [first?.get('action'), first?.get('status')]
}

test('a message that must be delivered in time expires into a bounce when it is over', async () => {
  const before = Date.now()
  await handIn(server, { to: 'b@dead.test', mail: 'BY=1;R' })
  const report = await reportAbout('b@dead.test')
  assert.ok(Date.now() >= before + 1000, 'not before its time')
  assert.deepEqual(words(report), ['failed', '5.4.7'])
  const by = Date.parse(report.message.get('deliver-by-date') ?? '')
  // The field has whole seconds.
  assert.ok(by >= before && by <= before + 2000)
  assert.deepEqual(await queueList(server, { recipient: 'b@dead.test' }), [])
})

test('a message that may be late warns its sender and is tried on', async () => {
  await handIn(server, { to: 'c@dead.test', mail: 'BY=1;N' })
  const report = await reportAbout('c@dead.test')
  assert.deepEqual(words(report), ['delayed', '4.4.7'])
  assert.ok(Date.parse(report.recipients[0]?.get('will-retry-until') ?? '') > Date.now() + 3_600_000)
  assert.equal((await queueList(server, { recipient: 'c@dead.test' })).length, 1)
})

test('the next hop is told the seconds that remain', async () => {
  await handIn(server, { to: 'b@timely.test', mail: 'BY=600;R' })
  const [received] = await timely.received(1)
  const [, seconds, mode] = /\bBY=(\d+);(R)(?= |$)/.exec(received?.mailParameters ?? '') ?? []
  assert.ok(mode === 'R' && Number(seconds) > 590 && Number(seconds) <= 600, received?.mailParameters)
})

test('mode R is not relayed to a hop without DELIVERBY, nor to one that asks for more time', async () => {
  await handIn(server, { to: 'r@plain.test', mail: 'BY=600;R' })
  assert.deepEqual(words(await reportAbout('r@plain.test')), ['failed', '5.3.3'])
  await handIn(server, { to: 'short@timely.test', mail: 'BY=20;R' })
  assert.deepEqual(words(await reportAbout('short@timely.test')), ['failed', '5.3.3'])
  assert.ok(!plain.messages.some(({ to }) => to.includes('r@plain.test')))
})

test('mode N to a hop without DELIVERBY is reported as relayed, and the hop is asked to report delays', async () => {
  await handIn(server, { to: 'n@plain.test', mail: 'BY=600;N' })
  assert.deepEqual(words(await reportAbout('n@plain.test')), ['relayed', '2.0.0'])
  const received = plain.messages.find(({ to }) => to.includes('n@plain.test'))
  assert.match(received?.rcptParameters[0] ?? '', /NOTIFY=FAILURE,DELAY/)
  await handIn(server, { to: [['never@plain.test', 'NOTIFY=NEVER']], mail: 'BY=600;N' })
  await plain.received(2)
})

test('a trace is reported at each hop, and without one a hop with DELIVERBY leaves nothing to say', async () => {
  await handIn(server, { to: 'untraced@timely.test', mail: 'BY=600;N' })
  await handIn(server, { to: [['quiet@timely.test', 'NOTIFY=NEVER']], mail: 'BY=600;NT' })
  await handIn(server, { to: 'traced@timely.test', mail: 'BY=600;NT' })
  assert.deepEqual(words(await reportAbout('traced@timely.test')), ['relayed', '2.0.0'])
  assert.match(timely.messages.find(({ to }) => to.includes('traced@timely.test'))?.mailParameters ?? '', /\bBY=\d+;NT/)
  // Reports leave in the order that they were made in.
  const reported = home.messages.map(({ data }) => /Final-Recipient: rfc822; (\S+)/.exec(data.toString())?.[1])
  assert.deepEqual(
    reported.filter((address) => /^(?:untraced|quiet|never)@/.test(address ?? '')),
    [],
  )
})
