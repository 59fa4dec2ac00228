// TLS that is none: plain text or garbage where a handshake belongs, handshakes that never come, and commands pipelined
// behind STARTTLS, which must not become part of the secure session (RFC 3207 §4.2, RFC 2595's attack).

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { caPem } from '../../support/tls.ts'
import { eventually, within } from '../../support/wait.ts'
import { openSockets } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

let server: Server

before(async () => {
  server = await startServer({
    listeners: [
      { protocol: 'smtp', port: 0, tls: 'starttls' },
      { protocol: 'smtp', port: 0, tls: 'implicit', name: 'smtps' },
    ],
    limits: { tlsHandshakeTimeoutMs: '2s', commandTimeoutMs: '30s' },
  })
})

after(() => server[Symbol.asyncDispose]())

/** All of the server's connections are gone, and both listeners serve. */
async function isAsBefore(sockets: number): Promise<void> {
  await eventually(15_000, 'the connections are gone', () => openSockets(server.pid) <= sockets || undefined)
  assert.doesNotMatch(server.child.output(), /thread died/)
  using plain = await SmtpClient.connect(server.port())
  await plain.expect(250, 'EHLO test')
  await plain.startTls()
  await plain.expect(250, 'EHLO test')
  using secure = await SmtpClient.connect(server.port('smtps'), '127.0.0.1', true)
  await secure.expect(250, 'EHLO test')
}

const GARBAGE: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['plain SMTP', Buffer.from('EHLO plain.test\r\nMAIL FROM:<a@example.org>\r\n')],
  ['zeros', Buffer.alloc(2000)],
  ['a record that announces more than it may', Buffer.from([0x16, 3, 1, 0xff, 0xff, ...Buffer.alloc(500, 1)])],
  ['a client hello that is cut off', Buffer.from([0x16, 3, 1, 0, 50, 1, 0, 0, 46, 3, 3, 1, 2, 3])],
  ['HTTP', Buffer.from('GET / HTTP/1.0\r\n\r\n')],
]

test('what is no handshake ends the connection, on either kind of listener', async () => {
  const sockets = openSockets(server.pid)
  for (const [name, bytes] of GARBAGE) {
    using implicit = await Wire.open({ port: server.port('smtps') })
    implicit.write(bytes)
    await implicit.ends()
    assert.doesNotMatch(implicit.text, /^220/, name)
    using upgraded = await Wire.open({ port: server.port() })
    await upgraded.greet()
    await upgraded.exchange('STARTTLS\r\n')
    const said = upgraded.text.length
    upgraded.write(bytes)
    await upgraded.ends()
    assert.doesNotMatch(upgraded.text.slice(said), /^\d{3} /m, `${name} behind STARTTLS is answered`)
  }
  await isAsBefore(sockets)
})

test('a handshake that never comes is not waited for', async () => {
  const sockets = openSockets(server.pid)
  using silent = await Wire.open({ port: server.port('smtps') })
  using upgraded = await Wire.open({ port: server.port() })
  await upgraded.greet()
  await upgraded.exchange('STARTTLS\r\n')
  await Promise.all([silent.ends(8000), upgraded.ends(8000)])
  await isAsBefore(sockets)
})

test('a connection that is half open, its client silent and gone, ends with its phase', async () => {
  const sockets = openSockets(server.pid)
  using half = await Wire.open({ port: server.port() })
  await half.reads(/^220 /)
  half.socket.end()
  assert.equal(await half.ends(), 'end')
  using secure = await Wire.open({ port: server.port('smtps') })
  secure.socket.end()
  await secure.ends(8000)
  await isAsBefore(sockets)
})

test('commands pipelined behind STARTTLS are not part of the secure session', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await wire.exchange('STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@example.org>\r\nRSET\r\n')
  const plain = wire.text
  wire.socket.removeAllListeners('data')
  const secure = connectTls({ socket: wire.socket, ca: caPem, servername: 'localhost' })
  secure.setEncoding('latin1')
  let text = ''
  secure.on('data', (piece: string) => (text += piece))
  await within(10_000, 'the handshake', once(secure, 'secureConnect'))
  // VRFY has a reply of its own, so that an answer to anything else would show.
  secure.write('MAIL FROM:<a@example.org>\r\nVRFY x\r\nQUIT\r\n')
  await within(10_000, 'the end', once(secure, 'end'))
  assert.doesNotMatch(plain, /221|evil/)
  assert.deepEqual(
    text
      .split('\r\n')
      .filter((line) => line !== '')
      .map((line) => line.slice(0, 3)),
    ['503', '252', '221'],
    'EHLO was not heard, nothing else was answered',
  )
})
