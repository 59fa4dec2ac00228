// Slow DNS of one domain delays nobody else: not the domains that come after it in the queue, however many messages wait.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ScriptedDns, zoneAnswer, type Zone } from '../support/scripted-dns.ts'
import { startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { queued, queueEmpties } from '../support/watch.ts'

const LAB = '127.0.51.1'
const SLOW_DOMAINS = 300
const ZONE: Zone = {
  'fast.test': { MX: [[10, 'mx.fast.test']] },
  'mx.fast.test': { A: [LAB] },
}

test(`${SLOW_DOMAINS} domains whose DNS is slow do not delay one whose DNS is not`, async () => {
  const release: (() => void)[] = []
  const waits = new Promise<void>((resolve) => release.push(resolve))
  await using dns = await ScriptedDns.start(async (question) => {
    if (!question.name.endsWith('slow.test')) return zoneAnswer(ZONE, question)
    await waits
    return question.type === 'MX'
      ? { answers: [{ name: question.name, type: 'MX', ttl: 300, data: { preference: 10, exchange: 'mx.fast.test' } }] }
      : {}
  })
  await using sink = await SmtpSink.start({ host: LAB })
  await using server = await startServer({
    dns: { servers: [dns.address] },
    mxPort: sink.port,
    allowHosts: [LAB],
    routes: [{ domain: '*', to: 'mx' }],
    limits: { dnsTimeoutMs: '20s' },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  const send = async (domain: string): Promise<void> => {
    assert.equal((await client.send('a@example.org', [`b@${domain}`], 'Subject: x\r\n\r\nx\r\n')).code, 250)
  }
  for (let n = 0; n < SLOW_DOMAINS; n++) await send(`d${n}.slow.test`)
  for (let n = 0; n < 20; n++) await send('fast.test')
  await sink.received(20, 10_000)
  assert.ok(sink.messages.every(({ to }) => to[0] === 'b@fast.test'))
  const waiting = (await queued(server)).filter(({ recipient }) => recipient.endsWith('.slow.test'))
  assert.equal(waiting.length, SLOW_DOMAINS)
  for (const go of release) go()
  await sink.received(20 + SLOW_DOMAINS)
  await queueEmpties(server)
})
