// MT-PRIORITY (RFC 6710): what is urgent goes before what waited longer, and only those who may relay can make it so.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ask, queueBecomes } from '../support/control.ts'
import { greeted, handInBy } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const OURSELVES = '127.0.0.2'
const login = Buffer.from('\0anna@home.test\0secret').toString('base64')

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const gate = Promise.withResolvers<void>()
const extensions = ['PIPELINING', 'MT-PRIORITY']
const slow = stack.use(await SmtpSink.start({ wait: () => gate.promise, extensions }))
const home = stack.use(await SmtpSink.start({ extensions }))
const server = stack.use(
  await startServer({
    accounts: [{ name: 'anna@home.test', password: 'secret' }],
    relayFrom: [OURSELVES],
    domains: { 'home.test': { deliverTo: `smtp://127.0.0.1:${home.port}` } },
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${slow.port}` }],
    limits: { outboundConnectionsMax: 1 },
  }),
)

// A failed test shall not leave the server waiting for the slow site.
stack.defer(() => gate.resolve())

test('a message of high priority overtakes those that wait for the one connection of a slow site', async () => {
  using client = await greeted(server.port())
  await client.startTls()
  await client.expect(250, 'EHLO client.test')
  await client.expect(235, `AUTH PLAIN ${login}`)
  await handInBy(client, { to: 'first@slow.test' })
  await queueBecomes(server, 'the first one is on its way', ([line]) => line?.state === 'active')
  for (const priority of [-3, 0, 2, 9]) await handInBy(client, { to: `p${priority}@slow.test`, mail: `MT-PRIORITY=${priority}` })
  // The list shows what is on disk as ready a moment before the scheduler hears of it; the counts are the scheduler's own.
  await eventually(15_000, 'the scheduler has all others to choose from', async () => {
    const [text = ''] = await ask<string>(server, 'metrics')
    return text.includes('rohrpost_queue{state="ready"} 4\n') ? true : undefined
  })
  gate.resolve()
  const received = await slow.received(5)
  assert.deepEqual(
    received.map(({ to }) => to[0]),
    ['first@slow.test', 'p9@slow.test', 'p2@slow.test', 'p0@slow.test', 'p-3@slow.test'],
  )
  assert.match(received[1]?.mailParameters ?? '', /MT-PRIORITY=9/, 'the next hop is told')
  assert.equal(slow.connections, 1)
})

test('strangers cannot raise a priority, and are told so; they can lower it, and our own hosts can do both', async () => {
  using client = await greeted(server.port())
  const reply = await client.expect(250, 'MAIL FROM:<x@stranger.test> MT-PRIORITY=6')
  assert.match(reply.lines.join(' '), /^2\.3\.6 0 /)
  await client.expect(250, 'RSET')
  using own = await greeted(server.port(), OURSELVES)
  await handInBy(client, { to: 'raised@home.test', mail: 'MT-PRIORITY=6' })
  await handInBy(client, { to: 'lowered@home.test', mail: 'MT-PRIORITY=-4' })
  await handInBy(own, { to: 'ours@home.test', mail: 'MT-PRIORITY=5' })
  const told = new Map((await home.received(3)).map(({ to, mailParameters }) => [to[0], /MT-PRIORITY=\S+/.exec(mailParameters)?.[0]]))
  assert.deepEqual(
    ['raised', 'lowered', 'ours'].map((name) => told.get(`${name}@home.test`)),
    [undefined, 'MT-PRIORITY=-4', 'MT-PRIORITY=5'],
  )
})
