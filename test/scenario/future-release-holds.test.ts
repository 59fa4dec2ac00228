// FUTURERELEASE (RFC 4865): a message waits for the time that it was submitted for, visibly, and then goes.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueList } from '../support/control.ts'
import { greeted, handInBy } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const arrivals = new Map<string, number>()
const onMessage = ({ to }: { to: readonly string[] }): unknown => arrivals.set(to[0] ?? '', Date.now())
const sink = stack.use(await SmtpSink.start({ onMessage }))
const server = stack.use(
  await startServer({
    listeners: [
      { protocol: 'smtp', port: 0 },
      { protocol: 'submission', port: 0 },
    ],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { futureReleaseMsMax: '1h' },
  }),
)

test('HOLDFOR and HOLDUNTIL hold a message, and release it at its time', async () => {
  using client = await greeted(server.port('submission'))
  const before = Date.now()
  // Whole seconds, so that the time is between two and three of them away.
  const until = Math.floor(before / 1000) * 1000 + 3000
  await handInBy(client, { to: 'for@b.test', mail: 'HOLDFOR=2' })
  await handInBy(client, { to: 'until@b.test', mail: `HOLDUNTIL=${new Date(until).toISOString().replace('.000', '')}` })
  await handInBy(client, { to: 'now@b.test' })
  const held = (await queueList(server)).filter(({ recipient }) => recipient !== 'now@b.test')
  assert.deepEqual(
    held.map(({ state, attempts }) => [state, attempts]),
    [
      ['scheduled', 0],
      ['scheduled', 0],
    ],
  )
  const nextAttempt = (recipient: string): number => Date.parse(held.find((line) => line.recipient === recipient)?.nextAttempt ?? '')
  assert.ok(nextAttempt('for@b.test') >= before + 2000, 'HOLDFOR counts from MAIL')
  // The scheduler counts in ticks and rounds up.
  assert.ok(nextAttempt('until@b.test') >= until && nextAttempt('until@b.test') < until + 500)
  const [first] = await sink.received(3)
  assert.deepEqual(first?.to, ['now@b.test'], 'others are not held up')
  assert.ok((arrivals.get('for@b.test') as number) >= before + 2000, 'not before its time')
  assert.ok((arrivals.get('until@b.test') as number) >= until, 'not before its time')
})

test('a hold that is too long, or on a listener that is not for submission, is refused', async () => {
  using submission = await greeted(server.port('submission'))
  await submission.expect(501, 'MAIL FROM:<anna@home.test> HOLDFOR=3601')
  await submission.expect(501, 'MAIL FROM:<anna@home.test> HOLDUNTIL=2020-01-01T00:00:00Z')
  using smtp = await greeted(server.port('smtp'))
  await smtp.expect(555, 'MAIL FROM:<anna@home.test> HOLDFOR=1')
})
