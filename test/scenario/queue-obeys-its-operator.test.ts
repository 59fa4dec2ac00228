// queue list, hold, release, retry, remove, bounce: what an operator asks for is done, seen, and survives a restart.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueBecomes, queueIsTried, queueList } from '../support/control.ts'
import { handIn } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { reportOf } from '../support/report.ts'
import { startServer, type Server } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const FIELDS = ['id', 'sender', 'recipient', 'tenant', 'class', 'site', 'state', 'attempts', 'nextAttempt', 'expires', 'bytes', 'lastReply']

let later = true

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('operator'))
const home = stack.use(await SmtpSink.start())
const sink = stack.use(await SmtpSink.start({ script: ({ verb }) => (verb === 'RCPT' && later ? '450 4.2.1 not now\r\n' : undefined) }))
const sent: string[] = []
const gate = Promise.withResolvers<void>()
const gated = stack.use(
  await SmtpSink.start({
    wait: () => gate.promise,
    script: ({ verb, line }) => {
      if (verb === 'MAIL') sent.push(line)
      return verb === 'content' ? '451 4.3.0 not now\r\n' : undefined
    },
  }),
)
const config = {
  routes: [
    { domain: 'gated.test', to: `smtp://127.0.0.1:${gated.port}` },
    { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
    { domain: '*', to: `smtp://127.0.0.1:${sink.port}` },
  ],
  retry: { first: '1h', max: '4h', expire: '2d' },
}
let server: Server = await startServer(config, folder.path)
stack.defer(() => server[Symbol.asyncDispose]())
stack.defer(() => gate.resolve())

async function json(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await server.command(...args, '--json')
  assert.equal(code, 0, stderr)
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function states(): Promise<Record<string, string>> {
  return Object.fromEntries((await queueList(server)).map(({ recipient, state }) => [recipient, state]))
}

test('queue list tells everything of a recipient that waits', async () => {
  const before = Date.now()
  const id = await handIn(server, { to: ['a@x.test', 'b@x.test'] })
  await queueIsTried(server, 2)
  const [first, second] = await json('queue', 'list')
  assert.deepEqual(Object.keys(first ?? {}), FIELDS)
  assert.deepEqual([first?.['id'], first?.['recipient'], second?.['recipient']], [id, 'a@x.test', 'b@x.test'])
  const { sender, tenant, class: cls, site, state, lastReply } = first as Record<string, unknown>
  assert.deepEqual(
    [sender, tenant, cls, site, state, lastReply],
    ['anna@home.test', '', 'bulk', `smtp://127.0.0.1:${sink.port}`, 'scheduled', '450 4.2.1 not now'],
  )
  const hours = (text: unknown): number => (Date.parse(String(text)) - before) / 3_600_000
  assert.ok(hours(first?.['nextAttempt']) > 0.8 && hours(first?.['nextAttempt']) < 1.2)
  assert.ok(hours(first?.['expires']) > 47.9 && hours(first?.['expires']) < 48.1)
  assert.ok((first?.['bytes'] as number) > 100)
})

test('filters choose by id, domain, sender, recipient, site and state; nothing that matches is a finding', async () => {
  await handIn(server, { from: 'chef@home.test', to: 'c@y.test' })
  await queueIsTried(server, 3)
  const count = async (...filter: string[]): Promise<number> => (await json('queue', 'list', ...filter)).length
  assert.equal(await count('--domain', 'X.test'), 2)
  assert.equal(await count('--sender', 'chef@home.test'), 1)
  assert.equal(await count('--recipient', 'b@x.test', '--state', 'scheduled'), 1)
  assert.equal(await count('--older', '0s'), 3)
  assert.equal(await count('--older', '2h', '--sender', 'chef@home.test'), 0)
  assert.equal((await server.command('queue', 'list', '--older', 'soon')).code, 2)
  assert.equal(await count('--site', `smtp://127.0.0.1:${sink.port}`, '--state', 'held'), 0)
  assert.equal((await server.command('queue', 'hold', '--domain', 'nowhere.test')).code, 1)
  assert.equal((await server.command('queue', 'remove')).code, 2, 'not everything by mistake')
  assert.equal((await server.command('queue', 'list', '--state', 'asleep')).code, 2)
})

test('hold keeps messages from being tried, over a restart too; without a server the list is read from the spool', async () => {
  const [{ changed } = {}] = await json('queue', 'hold', '--domain', 'y.test')
  assert.equal(changed, 1)
  assert.deepEqual(await states(), { 'a@x.test': 'scheduled', 'b@x.test': 'scheduled', 'c@y.test': 'held' })
  assert.equal((await queueList(server, { recipient: 'c@y.test' }))[0]?.nextAttempt, '')
  assert.equal(await server.stop(), 0)
  const offline = await json('queue', 'list')
  assert.deepEqual(Object.fromEntries(offline.map(({ recipient, state }) => [recipient, state])), {
    'a@x.test': 'scheduled',
    'b@x.test': 'scheduled',
    'c@y.test': 'held',
  })
  assert.equal((await server.command('queue', 'release', '--all')).code, 69)
  server = await startServer(config, folder.path)
  await queueBecomes(server, 'all is known again', (lines) => lines.length === 3)
  assert.equal((await states())['c@y.test'], 'held')
  later = false
  const retried = await server.command('queue', 'retry', '--all')
  assert.deepEqual([retried.code, retried.stdout], [0, '1 to be tried now; 1 held, to be tried when released\n'])
  await sink.received(1)
  assert.deepEqual(sink.messages[0]?.to, ['a@x.test', 'b@x.test'])
  await queueBecomes(server, 'what is held stays', (lines) => lines.length === 1 && lines[0]?.recipient === 'c@y.test')
  assert.deepEqual(await states(), { 'c@y.test': 'held' })
})

test('release lets them go', async () => {
  // The retry above held for it too: it is due.
  await json('queue', 'release', '--recipient', 'c@y.test')
  await sink.received(2)
  assert.deepEqual(sink.messages[1]?.to, ['c@y.test'])
})

test('remove takes messages out without a word, bounce tells the sender', async () => {
  later = true
  await handIn(server, { to: 'removed@x.test' })
  await handIn(server, { to: 'bounced@x.test' })
  await queueIsTried(server, 2)
  await json('queue', 'remove', '--recipient', 'removed@x.test')
  await json('queue', 'bounce', '--recipient', 'bounced@x.test', '--reason', 'the campaign was called off')
  const report = reportOf((await home.received(1))[0]?.data as Buffer)
  assert.deepEqual(
    report.recipients.map((fields) => [fields.get('final-recipient'), fields.get('status')]),
    [['rfc822; bounced@x.test', '5.0.0']],
  )
  assert.equal(report.recipients[0]?.get('diagnostic-code'), 'x-rohrpost; the campaign was called off')
  await queueBecomes(server, 'nothing is left', (lines) => lines.length === 0)
  assert.equal(home.count, 1)
})

test('who is removed or bounced alone takes nobody along', async () => {
  later = true
  const before = home.count
  const id = await handIn(server, { to: ['one@x.test', 'two@x.test', 'three@x.test'] })
  await queueIsTried(server, 3)
  await json('queue', 'remove', '--recipient', 'one@x.test')
  await json('queue', 'bounce', '--recipient', 'two@x.test')
  const report = reportOf((await home.received(before + 1))[before]?.data as Buffer)
  // The report waits in the queue itself until its settlement is committed.
  await queueBecomes(server, 'the report has left', (lines) => lines.length === 1)
  assert.deepEqual(await states(), { 'three@x.test': 'scheduled' })
  assert.deepEqual(
    report.recipients.map((fields) => fields.get('final-recipient')),
    ['rfc822; two@x.test'],
  )
  assert.equal((await server.command('queue', 'remove', '--recipient', 'one@x.test')).code, 1, 'it is gone')
  later = false
  const count = sink.count
  await json('queue', 'retry', '--id', id)
  assert.deepEqual((await sink.received(count + 1))[count]?.to, ['three@x.test'])
  await queueBecomes(server, 'nothing is left', (lines) => lines.length === 0)
  assert.equal(home.count, before + 1)
})

test('what is on its way stays so when the operator speaks, and is never sent twice', async () => {
  for (const name of ['held', 'retried', 'removed']) await handIn(server, { to: `${name}@gated.test` })
  await queueBecomes(server, 'all are on their way', (lines) => lines.length === 3 && lines.every(({ state }) => state === 'active'))
  await json('queue', 'hold', '--recipient', 'held@gated.test')
  await json('queue', 'retry', '--recipient', 'retried@gated.test')
  await json('queue', 'remove', '--recipient', 'removed@gated.test')
  const bounce = await server.command('queue', 'bounce', '--recipient', 'retried@gated.test')
  assert.deepEqual([bounce.code, bounce.stdout], [1, '0 bounced; 1 on their way were left alone\n'], 'it may arrive')
  assert.deepEqual(await states(), { 'held@gated.test': 'active', 'retried@gated.test': 'active' })
  gate.resolve()
  const ended = await queueIsTried(server, 2)
  assert.deepEqual(Object.fromEntries(ended.map(({ recipient, state }) => [recipient, state])), {
    'held@gated.test': 'held',
    'retried@gated.test': 'scheduled',
  })
  assert.equal(sent.length, 3, 'each went out once')
  assert.equal(home.count, 2)
})
