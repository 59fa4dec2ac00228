// XCLIENT: a proxy of ours says who its client is; everybody else does not even know the command.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { eventually } from '../support/wait.ts'
import { greeted, handInBy } from '../support/mail.ts'
import { newestReceived } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'

const PROXY = '127.0.0.2'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    relayFrom: ['198.51.100.0/24'],
    xclientFrom: [PROXY],
    accounts: [{ name: 'anna@home.test', password: 'correct horse' }],
    domains: { 'home.test': { deliverTo: `smtp://127.0.0.1:${sink.port}` } },
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
  }),
)

test('the client that the proxy names is the one that counts', async () => {
  using client = await greeted(server.port(), PROXY)
  const { lines } = await client.expect(250, 'EHLO proxy.test')
  assert.match(lines.join('\n'), /^XCLIENT NAME ADDR PORT PROTO HELO LOGIN/m)
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@foreign.test>')
  await client.expect(503, 'XCLIENT ADDR=198.51.100.7')
  await client.expect(250, 'RSET')
  await client.expect(220, 'XCLIENT ADDR=198.51.100.7 PORT=12345 HELO=laptop.test')
  await client.expect(503, 'MAIL FROM:<a@b.test>')
  await client.expect(250, 'EHLO proxy.test')
  await handInBy(client, { to: 'b@foreign.test' })
  const received = newestReceived((await sink.received(1))[0]?.data.toString() ?? '')
  assert.match(received, /^Received: from laptop\.test \(\[198\.51\.100\.7\]\) by mx\.rohrpost\.test with ESMTP /)
  await client.expect(220, 'XCLIENT ADDR=IPV6:2001:db8::1 HELO=[UNAVAILABLE]')
  await client.expect(250, 'EHLO proxy.test')
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@foreign.test>')
  await client.expect(250, 'RCPT TO:<b@home.test>')
})

test('a login is an account however its client wrote it, as with AUTH', async () => {
  for (const login of ['anna@home.test', 'Anna@Home.TEST']) {
    using client = await greeted(server.port(), PROXY)
    await client.expect(250, 'EHLO proxy.test')
    await client.expect(220, `XCLIENT ADDR=203.0.113.9 LOGIN=${login}`)
    await client.expect(250, 'EHLO proxy.test')
    await client.expect(250, 'MAIL FROM:<anna@home.test>')
    await client.expect(250, 'RCPT TO:<b@foreign.test>')
  }
})

test('refusals are booked to the client that was named', async () => {
  const source = await eventually(10_000, 'the refusal is an event', async () => {
    const { stdout } = await server.command('events', 'tail', '--json')
    const events = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { type: string; source: string })
    return events.findLast(({ type, source: from }) => type === 'rejection' && from.includes(':'))?.source
  })
  assert.equal(source, '2001:db8::1')
})

test('everybody else is told that there is no such command', async () => {
  using client = await greeted(server.port())
  const { lines } = await client.expect(250, 'EHLO client.test')
  assert.doesNotMatch(lines.join('\n'), /XCLIENT/)
  await client.expect(500, 'XCLIENT ADDR=198.51.100.7')
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@foreign.test>')
})
