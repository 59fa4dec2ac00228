// A client that never reads its replies: the server stops reading from it, keeps no more than its backlog of replies, and
// ends the connection in time, though nobody takes its last word.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { anonymousMb, openSockets } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const DEAF = 40
/** Each EHLO of 8 octets has a reply of some hundred. */
const ASKED_BYTES = 4 * 1024 * 1024
const MEMORY_MB_MAX = 130

test('deaf clients cost neither memory nor connections', async () => {
  await using sink = await SmtpSink.start()
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { commandTimeoutMs: '2s', idleCommandsMax: 1_000_000 },
  })
  const sockets = openSockets(server.pid)
  const memory = anonymousMb(server.pid)
  const wires = await Promise.all(Array.from({ length: DEAF }, () => Wire.open({ port: server.port(), deaf: true })))
  let most = 0
  try {
    for (const wire of wires) wire.write('EHLO x\r\n'.repeat(ASKED_BYTES / 8))
    // The server has stopped to read: what was written stays here.
    await eventually(20_000, 'nobody is read from any more', () => {
      most = Math.max(most, anonymousMb(server.pid) - memory)
      return wires.every((wire) => wire.socket.writableLength > 0) || undefined
    })
    await eventually(20_000, 'their connections are ended', () => {
      most = Math.max(most, anonymousMb(server.pid) - memory)
      return openSockets(server.pid) <= sockets || undefined
    })
  } finally {
    for (const wire of wires) wire.socket.destroy()
  }
  assert.ok(most < MEMORY_MB_MAX, `${most.toFixed(0)} MB for ${DEAF} deaf clients`)
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await wire.openData('a@example.org', 'b@example.net')
  await wire.exchange('Subject: x\r\n\r\nx\r\n.\r\n')
  await sink.received(1)
})

test('a client that was told goodbye and does not close is cut off', async () => {
  await using server = await startServer({})
  const sockets = openSockets(server.pid)
  using quit = await Wire.open({ port: server.port() })
  await quit.greet()
  quit.write('QUIT\r\n')
  assert.equal(await quit.ends(), 'end')
  assert.match(quit.text, /\r\n221 2\.0\.0 /)
  // Ours is still open, and we go on talking.
  const chatter = setInterval(() => quit.write('NOOP\r\n'), 100)
  try {
    await eventually(15_000, 'the server lets go of it', () => openSockets(server.pid) <= sockets || undefined)
  } finally {
    clearInterval(chatter)
  }
})
