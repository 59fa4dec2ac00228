// A message of 200 MB goes in and out in pieces: neither side of it is ever in memory as a whole.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { queueIsEmpty } from '../support/control.ts'
import { envelope } from '../support/mail.ts'
import { TempFolder } from '../support/process.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'

const MB = 1024 * 1024
const MESSAGE_BYTES = 200 * MB
/** Buffers on both sides, and what the garbage collector has not got to yet. */
const GROWTH_BYTES_MAX = 100 * MB
const SAMPLE_MS = 20

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(new TempFolder('large'))
const maildir = join(folder.path, 'mail')
const server = stack.use(
  await startServer({
    routes: [{ domain: '*', to: `capture:${maildir}` }],
    smtp: { maxMessageBytes: '210 MiB' },
  }),
)

/** Pages that belong to the process alone: mapped files are the kernel's. */
function anonymousBytes(): number {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'latin1'))?.[1]) * 1024
}

test(
  '200 MB are received, stored and delivered in a bounded memory',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const socket = connect(server.port(), '127.0.0.1')
    await once(socket, 'connect')
    using client = await SmtpClient.over(socket)
    await client.expect(250, 'EHLO client.test')
    await envelope(client, { to: 'b@c.test', mail: `SIZE=${MESSAGE_BYTES}` })
    await client.expect(354, 'DATA')
    const base = anonymousBytes()
    let most = base
    const sampling = setInterval(() => (most = Math.max(most, anonymousBytes())), SAMPLE_MS)
    stack.defer(() => clearInterval(sampling))
    const line = `${'0123456789'.repeat(7)}\r\n`
    const piece = line.repeat(1000)
    socket.write('From: <anna@home.test>\r\nSubject: large\r\n\r\n')
    for (let sent = 0; sent < MESSAGE_BYTES; sent += piece.length) if (!socket.write(piece)) await once(socket, 'drain')
    const reply = await client.command('.')
    assert.equal(reply.code, 250)
    await queueIsEmpty(server)
    const [name = ''] = readdirSync(join(maildir, 'new'))
    assert.ok(statSync(join(maildir, 'new', name)).size > MESSAGE_BYTES)
    t.diagnostic(`grew by ${((most - base) / MB).toFixed(1)} MB`)
    assert.ok(most - base < GROWTH_BYTES_MAX, `grew by ${((most - base) / MB).toFixed(1)} MB`)
  },
)
