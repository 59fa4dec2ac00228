// Route `mx` (RFC 5321 §5.1, RFC 7505): exchangers in order, dead ones passed over, silence waits, nonsense bounces,
// and nothing goes where a foreign zone has no business to send us.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { explanation, queueBecomes } from '../support/control.ts'
import { DnsServer } from '../support/dns-server.ts'
import { handIn } from '../support/mail.ts'
import { freePort } from '../support/ports.ts'
import { reportOf, type DsnReport } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const home = stack.use(await SmtpSink.start())
const port = await freePort('127.0.0.2')
const first = stack.use(await SmtpSink.start({ host: '127.0.0.2', port }))
const second = stack.use(await SmtpSink.start({ host: '127.0.0.3', port }))
const dns = stack.use(
  await DnsServer.start({
    records: [
      'one.mx.test A 127.0.0.2',
      'two.mx.test A 127.0.0.3',
      'dead.mx.test A 127.0.0.9',
      'order.test MX 20 one.mx.test',
      'order.test MX 30 two.mx.test',
      'down.test MX 10 dead.mx.test',
      'down.test MX 20 two.mx.test',
      'nodns.test MX 10 missing.mx.test',
      'nodns.test MX 20 one.mx.test',
      'plain.test A 127.0.0.2',
      'null.test MX 0 .',
      'inward.test MX 10 evil.mx.test',
      'evil.mx.test A 127.1.1.1',
      'self.test MX 10 mx.rohrpost.test',
      'same.test MX 20 one.mx.test',
      'same.test MX 30 two.mx.test',
    ],
    silent: ['silent.test'],
  }),
)
const server = stack.use(
  await startServer({
    routes: [
      { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
      { domain: '*', to: 'mx' },
    ],
    dns: { servers: [dns.address] },
    mxPort: port,
    limits: { dnsTimeoutMs: '1s' },
    allowHosts: ['one.mx.test', 'two.mx.test', 'dead.mx.test', 'plain.test'],
  }),
)

async function bounceOf(recipient: string): Promise<DsnReport> {
  await handIn(server, { to: recipient })
  const about = (data: Buffer): boolean => data.includes(`Final-Recipient: rfc822; ${recipient}`)
  await home.until(15_000, `a bounce of ${recipient}`, () => home.messages.some(({ data }) => about(data)))
  return reportOf(home.messages.find(({ data }) => about(data))?.data as Buffer)
}

test('the most preferred exchanger is used, and domains with the same ones share its connection', async () => {
  await handIn(server, { to: 'b@order.test' })
  await handIn(server, { to: 'b@same.test' })
  assert.deepEqual(
    (await first.received(2)).map(({ to, connection }) => [to, connection]),
    [
      [['b@order.test'], 1],
      [['b@same.test'], 1],
    ],
  )
})

test('a dead exchanger, or one without an address, is passed over', async () => {
  await handIn(server, { to: 'b@down.test' })
  assert.deepEqual((await second.received(1))[0]?.to, ['b@down.test'])
  await handIn(server, { to: 'b@nodns.test' })
  await first.until(10_000, 'the message', () => first.messages.some(({ to }) => to.includes('b@nodns.test')))
})

test('a domain without MX is its own exchanger', async () => {
  await handIn(server, { to: 'b@plain.test' })
  await first.until(10_000, 'the message', () => first.messages.some(({ to }) => to.includes('b@plain.test')))
})

test('no such domain, a null MX, and an exchanger that is ourselves bounce at once', async () => {
  const status = async (recipient: string): Promise<string | undefined> => (await bounceOf(recipient)).recipients[0]?.get('status')
  assert.equal(await status('b@nowhere.test'), '5.1.2')
  assert.equal(await status('b@null.test'), '5.1.10')
  assert.equal(await status('b@self.test'), '5.4.6')
})

test('nothing goes to loopback because a foreign zone says so', async () => {
  const report = await bounceOf('b@inward.test')
  assert.equal(report.recipients[0]?.get('status'), '5.4.4')
})

test('silent DNS blocks its domain alone, and explain says so', async () => {
  const id = await handIn(server, { to: 'b@silent.test' })
  await queueBecomes(server, 'the message waits for its route', ([line]) => line?.recipient === 'b@silent.test')
  const { state, binding, nextAttempt } = await explanation(server, id)
  assert.deepEqual([state, binding?.limit, binding?.value, binding?.origin], ['ready', 'route', 'asked', 'router, silent.test'])
  assert.ok(!Number.isNaN(Date.parse(nextAttempt)))
  const before = first.count
  await handIn(server, { to: 'c@order.test' })
  await first.received(before + 1)
  dns.zone = { records: [...dns.zone.records, 'silent.test MX 10 two.mx.test'] }
  // Where the question was given up meanwhile it is asked again.
  await server.command('queue', 'retry', '--id', id)
  await second.until(20_000, 'the message once DNS speaks', () => second.messages.some(({ to }) => to.includes('b@silent.test')))
})
