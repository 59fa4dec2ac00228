// The PROXY protocol: required from our load balancers, unknown to everybody else, and read before TLS.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { envelope, greeted, handInBy } from '../support/mail.ts'
import { newestReceived } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { caPem } from '../support/tls.ts'
import { within } from '../support/wait.ts'

const BALANCER = '127.0.0.2'
const V1 = 'PROXY TCP4 198.51.100.7 203.0.113.1 40000 25\r\n'

/** Version 2, PROXY over TCP/IPv6, from 2001:db8::7 to 2001:db8::1, with one TLV that nobody knows. */
function versionTwo(): Buffer {
  const address = (last: number): Buffer => Buffer.from(`20010db8${'00'.repeat(11)}0${last}`, 'hex')
  const ports = Buffer.from([0x9c, 0x40, 0, 25])
  const tlv = Buffer.from([0xea, 0, 2, 1, 2])
  const body = Buffer.concat([address(7), address(1), ports, tlv])
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), Buffer.from([0x21, 0x21, 0, body.length]), body])
}

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    listeners: [
      { protocol: 'smtp', port: 0, tls: 'starttls' },
      { protocol: 'smtp', name: 'smtps', port: 0, tls: 'implicit' },
    ],
    proxyFrom: [BALANCER],
    relayFrom: ['198.51.100.7', '2001:db8::/32'],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
  }),
)

/** A connection of the load balancer that begins with these bytes, whole or in pieces. */
async function balanced(header: string | Buffer, pieces = 1): Promise<SmtpClient> {
  const socket = connect({ port: server.port(), host: '127.0.0.1', localAddress: BALANCER, noDelay: true })
  await once(socket, 'connect')
  const bytes = Buffer.from(header)
  for (let n = 0; n < pieces; n++) {
    const at = (index: number): number => Math.floor((bytes.length * index) / pieces)
    await new Promise<void>((resolve) => socket.write(bytes.subarray(at(n), at(n + 1)), () => resolve()))
  }
  return SmtpClient.over(socket)
}

const HEADERS = [
  ['version 1', V1, '198.51.100.7'],
  ['version 2', versionTwo(), 'IPv6:2001:db8::7'],
] as const

for (const [name, header, address] of HEADERS) {
  test(`${name} names the client, however it is cut`, async () => {
    for (const pieces of [1, header.length]) {
      const before = sink.count
      using client = await balanced(header, pieces)
      await client.expect(250, 'EHLO client.test')
      await handInBy(client, { to: 'b@c.test' })
      await sink.received(before + 1)
      assert.ok(newestReceived(sink.messages[before]?.data.toString() ?? '').includes(`([${address}])`))
    }
  })
}

test('what stands behind the header in the same packet is the first command', async () => {
  using client = await balanced(`${V1}EHLO client.test\r\n`)
  assert.equal((await client.reply()).code, 250)
})

test('the header comes before TLS', async () => {
  const socket = connect({ port: server.port('smtps'), host: '127.0.0.1', localAddress: BALANCER })
  await once(socket, 'connect')
  socket.write(V1)
  const tls = connectTls({ socket, ca: caPem, servername: 'localhost' })
  await once(tls, 'secureConnect')
  using client = await SmtpClient.over(tls)
  await client.expect(250, 'EHLO client.test')
  await envelope(client, { to: 'b@c.test' })
})

test('a balancer without the header, or with a broken one, is cut off without a word', async () => {
  for (const bytes of ['EHLO client.test\r\n', 'PROXY TCP4 198.51.100.7\r\n', 'PROXY TCP4 x y 1 2\r\n']) {
    const socket = connect({ port: server.port(), host: '127.0.0.1', localAddress: BALANCER })
    let said = ''
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
    socket.write(bytes)
    await within(10_000, 'the end of the connection', once(socket, 'close'))
    assert.equal(said, '')
  }
})

test("a client that the balancer cannot name does not relay by the balancer's address", async () => {
  await using open = await startServer({ proxyFrom: ['127.0.0.1'], relayFrom: ['127.0.0.1'], xclientFrom: ['127.0.0.1'] })
  const version2 = (command: number, family: number, block: number): Buffer =>
    Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), Buffer.from([command, family, 0, block]), Buffer.alloc(block)])
  const say = async (header: Buffer): Promise<SmtpClient> => {
    const socket = connect({ port: open.port(), host: '127.0.0.1' })
    await once(socket, 'connect')
    socket.write(header)
    return SmtpClient.over(socket)
  }
  for (const header of [Buffer.from('PROXY UNKNOWN\r\n'), version2(0x21, 0x00, 0), version2(0x21, 0x31, 216)]) {
    using client = await say(header)
    const { lines } = await client.expect(250, 'EHLO unknown.test')
    assert.ok(!lines.some((line) => line.startsWith('XCLIENT')))
    await client.expect(250, 'MAIL FROM:<a@b.test>')
    await client.expect(550, 'RCPT TO:<b@c.test>')
  }
  // The balancer itself speaks.
  using client = await say(version2(0x20, 0x00, 0))
  await client.expect(250, 'EHLO balancer.test')
  await envelope(client, { to: 'b@c.test' })
})

test('nobody else may say it: the header is no command', async () => {
  using client = await greeted(server.port())
  await client.expect(500, V1.trimEnd())
  await client.expect(250, 'MAIL FROM:<a@b.test>')
  await client.expect(550, 'RCPT TO:<b@c.test>')
})
