// One transaction, many recipients: each has its own outcome, and what was done is not done again.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueBecomes } from '../support/control.ts'
import { handIn, type To } from '../support/mail.ts'
import { reportOf } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Question } from '../support/smtp-sink.ts'

/** What one transaction may hold at the sink that counts. */
const RCPT_MAX = 7

let open = false
let taken = 0
function decide({ verb, line }: Question): string | undefined {
  if (verb !== 'RCPT') return undefined
  if (line.includes('never')) return '550 5.1.1 no such user\r\n'
  if (line.includes('later') && !open) return '450 4.2.1 come back later\r\n'
  return undefined
}
function count({ verb }: Question): string | undefined {
  if (verb === 'MAIL') taken = 0
  return verb === 'RCPT' && ++taken > RCPT_MAX ? '452 4.5.3 too many recipients\r\n' : undefined
}

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const mixed = stack.use(await SmtpSink.start({ script: decide }))
const strict = stack.use(await SmtpSink.start({ script: decide, extensions: [] }))
const counting = stack.use(await SmtpSink.start({ script: count }))
const wide = stack.use(await SmtpSink.start({ extensions: ['PIPELINING', 'LIMITS RCPTMAX=40'] }))
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: 'mixed.test', to: `smtp://127.0.0.1:${mixed.port}` },
      { domain: 'strict.test', to: `smtp://127.0.0.1:${strict.port}` },
      { domain: 'counting.test', to: `smtp://127.0.0.1:${counting.port}` },
      { domain: 'wide.test', to: `smtp://127.0.0.1:${wide.port}` },
    ],
    limits: { recipientsPerTransactionMax: 100 },
  }),
)

function recipients(count: number, domain: string): To[] {
  return Array.from({ length: count }, (_, index) => `r${index}@${domain}`)
}

for (const [domain, sink, how] of [
  ['mixed.test', mixed, 'pipelined'],
  ['strict.test', strict, 'command by command'],
] as const) {
  test(`one has it, one bounces, one alone is tried again: ${how}`, async () => {
    open = false
    const before = home.count
    const id = await handIn(server, { to: [`has@${domain}`, `never@${domain}`, `later@${domain}`] })
    await home.received(before + 1)
    const report = reportOf(home.messages[before]?.data as Buffer)
    assert.deepEqual(
      report.recipients.map((fields) => [fields.get('final-recipient'), fields.get('action'), fields.get('status')]),
      [[`rfc822; never@${domain}`, 'failed', '5.1.1']],
    )
    const [line] = await queueBecomes(server, 'one recipient is left', (lines) => lines.length === 1, { id })
    assert.deepEqual(
      [line?.recipient, line?.state, line?.attempts, line?.lastReply],
      [`later@${domain}`, 'scheduled', 1, '450 4.2.1 come back later'],
    )
    open = true
    await server.command('queue', 'retry', '--id', id)
    await sink.received(2)
    assert.deepEqual(
      sink.messages.map(({ to }) => to),
      [[`has@${domain}`], [`later@${domain}`]],
    )
  })
}

test('452 too many recipients sends the rest at once, in as many transactions as it takes', async () => {
  const to = recipients(30, 'counting.test')
  await handIn(server, { to })
  const got = (): string[] => counting.messages.flatMap((message) => message.to)
  await counting.until(15_000, 'all recipients', () => got().length >= 30)
  assert.deepEqual(got().toSorted(), to.map(String).toSorted())
  assert.ok(counting.messages.every((message) => message.to.length <= RCPT_MAX))
  assert.equal(counting.connections, 1)
})

test('many recipients share a transaction, up to the limit that the peer announces', async () => {
  await handIn(server, { to: recipients(90, 'wide.test') })
  await wide.until(15_000, 'all recipients', () => wide.messages.flatMap(({ to }) => to).length >= 90)
  assert.deepEqual(
    wide.messages.map(({ to }) => to.length).toSorted((a, b) => a - b),
    [10, 40, 40],
  )
})
