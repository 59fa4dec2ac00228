// metrics: the names that dashboards rely on, in Prometheus' text format, with what really happened.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsTried } from '../support/control.ts'
import { greeted, handIn } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(
  await SmtpSink.start({
    script: ({ verb, line }) => {
      if (verb !== 'RCPT') return undefined
      if (line.includes('later')) return '450 4.2.1 not now\r\n'
      return line.includes('never') ? '550 5.1.1 no such user\r\n' : undefined
    },
  }),
)
const server = stack.use(
  await startServer({
    relayFrom: ['127.0.0.1'],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    retry: { first: '1h', max: '4h', expire: '2d' },
  }),
)

/** Samples by name and labels; each line of the text is one, or a comment. */
async function metrics(): Promise<Map<string, number>> {
  const { code, stdout } = await server.command('metrics')
  assert.equal(code, 0)
  const samples = new Map<string, number>()
  for (const line of stdout.trimEnd().split('\n')) {
    if (/^# (?:HELP|TYPE) rohrpost_[a-z_]+ /.test(line)) continue
    const [, name, value] = /^(rohrpost_[a-z_]+(?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})?) (\d+(?:\.\d+)?(?:e[+-]\d+)?)$/.exec(line) ?? []
    assert.ok(name !== undefined && !samples.has(name), `not a sample, or one told twice: ${line}`)
    samples.set(name, Number(value))
  }
  return samples
}

test('what was accepted, delivered, bounced, deferred and refused is counted, and what waits', async () => {
  await handIn(server, { from: '', to: ['a@x.test', 'b@x.test', 'never@x.test', 'later@x.test'] })
  using client = await greeted(server.port(), '127.0.0.2')
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@foreign.test>')
  await queueIsTried(server, 1)
  await server.command('queue', 'hold', '--all')
  const wanted: readonly (readonly [string, number])[] = [
    ['rohrpost_accepted_total', 4],
    ['rohrpost_delivered_total', 2],
    ['rohrpost_bounced_total', 1],
    ['rohrpost_deferred_total', 1],
    ['rohrpost_refused_total', 1],
    ['rohrpost_queue{state="held"}', 1],
    ['rohrpost_queue{state="ready"}', 0],
    ['rohrpost_queue{state="scheduled"}', 0],
    ['rohrpost_queue{state="active"}', 0],
    ['rohrpost_accept_seconds_count', 1],
    ['rohrpost_connections_total', 2],
  ]
  const onceASecond = ['rohrpost_commits_total']
  for (const thread of ['main', 'scheduler', 'net.1', 'deliver.1']) onceASecond.push(`rohrpost_loop_delay_seconds{thread="${thread}"}`)
  const samples = await eventually(10_000, 'commits and the delay of every loop are written down once a second', async () => {
    const now = await metrics()
    return onceASecond.every((name) => (now.get(name) ?? 0) > 0) ? now : undefined
  })
  assert.deepEqual(
    wanted.map(([name]) => [name, samples.get(name)]),
    wanted,
  )
  const accept = samples.get('rohrpost_accept_seconds_sum') ?? 0
  assert.ok(accept > 0 && accept < 10, `${accept} s`)
})
