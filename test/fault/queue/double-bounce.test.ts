// A report that cannot be delivered is dropped, with an event that says so: never a report about a report (RFC 5321 §6.1),
// and so no loop, whatever the addresses are.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { Peer } from '../support/peer.ts'
import { events, queueEmpties } from '../support/watch.ts'

test('bounces of bounces are dropped with an event', async () => {
  const rejected: string[] = []
  await using peer = await Peer.start(({ verb, line }) => {
    if (verb === 'MAIL') rejected.push(line)
    return verb === 'RCPT' ? '550 5.1.1 nobody is here\r\n' : undefined
  })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }] })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  const send = async (from: string, to: string): Promise<void> => {
    assert.equal((await client.send(from, [to], 'Subject: x\r\n\r\nx\r\n')).code, 250)
  }
  await send('sender@bad.test', 'recipient@bad.test')
  // To itself, and from us: the ways in which loops begin.
  await send('same@bad.test', 'same@bad.test')
  await send('postmaster@mx.rohrpost.test', 'recipient@bad.test')
  await send('', 'nobody@bad.test')
  await queueEmpties(server)
  const bounces = (await events(server)).filter(({ type }) => type === 'bounce')
  const about = bounces.map(({ recipient }) => recipient).toSorted()
  const reports = ['postmaster@mx.rohrpost.test', 'same@bad.test', 'sender@bad.test']
  assert.deepEqual(about, [...reports, 'nobody@bad.test', 'recipient@bad.test', 'recipient@bad.test', 'same@bad.test'].toSorted())
  for (const { code, enhanced, reply } of bounces) assert.equal(`${code} ${enhanced} ${reply}`, '550 5.1.1 nobody is here')
  const nulls = rejected.filter((line) => line.startsWith('MAIL FROM:<>'))
  assert.equal(nulls.length, reports.length + 1, 'three reports and the message that had no sender')
  assert.equal(rejected.length, 7)
})

test('a report that is put off expires in silence', async () => {
  await using peer = await Peer.start(({ verb, line }) => {
    if (verb !== 'RCPT') return undefined
    return line.includes('sender@') ? '450 4.2.0 later\r\n' : '550 5.1.1 nobody is here\r\n'
  })
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }],
    retry: { first: '200ms', max: '400ms', expire: '2s', warnAfter: '500ms' },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  await client.send('sender@bad.test', ['recipient@bad.test'], 'Subject: x\r\n\r\nx\r\n')
  await queueEmpties(server)
  const ended = (await events(server)).filter(({ type }) => type === 'bounce' || type === 'expiry')
  assert.deepEqual(
    ended.map(({ type, recipient }) => `${type} ${recipient}`),
    ['bounce recipient@bad.test', 'expiry sender@bad.test'],
  )
  assert.equal(new Set((await events(server)).map(({ id }) => id)).size, 2, 'the message and one report')
})
