// A site that cannot be reached, or says 421, is left alone for a while: one record, messages that do not age, and an
// explanation that tells until when. One that works keeps its connection.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ask, explanation, queueBecomes, queueIsEmpty } from '../support/control.ts'
import { greeted, handIn, handInBy } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

let busy = true

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const site = stack.use(
  await SmtpSink.start({ script: ({ verb }) => (verb === 'banner' && busy ? '421 4.3.2 too busy for you\r\n' : undefined) }),
)
const server = stack.use(
  await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${site.port}` }], retry: { first: '1h', max: '4h', expire: '5d' } }),
)
const key = `smtp://127.0.0.1:${site.port}`

interface Site {
  readonly site: string
  readonly ready: number
  readonly backoffUntil: number
}

test('421 in the greeting backs off the site once; its messages wait without an attempt', async () => {
  using client = await greeted(server.port())
  for (let n = 0; n < 20; n++) await handInBy(client, { to: `r${n}@c.test` })
  const summary = await eventually(10_000, 'the site is backed off', async () =>
    (await ask<Site>(server, 'queue.summary')).find((one) => one.site === key && one.backoffUntil > 0 && one.ready === 20),
  )
  assert.ok(summary.backoffUntil > Date.now())
  const lines = await queueBecomes(server, 'all are ready', (all) => all.length === 20 && all.every(({ state }) => state === 'ready'))
  assert.ok(
    lines.every(({ attempts }) => attempts === 0),
    'they were not tried: the site was',
  )
  const records = server.child.stderr.match(/"msg":"site backed off"/g) ?? []
  assert.equal(records.length, 1, 'one back-off is one record')
  assert.ok(site.connections <= 2, `${site.connections} connections`)
})

test('explain names the back-off, its end and the words of the site', async () => {
  const id = await handIn(server, { to: 'explained@c.test' })
  const { state, site: where, binding, nextAttempt, lastReply } = await explanation(server, id)
  const [summary] = await ask<Site>(server, 'queue.summary')
  assert.deepEqual([state, where, binding?.limit], ['ready', key, 'backoff'])
  assert.equal(binding?.origin, `default at 127.0.0.1[127.0.0.1]:${site.port}: 421 4.3.2 too busy for you`)
  assert.equal(binding?.value, nextAttempt)
  assert.equal(Date.parse(nextAttempt), summary?.backoffUntil)
  assert.equal(lastReply, '421 4.3.2 too busy for you')
  const [line] = await queueBecomes(server, 'the line', (lines) => lines.length === 1, { id })
  assert.deepEqual([line?.nextAttempt, line?.lastReply], [nextAttempt, lastReply], 'queue list says the same')
})

test('a retry forgets the back-off, and one connection is used for many messages', async () => {
  busy = false
  assert.equal((await server.command('queue', 'retry', '--all')).code, 0)
  await site.received(21)
  await queueIsEmpty(server)
  const before = site.connections
  for (let n = 0; n < 3; n++) {
    await handIn(server, { to: `late${n}@c.test` })
    await site.received(22 + n)
  }
  assert.equal(site.connections, before, 'what was open was used again')
  assert.match(site.messages.at(-1)?.helo ?? '', /^mx\.rohrpost\.test$/)
})
