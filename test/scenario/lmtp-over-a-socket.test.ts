// LMTP over a socket on this machine, as Dovecot and Cyrus offer it: a route `lmtp:/PATH`.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { explanation, queueBecomes, queueIsEmpty, queueIsTried } from '../support/control.ts'
import { handIn, HELLO } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { reportOf } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('lmtp'))
const path = join(folder.path, 'lmtp')
const plainFile = join(folder.path, 'file')
writeFileSync(plainFile, '')
const home = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    domains: {
      'ours.test': { deliverTo: `lmtp:${path}` },
      'wrong.test': { deliverTo: `lmtp:${plainFile}` },
    },
    routes: [{ domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` }],
  }),
)

test('mail waits while there is no socket, explain says so, and goes once there is one', async () => {
  const id = await handIn(server, { to: 'early@ours.test', content: `${HELLO}..\r\n...two\r\n` })
  await queueBecomes(server, 'the site is backed off', ([line]) => line?.lastReply.includes('ENOENT') === true)
  const { binding } = await explanation(server, id)
  assert.equal(binding?.limit, 'backoff')
  assert.match(binding.origin, new RegExp(`at ${path}: .*cannot connect to ${path}: there is no such socket \\(ENOENT\\)$`))
  const script = ({ verb }: { readonly verb: string }): string | undefined =>
    verb === 'content' && store.count > 0 ? '250 2.0.0 kept\r\n552 5.2.2 mailbox is full\r\n451 4.2.0 mailbox is locked\r\n' : undefined
  const store: SmtpSink = stack.use(await SmtpSink.start({ protocol: 'lmtp', path, script }))
  await server.command('queue', 'retry', '--id', id)
  const [early] = await store.received(1)
  assert.equal(early?.data.toString('latin1').endsWith(`${HELLO}.\r\n..two\r\n`), true)
  await queueIsEmpty(server)

  await handIn(server, { to: ['a@ours.test', 'b@ours.test', 'c@ours.test'] })
  const [waiting] = await queueIsTried(server, 1)
  assert.deepEqual([waiting?.recipient, waiting?.site, waiting?.lastReply], ['c@ours.test', `lmtp:${path}`, '451 4.2.0 mailbox is locked'])
  const [bounce] = await home.received(1)
  const report = reportOf(bounce?.data as Buffer)
  assert.deepEqual(
    report.recipients.map((fields) => [fields.get('final-recipient'), fields.get('status'), fields.get('remote-mta')]),
    [['rfc822; b@ours.test', '5.2.2', undefined]],
  )
  assert.doesNotMatch(String(bounce?.data), new RegExp(folder.path))
})

test('a path that is no socket is told apart from one that is missing', async () => {
  await handIn(server, { to: 'a@wrong.test' })
  await queueBecomes(server, 'the site is backed off', (lines) => lines.some(({ lastReply }) => lastReply.includes('ECONNREFUSED')))
})
