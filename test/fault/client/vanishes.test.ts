// Clients that vanish: in the middle of the content nothing is queued and nothing stays behind, neither sockets nor memory
// nor disk; behind the final dot the message is kept, although nobody was told.

import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { anonymousMb, openSockets, queueEmpties, queued } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const MB = 1024 * 1024
const CLIENTS = 60
const SENT_MB = 4
/** One segment file of 64 MB is always open for what comes next. */
const DISK_MB_MAX = 64 + SENT_MB
const MEMORY_MB_MAX = 80

function bodiesMb(server: Server): number {
  const spool = join(server.dataDir, 'spool')
  const files = readdirSync(spool, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.seg'))
  return files.reduce((sum, name) => sum + (statSync(join(spool, name), { throwIfNoEntry: false })?.size ?? 0), 0) / MB
}

/** Sends a part of a message, knows that it was read, and is gone. */
async function vanishes(server: Server, how: 'rst' | 'fin'): Promise<void> {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await wire.openData('a@example.org', 'b@example.net')
  wire.write(`Subject: half\r\n\r\n${`${'x'.repeat(998)}\r\n`.repeat((SENT_MB * MB) / 1000)}`)
  await eventually(20_000, 'the server has read it', () => wire.socket.writableLength === 0 || undefined)
  if (how === 'rst') wire.socket.resetAndDestroy()
  else wire.socket.destroy()
}

test(`${CLIENTS} clients that vanish in DATA leave nothing behind`, async () => {
  await using server = await startServer({ limits: { connectionsPerClientMax: CLIENTS } })
  await vanishes(server, 'fin')
  const sockets = openSockets(server.pid)
  const memory = anonymousMb(server.pid)
  for (let n = 0; n < CLIENTS; n += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, k) => vanishes(server, k % 2 === 0 ? 'rst' : 'fin')))
  }
  await eventually(10_000, 'no connection is left', () => openSockets(server.pid) <= sockets || undefined)
  assert.deepEqual(await queued(server), [])
  await eventually(
    10_000,
    'the disk is free again',
    () => bodiesMb(server) <= DISK_MB_MAX || undefined,
    () => `${bodiesMb(server)} MB`,
  )
  const grown = anonymousMb(server.pid) - memory
  assert.ok(grown < MEMORY_MB_MAX, `${grown.toFixed(0)} MB of memory stay`)
  assert.equal(await server.stop(), 0)
})

test('a client that vanishes behind its final dot has handed its message in', async () => {
  await using sink = await SmtpSink.start()
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] })
  for (let n = 0; n < 10; n++) {
    using wire = await Wire.open({ port: server.port() })
    await wire.greet()
    await wire.openData('a@example.org', `b${n}@example.net`)
    wire.write(`Subject: whole\r\n\r\nx\r\n.\r\n`)
    await new Promise<void>((resolve) => wire.socket.end(resolve))
  }
  await sink.received(10)
  await queueEmpties(server)
  assert.equal(new Set(sink.messages.map((message) => message.to[0])).size, 10)
})
