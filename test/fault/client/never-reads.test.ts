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
const PIECE = Buffer.from('EHLO x\r\n'.repeat(8192))
/** More than the kernel takes for a receiver that does not read. */
const PIECES = 256
const MEMORY_MB_MAX = 130
/** Nothing moves any more when nothing has moved for so many looks, 20 ms apart. */
const LOOKS_STILL = 25

/** Clients that ask and ask and read no reply. */
class DeafClients {
  readonly #wires: readonly Wire[]

  private constructor(wires: readonly Wire[]) {
    this.#wires = wires
  }

  static async ask(port: number): Promise<DeafClients> {
    const wires = await Promise.all(Array.from({ length: DEAF }, () => Wire.open({ port, deaf: true })))
    for (const wire of wires) for (let n = 0; n < PIECES; n++) wire.write(PIECE)
    return new DeafClients(wires)
  }

  /** Octets that each could not get rid of. */
  get kept(): readonly number[] {
    return this.#wires.map(({ socket }) => socket.writableLength)
  }

  [Symbol.dispose](): void {
    for (const { socket } of this.#wires) socket.destroy()
  }
}

test('nothing more is read from deaf clients, and they cost little memory', async () => {
  await using server = await startServer({ limits: { idleCommandsMax: 1_000_000 } })
  const memory = anonymousMb(server.pid)
  using clients = await DeafClients.ask(server.port())
  let most = 0
  let before = ''
  let looksStill = 0
  await eventually(40_000, 'nobody is read from any more', () => {
    most = Math.max(most, anonymousMb(server.pid) - memory)
    const now = clients.kept.join()
    looksStill = now === before ? looksStill + 1 : 0
    before = now
    return looksStill === LOOKS_STILL || undefined
  })
  assert.ok(!clients.kept.includes(0), `everything was read: ${before}`)
  assert.ok(most < MEMORY_MB_MAX, `${most.toFixed(0)} MB for ${DEAF} deaf clients`)
})

test('deaf clients are cut off in time, and others served', async () => {
  await using sink = await SmtpSink.start()
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { commandTimeoutMs: '2s', idleCommandsMax: 1_000_000 },
  })
  const sockets = openSockets(server.pid)
  using _clients = await DeafClients.ask(server.port())
  await eventually(40_000, 'their connections are ended', () => openSockets(server.pid) <= sockets || undefined)
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
