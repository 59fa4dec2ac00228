// trace in, trace out: live dialogues, whole, with what AUTH carries blanked and content only counted.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted, handInBy } from '../support/mail.ts'
import { Child } from '../support/process.ts'
import { base64, plain, scram } from '../support/sasl.ts'
import { ROOT, startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const PASSWORD = 'correct horse battery'

interface Line {
  readonly time: string
  readonly connection: number
  readonly direction: 'in' | 'out' | 'note'
  readonly text: string
}

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(
  await SmtpSink.start({
    tls: 'starttls',
    // One message a session, so that each message makes a new one.
    extensions: ['PIPELINING', 'AUTH PLAIN', 'LIMITS MAILMAX=1'],
    script: ({ verb }) => (verb === 'AUTH' ? '235 2.7.0 welcome\r\n' : undefined),
  }),
)
const other = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    accounts: [{ name: 'anna@home.test', password: PASSWORD }],
    allowPlaintextAuth: true,
    routes: [
      { domain: 'other.test', to: `smtp://127.0.0.1:${other.port}` },
      { domain: '*', to: `smtp://anna:${encodeURIComponent(PASSWORD)}@127.0.0.1:${sink.port}?tls=required` },
    ],
  }),
)

function lines(child: Child): Line[] {
  return child.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
}

/** A trace that has shown its first line; `poke` makes sessions happen until then. */
async function tracing(args: readonly string[], poke: () => Promise<unknown>): Promise<Child> {
  const child = new Child([process.execPath, `${ROOT}/src/rohrpost.js`, 'trace', ...args, '--json', '--config', server.configPath])
  stack.defer(async () => void (await child.stop()))
  await eventually(20_000, 'the trace begins', async () => {
    await poke()
    return child.stdout === '' ? undefined : true
  })
  return child
}

test('trace in shows sessions that match, without their secrets', async () => {
  const child = await tracing(['in', '--match', 'traced.test'], async () => {
    using client = await greeted(server.port())
    await client.expect(250, 'EHLO traced.test')
    await client.quit()
  })
  using client = await greeted(server.port())
  await client.startTls()
  await client.expect(250, 'EHLO marked.traced.test')
  await client.expect(535, `AUTH PLAIN ${plain('anna@home.test', 'wrong secret')}`)
  await client.expect(334, 'AUTH LOGIN')
  await client.expect(334, base64('anna@home.test'))
  await client.expect(535, base64('another wrong'))
  assert.equal((await scram(client, 'SCRAM-SHA-256', 'anna@home.test', PASSWORD, { hash: 'sha256' })).code, 235)
  await handInBy(client, { to: 'b@other.test' })
  await client.quit()
  using untraced = await greeted(server.port())
  await untraced.quit()
  // The sessions that made the trace begin said goodbye as well: only this one's own counts.
  const dialogue = await eventually(20_000, 'the trace of the session is whole', () => {
    const all = lines(child)
    const connection = all.find(({ text }) => text.includes('marked.traced.test'))?.connection
    const said = all.filter((line) => line.connection === connection).map(({ direction, text }) => `${direction} ${text}`)
    return said.some((line) => line.includes('closing connection')) ? said : undefined
  })
  const commands = dialogue.filter((line) => line.startsWith('in '))
  assert.deepEqual(
    commands.slice(0, 6),
    ['EHLO client.test', 'STARTTLS', 'EHLO marked.traced.test', 'AUTH PLAIN (secret)', 'AUTH LOGIN', '(secret)'].map(
      (line) => `in ${line}`,
    ),
  )
  assert.ok(commands.some((line) => line === 'in MAIL FROM:<anna@home.test>'))
  assert.ok(commands.some((line) => /^in \(\d+ bytes\)$/.test(line)))
  assert.ok(dialogue.some((line) => line.startsWith('out 250 2.0.0 queued as ')))
  const shown = Map.groupBy(lines(child), ({ connection }) => connection)
  for (const said of shown.values())
    assert.ok(
      said.some(({ text }) => text.includes('traced.test')),
      'sessions that do not match are not shown',
    )
  for (const secret of [base64('another wrong'), plain('anna@home.test', 'wrong secret'), 'hello\\r', 'Subject'])
    assert.ok(!child.stdout.includes(secret), secret)
})

test('trace out shows the message that somebody looks for, by recipient or tenant, on a connection that others use too', async () => {
  const hand = async (to: string): Promise<void> => {
    using client = await greeted(server.port())
    const before = other.count
    await handInBy(client, { to })
    await other.received(before + 1)
  }
  const child = await tracing(['out', '--match', 'wanted@other.test'], async () => {
    await hand('unwanted-1@other.test')
    await hand('Wanted@other.test')
    await hand('unwanted-2@other.test')
  })
  // Rows come on their own way: the sink may have the message before they are shown.
  await child.prints(/RCPT TO:<Wanted@/)
  const dialogue = lines(child).map(({ direction, text }) => `${direction} ${text}`)
  assert.match(dialogue[0] ?? '', /^note message [0-9a-z]+ .*from <\S+> to <Wanted@other\.test>$/)
  assert.ok(dialogue.includes('out RCPT TO:<Wanted@other.test>'), dialogue.join('\n'))
  assert.ok(!child.stdout.includes('unwanted'), child.stdout)
})

test('trace out shows deliveries to a site, without our password', async () => {
  const child = await tracing(['out', '--match', String(sink.port)], async () => {
    using client = await greeted(server.port())
    const before = sink.count
    await handInBy(client, { to: 'b@smart.test' })
    await handInBy(client, { to: 'b@other.test' })
    await sink.received(before + 1)
  })
  // The first one may have been joined in the middle.
  using client = await greeted(server.port())
  await handInBy(client, { to: 'b@smart.test' })
  await child.prints(/"out","text":"STARTTLS"[^]*"out","text":"QUIT"/)
  const dialogue = lines(child).map(({ direction, text }) => `${direction} ${text}`)
  for (const expected of ['out STARTTLS', 'out RCPT TO:<b@smart.test>', 'in 235 2.7.0 welcome', 'in 250 2.0.0 kept'])
    assert.ok(dialogue.includes(expected), `${expected} is missing:\n${dialogue.join('\n')}`)
  assert.match(dialogue.find((line) => line.startsWith('out AUTH')) ?? '', /^out AUTH PLAIN \S*\*+$/)
  assert.ok(!child.stdout.includes(plain('anna', PASSWORD)) && !child.stdout.includes('b@other.test'))
  assert.ok(lines(child).every(({ time }) => !Number.isNaN(Date.parse(time))))
})
