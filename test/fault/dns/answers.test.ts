// Name servers that are silent, forge, cut off or fail, and zones that say no: temporary trouble keeps the message with a
// clear text, a clear no returns it with the right code, and nothing leaves for an address that a zone has no business with.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { replyTo, TC } from '../../support/dns.ts'
import { ScriptedDns, zoneAnswer, type DnsScript, type Zone } from '../support/scripted-dns.ts'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { ask, eventOf, events, queued, queueEmpties } from '../support/watch.ts'

/** The address of mail exchangers that may be reached; everything else on loopback may not. */
const LAB = '127.0.50.1'

const exchanger = { A: [LAB] }
const at = (name: string): Zone[string] => ({ MX: [[10, `mx.${name}`]] })

const ZONE: Zone = {
  'good.test': at('good.test'),
  'mx.good.test': exchanger,
  'implicit.test': exchanger,
  'truncated.test': at('truncated.test'),
  'mx.truncated.test': exchanger,
  'forged.test': at('forged.test'),
  'mx.forged.test': exchanger,
  'twice.test': at('twice.test'),
  'mx.twice.test': exchanger,
  'null.test': { MX: [[0, '.']] },
  'loopback.test': at('loopback.test'),
  'mx.loopback.test': { A: ['127.0.0.1'] },
  'unspecified.test': at('unspecified.test'),
  'mx.unspecified.test': { A: ['0.0.0.0'] },
  'linklocal.test': at('linklocal.test'),
  'mx.linklocal.test': { A: ['169.254.1.1'] },
  'self.test': { MX: [[10, 'mx.rohrpost.test']] },
  'lame.test': { MX: [[10, 'nowhere.test']] },
  'address.test': { MX: [[10, '127.0.0.1']] },
  'nothing.test': {},
  'silent.test': at('silent.test'),
  'mx.silent.test': exchanger,
  'failing.test': at('failing.test'),
  'mx.failing.test': exchanger,
  'garbled.test': at('garbled.test'),
  'mx.garbled.test': exchanger,
}

/** Domains whose servers have trouble until it is mended. */
const troubled = new Set(['silent.test', 'failing.test', 'garbled.test'])

const script: DnsScript = (question) => {
  const { name, protocol, query } = question
  const answer = zoneAnswer(ZONE, question)
  if (name === 'truncated.test' && protocol === 'udp') return { flags: TC }
  if (name === 'forged.test') {
    // Wrong id and wrong question first, both pointing elsewhere: the resolver waits for the true one.
    const lie = { answers: [{ name, type: 'MX', ttl: 300, data: { preference: 1, exchange: 'mx.loopback.test' } }] }
    const other = { ...lie, question: { name: 'other.test', type: 'MX' } }
    const id = ((query.readUInt16BE(0) + 1) & 0xffff) as number
    return [replyTo(query, { ...lie, id }), replyTo(query, other), replyTo(query, answer)]
  }
  if (!troubled.has(name)) return answer
  if (name === 'silent.test') return undefined
  if (name === 'failing.test') return { rcode: 2 }
  return [replyTo(query, answer).subarray(0, 20)]
}

let dns: ScriptedDns
let sink: SmtpSink
let server: Server
const ids = new Map<string, string>()

before(async () => {
  dns = await ScriptedDns.start(script)
  sink = await SmtpSink.start({ host: LAB })
  server = await startServer({
    dns: { servers: [dns.address] },
    mxPort: sink.port,
    allowHosts: [LAB],
    routes: [
      { domain: 'home.test', to: 'discard:' },
      { domain: '*', to: 'mx' },
    ],
    limits: { dnsTimeoutMs: 300 },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  for (const domain of [...Object.keys(ZONE).filter((name) => !name.startsWith('mx.')), 'missing.test']) {
    const reply = await client.send('sender@home.test', [`b@${domain}`], `Subject: ${domain}\r\n\r\nx\r\n`)
    ids.set(domain, /queued as (\w+)/.exec(reply.lines[0] ?? '')?.[1] ?? '')
  }
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
})

async function arrives(domain: string): Promise<void> {
  await sink.until(20_000, `mail for ${domain} arrives`, () => sink.messages.some(({ to }) => to[0] === `b@${domain}`))
}

for (const domain of ['good.test', 'implicit.test', 'forged.test', 'truncated.test', 'twice.test']) {
  test(`mail for ${domain} arrives`, () => arrives(domain))
}

test('a truncated answer is asked for again over TCP', async () => {
  await arrives('truncated.test')
  assert.deepEqual(
    dns.asked.filter((line) => line.endsWith('MX truncated.test')),
    ['udp MX truncated.test', 'tcp MX truncated.test'],
  )
})

/** What comes back at once, and why. */
const BOUNCES: readonly (readonly [domain: string, code: number, enhanced: string, text: RegExp])[] = [
  ['missing.test', 550, '5.1.2', /missing\.test does not exist/],
  ['null.test', 556, '5.1.10', /does not accept mail \(null MX\)/],
  ['loopback.test', 550, '5.4.4', /mx\.loopback\.test has the address 127\.0\.0\.1, which is refused/],
  ['unspecified.test', 550, '5.4.4', /0\.0\.0\.0, which is refused/],
  ['linklocal.test', 550, '5.4.4', /169\.254\.1\.1, which is refused/],
  ['self.test', 554, '5.4.6', /loops back to this server/],
  ['lame.test', 550, '5.4.4', /nowhere\.test does not exist/],
  ['address.test', 550, '5.4.4', /./],
  ['nothing.test', 550, '5.4.4', /has no address/],
]

for (const [domain, code, enhanced, text] of BOUNCES) {
  test(`mail for ${domain} is returned with ${code} ${enhanced}`, async () => {
    const event = await eventOf(server, `the bounce of ${domain}`, ({ id, type }) => id === ids.get(domain) && type === 'bounce')
    assert.deepEqual([event.code, event.enhanced], [code, enhanced])
    assert.match(event.reply, text)
    assert.ok(sink.messages.every(({ to }) => to[0] !== `b@${domain}`))
  })
}

/** What waits, and what is said of it. */
const WAITS: readonly (readonly [domain: string, text: RegExp])[] = [
  ['silent.test', /451 4\.4\.3 DNS lookup of silent\.test failed: .*no answer within 300 ms/],
  ['failing.test', /451 4\.4\.3 DNS lookup of failing\.test failed: .*SERVFAIL/],
  ['garbled.test', /451 4\.4\.3 DNS lookup of garbled\.test failed: /],
]

async function isExplained(domain: string, text: RegExp): Promise<void> {
  let said = ''
  const probe = async (): Promise<true | undefined> => {
    const [row] = await ask<{ binding: { limit: string; origin: string } | null }>(server, 'explain', { id: ids.get(domain) })
    said = `${row?.binding?.limit}: ${row?.binding?.origin}`
    return (row?.binding?.limit === 'route' && text.test(row.binding.origin)) || undefined
  }
  await eventually(20_000, `explain says ${text}`, probe, () => said)
}

test('trouble with DNS keeps the message, says why, and is over when it is mended', async () => {
  await sink.until(20_000, 'the others have arrived', () => sink.count >= 5)
  for (const [domain, text] of WAITS) await isExplained(domain, text)
  assert.deepEqual((await queued(server)).map(({ recipient }) => recipient).toSorted(), WAITS.map(([domain]) => `b@${domain}`).toSorted())
  troubled.clear()
  for (const [domain] of WAITS) {
    // A failure is remembered for a moment (RFC 9520), so that the first retry may come too early.
    await eventually(20_000, `mail for ${domain} arrives`, async () => {
      await ask(server, 'queue.retry', { domain })
      return sink.messages.some(({ to }) => to[0] === `b@${domain}`) || undefined
    })
  }
  await queueEmpties(server)
  const delays = (await events(server)).filter(({ type }) => type === 'delay')
  assert.deepEqual(delays, [], 'no attempt was counted')
})
