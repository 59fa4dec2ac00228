// One message that a server cannot bear, among many that it can: whatever it does to the connection, the message waits for
// its own next attempt, and all others go on at once over a new connection. Only a server that does so again and again is
// left alone for a while.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { QueueLine } from '../../../src/admin/queue-rows.ts'
import { queueBecomes } from '../../support/control.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { eventually } from '../../support/wait.ts'
import { Lab, type Scenario } from '../support/lab.ts'
import type { Act, Asked, Behaviour } from '../support/peer.ts'
import { ask, events, eventOf, logs, queueEmpties, queued } from '../support/watch.ts'

/** A message that was put off, and a site that was backed off for a minute, are not tried again while a test lasts. */
const RETRY = { first: '1h', max: '4h', expire: '5d', warnAfter: false }
const SECONDS_MS = 30_000
const GOOD = 10

const ACTS: Readonly<Record<string, { readonly act: string | Act; readonly text: RegExp }>> = {
  garbage: { act: 'oops\r\n', text: /the server answered with garbage: not an SMTP reply: oops/ },
  control: { act: '\0\x1b[2J\r\n', text: /the server answered with garbage: not an SMTP reply: \?\?\[2J/ },
  'huge-line': { act: `550 ${'x'.repeat(100_000)}\r\n`, text: /the server answered with garbage: reply line too long: 550 x/ },
  'endless-reply': { act: '550-no\r\n'.repeat(20_000), text: /the server answered with garbage: reply has too many lines/ },
  '421': { act: { say: '421 4.3.0 that was too much\r\n', then: 'close' }, text: /that was too much/ },
  cut: { act: { then: 'cut' }, text: /connection lost/ },
  half: { act: { say: '25', then: 'close' }, text: /connection lost/ },
}

/** Does `act` where it is asked `verb` in the transaction of the poisonous message. */
function poisonedAt(verb: string, act: string | Act): Behaviour {
  const poisoned = new Set<number>()
  return ({ verb: asked, line, connection }) => {
    if (asked === 'MAIL') poisoned.delete(connection)
    if (line.includes('<poison@')) poisoned.add(connection)
    return asked === verb && poisoned.has(connection) ? act : undefined
  }
}

interface Poison extends Scenario {
  readonly text: RegExp
}

const POISONS: readonly Poison[] = ['MAIL', 'RCPT', 'DATA', 'content'].flatMap((verb) =>
  Object.entries(ACTS).flatMap(([how, { act, text }]) =>
    [true, false].map((pipelining) => ({
      name: `${how}-at-${verb.toLowerCase()}${pipelining ? '' : '-in-lockstep'}`,
      behaviour: poisonedAt(verb, act),
      options: { extensions: pipelining ? ['PIPELINING', '8BITMIME'] : ['8BITMIME'] },
      text,
    })),
  ),
)

/** For each of `names` some good messages, with a poisonous one among them. */
async function submit(lab: Lab, names: readonly string[]): Promise<void> {
  using client = await SmtpClient.connect(lab.server.port())
  await client.expect(250, 'EHLO lab.test')
  for (const name of names) {
    for (let n = 0; n <= GOOD; n++) {
      const who = n === 2 ? 'poison' : `good${n}`
      const reply = await client.send(`${who}@example.org`, [`${who}@${name}.test`], `Subject: ${who}\r\n\r\nx\r\n`)
      assert.equal(reply.code, 250)
    }
  }
}

let lab: Lab

before(async () => {
  lab = await Lab.start(POISONS, { retry: RETRY })
  await submit(
    lab,
    POISONS.map(({ name }) => name),
  )
})

after(() => lab[Symbol.asyncDispose]())

for (const { name, text } of POISONS) {
  test(`${name}: the good messages arrive within seconds, the poisonous one waits and says why`, async () => {
    const recipient = `poison@${name}.test`
    const taken = await lab.peer(name).takes(GOOD, SECONDS_MS)
    assert.ok(taken.every(({ to }) => to[0] !== recipient))
    const delay = await eventOf(lab.server, `a delay of ${recipient}`, (event) => event.type === 'delay' && event.recipient === recipient)
    assert.match(delay.reply, text)
    const isUnknown = name.includes('-at-content') && !name.startsWith('421')
    assert.equal(/it may arrive twice/.test(delay.reply), isUnknown, delay.reply)
  })
}

test('each good message arrived once, no site was backed off, and only poison is left, with one attempt', async () => {
  for (const { name } of POISONS) assert.equal(lab.peer(name).taken.length, GOOD, name)
  assert.doesNotMatch(lab.server.child.stderr, /site backed off/)
  const left = await queued(lab.server)
  assert.deepEqual(
    left.map(({ recipient, attempts, state }) => `${recipient} ${state} ${attempts}`).toSorted(),
    POISONS.map(({ name }) => `poison@${name}.test scheduled 1`).toSorted(),
  )
  const delays = (await events(lab.server)).filter(({ type }) => type === 'delay')
  assert.equal(delays.length, POISONS.length)
})

/** The server bears all recipients of a message but one. */
const RECIPIENTS: readonly Scenario[] = Object.entries(ACTS).flatMap(([how, { act }]) =>
  [true, false].map((pipelining) => ({
    name: `${how}${pipelining ? '' : '-in-lockstep'}`,
    behaviour: ({ verb, line }: Asked) => (verb === 'RCPT' && line.includes('<poison@') ? act : undefined),
    options: { extensions: pipelining ? ['PIPELINING', '8BITMIME'] : ['8BITMIME'] },
  })),
)

test('a recipient that breaks the connection does not keep the message from the others', async () => {
  await using own = await Lab.start(RECIPIENTS, { retry: { first: '100ms', max: '1h', expire: '5d', warnAfter: false } })
  using client = await SmtpClient.connect(own.server.port())
  await client.expect(250, 'EHLO lab.test')
  const names = RECIPIENTS.map(({ name }) => name)
  for (const name of names) {
    const to = ['one', 'poison', 'two', 'three'].map((who) => `${who}@${name}.test`)
    assert.equal((await client.send('sender@example.org', to, 'Subject: all\r\n\r\nx\r\n')).code, 250)
  }
  for (const name of names) {
    const [taken] = await own.peer(name).takes(1, SECONDS_MS)
    assert.deepEqual(
      [...(taken?.to ?? [])].toSorted(byText),
      ['one', 'three', 'two'].map((who) => `${who}@${name}.test`),
    )
  }
  // A message is settled when its last transaction of this attempt is over.
  await eventually(SECONDS_MS, 'only poison is left', async () => {
    const left = (await queued(own.server)).map(({ recipient }) => recipient)
    return (left.length === names.length && left.every((recipient) => recipient.startsWith('poison@'))) || undefined
  })
  for (const name of names) assert.equal(own.peer(name).contents, 1, name)
})

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

test('a server that wants a new connection after each two messages gets it, and nothing is delayed', async () => {
  const mails = new Map<number, number>()
  const behaviour: Behaviour = ({ verb, connection }) => {
    if (verb !== 'MAIL') return undefined
    mails.set(connection, (mails.get(connection) ?? 0) + 1)
    return (mails.get(connection) ?? 0) > 2 ? { say: '421 4.7.0 enough for now\r\n', then: 'close' } : undefined
  }
  await using own = await Lab.start([{ name: 'two-each', behaviour }], { retry: RETRY })
  await own.submit(Array.from({ length: 20 }, () => 'two-each'))
  await own.peer('two-each').takes(20, SECONDS_MS)
  await queueEmpties(own.server)
  assert.doesNotMatch(own.server.child.stderr, /site backed off/)
  assert.deepEqual(
    (await events(own.server)).filter(({ type }) => type === 'delay'),
    [],
  )
})

interface Explained {
  readonly binding: { readonly limit: string; readonly value: string; readonly origin: string } | null
}

test('a server that breaks off each connection is backed off after a few, and explain says so', async () => {
  const behaviour: Behaviour = ({ verb }) => (verb === 'RCPT' ? { say: '421 4.3.0 broken\r\n', then: 'close' } : undefined)
  await using own = await Lab.start([{ name: 'broken', behaviour }], { retry: RETRY })
  await own.submit(Array.from({ length: 20 }, () => 'broken'))
  const record = JSON.parse(await logs(own.server, /421.*broken.*site backed off/)) as { failures: number; until: string }
  assert.equal(record.failures, 1)
  const { connections, port } = own.peer('broken')
  assert.ok(connections >= 3 && connections <= 5, `${connections} connections`)
  // The site is backed off by what the scheduler hears; the outcomes of the messages are committed a moment later.
  const triedOf = (lines: readonly QueueLine[]): number => lines.filter(({ attempts }) => attempts > 0).length
  const left = await queueBecomes(own.server, 'three outcomes are on disk', (lines) => triedOf(lines) >= 3)
  assert.equal(left.length, 20)
  assert.ok(triedOf(left) <= connections, `${triedOf(left)} were tried over ${connections} connections`)
  const { id = '' } = left.find(({ attempts }) => attempts === 0) ?? {}
  const [explained] = await ask<Explained>(own.server, 'explain', { id })
  assert.deepEqual(explained?.binding, {
    limit: 'backoff',
    value: record.until,
    origin: `default at 127.0.0.1[127.0.0.1]:${port}: 421 4.3.0 broken`,
  })
})
