// Routes that end here, and lists of places to hand mail on to: discard:, capture:DIR, lmtp://.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { queueIsEmpty } from '../support/control.ts'
import { handIn, HELLO } from '../support/mail.ts'
import { freePort } from '../support/ports.ts'
import { TempFolder } from '../support/process.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('capture'))
const maildir = join(folder.path, 'mail')
const store = stack.use(await SmtpSink.start({ protocol: 'lmtp' }))
const server = stack.use(
  await startServer({
    domains: { 'ours.test': { deliverTo: [`lmtp://127.0.0.1:${await freePort()}`, `lmtp://127.0.0.1:${store.port}`] } },
    routes: [
      { domain: 'gone.test', to: 'discard:' },
      { domain: '*.kept.test', to: `capture:${maildir}` },
    ],
  }),
)

test('discard: takes everything and keeps nothing', async () => {
  await handIn(server, { to: ['a@gone.test', 'b@gone.test'] })
  await queueIsEmpty(server)
  const { stdout } = await server.command('events', 'tail', '--json')
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    events.filter(({ type }) => type === 'delivery').map(({ recipient, site }) => [recipient, site]),
    [
      ['a@gone.test', 'discard:'],
      ['b@gone.test', 'discard:'],
    ],
  )
})

test('capture: writes a Maildir with the envelope in front of the content', async () => {
  const id = await handIn(server, { to: ['a@x.kept.test', 'b@x.kept.test'] })
  await queueIsEmpty(server)
  const names = readdirSync(join(maildir, 'new'))
  assert.equal(names.length, 1)
  const [name] = names as [string]
  assert.match(name, new RegExp(`^\\d+\\.${id}_\\d+_\\d+\\.mx\\.rohrpost\\.test$`))
  const text = readFileSync(join(maildir, 'new', name), 'utf8')
  assert.ok(text.startsWith('Return-Path: <anna@home.test>\r\nDelivered-To: a@x.kept.test\r\nDelivered-To: b@x.kept.test\r\nReceived: '))
  assert.ok(text.endsWith(HELLO))
  assert.deepEqual(readdirSync(join(maildir, 'tmp')), [])
  assert.ok(existsSync(join(maildir, 'cur')))
})

test('a list of places is tried in its order: the first is dead, the second gets the mail', async () => {
  await handIn(server, { to: ['a@ours.test', 'b@ours.test'] })
  const [received] = await store.received(1)
  assert.deepEqual(received?.to, ['a@ours.test', 'b@ours.test'])
  assert.equal(store.connections, 1)
})
