// Events: each thing that happens to a message once, with the same id as in the reply, in order, also to who follows.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsEmpty, queueIsTried } from '../support/control.ts'
import { greeted, handIn } from '../support/mail.ts'
import { Child } from '../support/process.ts'
import { ROOT, startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const FIELDS = ['offset', 'time', 'type', 'id', 'recipient', 'tenant', 'source', 'site', 'code', 'enhanced', 'reply', 'attempt']

interface Event {
  readonly offset: number
  readonly time: string
  readonly type: string
  readonly id: string
  readonly recipient: string
  readonly source: string
  readonly site: string
  readonly code: number
  readonly enhanced: string
  readonly reply: string
  readonly attempt: number
}

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
const site = `smtp://127.0.0.1:${sink.port}`
const server = stack.use(
  await startServer({
    relayFrom: ['127.0.0.1'],
    routes: [{ domain: '*', to: site }],
    retry: { first: '1h', max: '4h', expire: '2d' },
    limits: { deliverByMsMin: '1s' },
  }),
)

function parsed(text: string): Event[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event)
}

async function tail(...args: string[]): Promise<Event[]> {
  const { code, stdout, stderr } = await server.command('events', 'tail', '--json', ...args)
  assert.equal(code, 0, stderr)
  return parsed(stdout)
}

test('each type of event has all fields, and the id of the reply', async () => {
  const id = await handIn(server, { from: '', to: ['now@x.test', 'never@x.test', 'later@x.test'] })
  const dead = await handIn(server, { from: '', to: 'later2@x.test', mail: 'BY=1;R' })
  using client = await greeted(server.port(), '127.0.0.2')
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@foreign.test>')
  await queueIsTried(server, 1)
  await server.command('queue', 'remove', '--id', id)
  await queueIsEmpty(server)
  const events = await eventually(10_000, 'all events', async () => {
    const all = await tail()
    return all.some(({ type }) => type === 'admin') && all.some(({ type }) => type === 'rejection') ? all : undefined
  })
  for (const event of events) assert.deepEqual(Object.keys(event), FIELDS)
  const of = (one: string): unknown[] =>
    events
      .filter((event) => event.id === one)
      .map(({ type, recipient, code, enhanced, reply, attempt }) => [type, recipient, code, enhanced, reply, attempt])
  assert.deepEqual(of(id), [
    ['reception', 'now@x.test', 250, '2.0.0', '', 0],
    ['reception', 'never@x.test', 250, '2.0.0', '', 0],
    ['reception', 'later@x.test', 250, '2.0.0', '', 0],
    ['delivery', 'now@x.test', 250, '2.0.0', 'kept', 1],
    ['bounce', 'never@x.test', 550, '5.1.1', 'no such user', 1],
    ['delay', 'later@x.test', 450, '4.2.1', 'not now', 1],
    ['admin', 'later@x.test', 0, '', 'remove', 1],
  ])
  // RFC 2852 §4.1.4.1: the sink has no DELIVERBY, so that the message bounces rather than expires.
  assert.deepEqual((of(dead).at(-1) as unknown[])[0], 'bounce')
  const [rejection] = events.filter(({ type }) => type === 'rejection')
  assert.deepEqual(
    [rejection?.id, rejection?.recipient, rejection?.source, rejection?.site, rejection?.code, rejection?.enhanced],
    ['', 'b@foreign.test', '127.0.0.2', 'relay-denied', 550, '5.7.1'],
  )
  assert.equal(events.find(({ type }) => type === 'reception')?.source, '127.0.0.1')
  assert.equal(events.find(({ type }) => type === 'delivery')?.site, site)
})

test('tail goes on from an offset, and follows', async () => {
  const all = await tail()
  const third = all[2] as Event
  assert.deepEqual((await tail('--from', String(third.offset)))[0], third)
  const last = all.at(-1) as Event
  const follower = new Child(
    [
      process.execPath,
      `${ROOT}/src/rohrpost.js`,
      'events',
      'tail',
      '--json',
      '--follow',
      '--from',
      String(last.offset + 1),
      '--config',
      server.configPath,
    ],
    {},
  )
  try {
    const wanted: [string, string][] = []
    // One behind the other, so that it waits in between.
    for (const name of ['one', 'two']) {
      const id = await handIn(server, { from: '', to: `${name}@x.test` })
      wanted.push(['reception', id], ['delivery', id])
      await follower.prints(new RegExp(`"type":"delivery".*${name}@x\\.test`))
    }
    const seen = parsed(follower.stdout)
    assert.deepEqual(
      seen.map((event) => [event.type, event.id]),
      wanted,
    )
    assert.ok(seen.every(({ offset }) => offset > last.offset))
  } finally {
    await follower.stop()
  }
})
