// A server that takes one recipient of many: each gets what was said of it. Those taken have their message once, those
// refused for good come back in one report, those put off are tried again, and "too many" means the next transaction.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { events, queueEmpties } from '../support/watch.ts'
import { Peer, type Behaviour } from '../support/peer.ts'

const RETRY = { first: '100ms', max: '300ms', expire: '1h', warnAfter: false }

async function sendTo(port: number, recipients: readonly string[]): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO test')
  assert.equal((await client.send('sender@home.test', recipients, 'Subject: many\r\n\r\nx\r\n')).code, 250)
}

for (const extensions of [['PIPELINING', 'ENHANCEDSTATUSCODES'], []]) {
  test(`one of ten is taken, some put off, some refused (${extensions.length > 0 ? 'with' : 'without'} PIPELINING)`, async () => {
    const asked = new Map<string, number>()
    const behaviour: Behaviour = ({ verb, line }) => {
      if (verb !== 'RCPT') return undefined
      const name = /<(\w+)/.exec(line)?.[1] ?? ''
      const times = (asked.get(name) ?? 0) + 1
      asked.set(name, times)
      if (name.startsWith('bad')) return `550 5.1.1 no ${name} here\r\n`
      if (name.startsWith('later') && times === 1) return `450 4.2.1 ${name} is busy\r\n`
      return undefined
    }
    await using peer = await Peer.start(behaviour, { extensions })
    await using home = await SmtpSink.start()
    await using server = await startServer({
      routes: [
        { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
        { domain: '*', to: `smtp://127.0.0.1:${peer.port}` },
      ],
      retry: RETRY,
    })
    const names = ['bad1', 'bad2', 'good', 'bad3', 'bad4', 'later1', 'bad5', 'bad6', 'later2', 'bad7']
    await sendTo(
      server.port(),
      names.map((name) => `${name}@many.test`),
    )
    await peer.until(20_000, 'three recipients', () => peer.taken.flatMap(({ to }) => to).length >= 3)
    await queueEmpties(server)
    assert.deepEqual(
      peer.taken.map(({ to }) => to),
      [['good@many.test'], ['later1@many.test', 'later2@many.test']],
    )
    for (const [name, times] of asked) assert.equal(times, name.startsWith('later') ? 2 : 1, name)
    const [report] = await home.received(1)
    assert.equal(home.count, 1, 'one report')
    const text = report?.data.toString('latin1') ?? ''
    assert.equal(report?.from, '')
    for (const name of names) assert.equal(text.includes(`rfc822; ${name}@many.test`), name.startsWith('bad'), name)
    assert.match(text, /Diagnostic-Code: smtp; 550 5\.1\.1 no bad1 here/)
  })
}

test('a server that takes one recipient a transaction gets as many transactions at once', async () => {
  let inTransaction = 0
  const behaviour: Behaviour = ({ verb }) => {
    if (verb === 'MAIL') inTransaction = 0
    return verb === 'RCPT' && ++inTransaction > 1 ? '452 4.5.3 one is enough\r\n' : undefined
  }
  await using peer = await Peer.start(behaviour)
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }] })
  const recipients = Array.from({ length: 10 }, (_, n) => `r${n}@many.test`)
  await sendTo(server.port(), recipients)
  await peer.takes(10)
  await queueEmpties(server)
  assert.deepEqual(peer.taken.flatMap(({ to }) => to).toSorted(), recipients.toSorted())
  assert.equal(peer.connections, 1)
  assert.deepEqual(
    (await events(server)).filter(({ type }) => type === 'delay'),
    [],
  )
})

test('a server that takes nobody has every recipient refused by what it said of each', async () => {
  await using peer = await Peer.start(({ verb, line }) => (verb === 'RCPT' ? `550 5.1.1 not ${/<(\w+)/.exec(line)?.[1]}\r\n` : undefined))
  await using server = await startServer({
    routes: [
      { domain: 'home.test', to: 'discard:' },
      { domain: '*', to: `smtp://127.0.0.1:${peer.port}` },
    ],
  })
  await sendTo(server.port(), ['x@many.test', 'y@many.test'])
  await queueEmpties(server)
  const bounces = (await events(server)).filter(({ type }) => type === 'bounce')
  assert.deepEqual(bounces.map(({ recipient, reply }) => `${recipient} ${reply}`).toSorted(), ['x@many.test not x', 'y@many.test not y'])
  assert.ok(peer.taken.every(({ to }) => to.length === 0))
})
