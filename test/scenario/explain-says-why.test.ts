// explain: one answer to "why is this message not moving?", and to "what became of it?". Back-off is told about in
// ailing-site-is-backed-off, DNS in mail-exchangers-in-order.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueBecomes, queueIsEmpty, queueIsTried } from '../support/control.ts'
import { handIn } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

interface Explained {
  readonly state: string
  readonly nextAttempt: string
  readonly binding: { readonly limit: string; readonly value: string; readonly origin: string } | null
  readonly lastReply: string
  readonly history: readonly { readonly type: string; readonly recipient: string; readonly attempt: number; readonly reply: string }[]
}

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(
  await SmtpSink.start({ script: ({ verb, line }) => (verb === 'RCPT' && line.includes('later') ? '450 4.2.1 not now\r\n' : undefined) }),
)
const server = stack.use(
  await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }], retry: { first: '1h', max: '4h', expire: '2d' } }),
)

async function explain(id: string): Promise<Explained> {
  const { code, stdout, stderr } = await server.command('explain', id, '--json')
  assert.equal(code, 0, stderr)
  const answer = JSON.parse(stdout) as Explained
  for (const field of ['state', 'nextAttempt', 'binding', 'lastReply', 'history']) assert.ok(field in answer, field)
  return answer
}

function types({ history }: Explained): string[] {
  return history.map(({ type, attempt }) => (attempt === 0 ? type : `${type} ${attempt}`))
}

test('a message that was put off is due again at a time', async () => {
  const id = await handIn(server, { to: 'later@x.test' })
  const [line] = await queueIsTried(server, 1, { id })
  const answer = await explain(id)
  assert.equal(answer.state, 'scheduled')
  assert.deepEqual(answer.binding, { limit: 'due', value: answer.nextAttempt, origin: 'retry' })
  assert.equal(answer.nextAttempt, line?.nextAttempt)
  assert.equal(answer.lastReply, '450 4.2.1 not now')
  assert.deepEqual(types(answer), ['reception', 'delay 1'])
})

test('a held message waits for the operator', async () => {
  const id = await handIn(server, { to: 'later2@x.test' })
  await queueIsTried(server, 1, { id })
  await server.command('queue', 'hold', '--id', id)
  const answer = await explain(id)
  assert.deepEqual([answer.state, answer.nextAttempt], ['held', ''])
  assert.deepEqual(answer.binding, { limit: 'held', value: 'until released', origin: 'operator' })
  assert.deepEqual(types(answer), ['reception', 'delay 1', 'admin 1'])
  const text = (await server.command('explain', id)).stdout
  assert.match(text, /^waits for +held = until released \(operator\)$/m)
})

test('a delivered message is done, with its history', async () => {
  const id = await handIn(server, { to: 'now@x.test' })
  await sink.until(10_000, 'the message', () => sink.messages.some(({ to }) => to.includes('now@x.test')))
  await queueBecomes(server, 'it has left', (lines) => lines.every((line) => line.id !== id))
  const answer = await explain(id)
  assert.deepEqual([answer.state, answer.nextAttempt, answer.binding], ['done', '', null])
  assert.deepEqual(types(answer), ['reception', 'delivery 1'])
  assert.equal(answer.lastReply, '250 2.0.0 kept')
})

test('a message to several domains tells of each what concerns it', async () => {
  const id = await handIn(server, { to: ['later3@x.test', 'now2@x.test', 'now@y.test', 'later@z.test'] })
  await queueIsTried(server, 2, { id })
  const { stdout } = await server.command('explain', id, '--json')
  const rows = stdout.split('\n').filter((line) => line !== '')
  const told = rows.map((line) => {
    const { state, history } = JSON.parse(line) as Explained
    return [state, [...new Set(history.map(({ recipient }) => recipient))].sort().join(' ')]
  })
  assert.deepEqual(told, [
    ['scheduled', 'later3@x.test now2@x.test'],
    ['scheduled', 'later@z.test'],
    ['done', 'now@y.test'],
  ])
})

test('nothing is known of an unknown id; what is no id is a mistake', async () => {
  const unknown = await server.command('explain', '0zzzzzzzzzz')
  assert.deepEqual([unknown.code, unknown.stdout], [1, ''])
  assert.match(unknown.stderr, /nothing is known of 0zzzzzzzzzz/)
  assert.equal((await server.command('explain', 'no-id')).code, 2)
  await server.command('queue', 'remove', '--all')
  await queueIsEmpty(server)
})
