// A smart host that wants AUTH: over TLS, with the password in no log, no queue and no event.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueBecomes } from '../support/control.ts'
import { handIn } from '../support/mail.ts'
import { base64, plain } from '../support/sasl.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Question } from '../support/smtp-sink.ts'

const PASSWORD = 'p@ss:w/rd'
const said: string[] = []
let authenticated = false

function demandAuth({ verb, line }: Question): string | undefined {
  said.push(line)
  if (verb === 'AUTH') return line === `AUTH PLAIN ${plain('anna', PASSWORD)}` ? ok() : '535 5.7.8 no\r\n'
  if (verb === 'MAIL') return authenticated ? undefined : '530 5.7.0 authenticate first\r\n'
  return undefined
}

function ok(): string {
  authenticated = true
  return '235 2.7.0 welcome\r\n'
}

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const extensions = ['PIPELINING', 'AUTH PLAIN']
const sink = stack.use(await SmtpSink.start({ tls: 'starttls', extensions, script: demandAuth }))
const bare = stack.use(await SmtpSink.start({ extensions, script: demandAuth }))
const url = (user: string, password: string, to: SmtpSink, more = ''): string =>
  `smtp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${to.port}${more}`
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'good.test', to: url('anna', PASSWORD, sink, '?tls=required') },
      { domain: 'wrong.test', to: url('bert', 'wrong', sink, '?tls=required') },
      { domain: 'bare.test', to: url('anna', PASSWORD, bare) },
    ],
    log: { level: 'trace' },
  }),
)

test('AUTH comes behind STARTTLS and before MAIL', async () => {
  await handIn(server, { to: 'b@good.test' })
  const [received] = await sink.received(1)
  assert.equal(received?.tls, 'TLSv1.3')
  assert.deepEqual(
    said.map((line) => line.split(/[ :]/)[0]).filter((word) => word !== ''),
    ['EHLO', 'STARTTLS', 'EHLO', 'AUTH', 'MAIL', 'RCPT', 'DATA'],
  )
})

test('a refused password keeps the mail, and says why', async () => {
  authenticated = false
  const id = await handIn(server, { to: 'b@wrong.test' })
  const summary = await queueBecomes(
    server,
    'the message waits',
    ([line]) => line?.id === id && line.state === 'ready' && line.nextAttempt > new Date().toISOString(),
  )
  assert.doesNotMatch(JSON.stringify(summary), /wrong@|:wrong/)
  const { code, stdout, stderr } = await server.command('explain', id)
  assert.deepEqual([code, stderr], [0, ''], server.child.output())
  assert.match(stdout, /535 5\.7\.8 no/)
})

test('without TLS the password is not shown', async () => {
  said.length = 0
  const id = await handIn(server, { to: 'b@bare.test' })
  await queueBecomes(server, 'the message waits', (lines) => lines.some((line) => line.id === id && line.state === 'ready'))
  await bare.idle()
  assert.ok(!said.some((line) => line.startsWith('AUTH')), said.join('\n'))
})

test('the password stands nowhere', async () => {
  const texts = [server.child.output(), (await server.command('queue', 'list', '--json')).stdout]
  texts.push((await server.command('queue', 'summary', '--json')).stdout, (await server.command('events', 'tail', '--json')).stdout)
  for (const text of texts)
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), base64(PASSWORD)]) assert.ok(!text.includes(secret))
})
