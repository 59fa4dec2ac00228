// A thousand connections that are opened and do nothing: mail flows all the same, who comes on top is told to come back,
// and when they are gone nothing of them is left.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { Load } from '../../support/load.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { anonymousMb, openSockets } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const CROWD = 1000
const FREE = 10
const MESSAGES = 200
/** Connections to the sink may have been added or have ended meanwhile. */
const OUTBOUND_MAX = 32
/** Each costs 8 KB in the server; the heap's own ups and downs come on top. */
const MEMORY_MB_MAX = 60

/** Connections from several clients, so that no client has more than its share. */
function from(n: number): string {
  return `127.0.${1 + Math.floor(n / 200)}.1`
}

async function crowd(port: number): Promise<Wire[]> {
  const wires: Wire[] = []
  while (wires.length < CROWD) {
    const batch = Array.from({ length: 100 }, (_, n) => Wire.open({ port, from: from(wires.length + n) }))
    wires.push(...(await Promise.all(batch)))
  }
  await Promise.all(wires.map((wire) => wire.reads(/^220 /)))
  return wires
}

test(`${CROWD} idle connections do not keep mail from flowing`, async () => {
  await using sink = await SmtpSink.start({ keep: false })
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { connectionsMax: CROWD + FREE },
  })
  using warm = new Load({ port: server.port(), connections: 5, bodyBytes: 1000 })
  await sink.received(MESSAGES)
  warm.stop()
  const sockets = openSockets(server.pid)
  const memory = anonymousMb(server.pid)

  const wires = await crowd(server.port())
  try {
    const grown = anonymousMb(server.pid) - memory
    assert.ok(grown < MEMORY_MB_MAX, `${grown.toFixed(0)} MB for ${CROWD} idle connections`)
    using load = new Load({ port: server.port(), connections: 5, bodyBytes: 1000 })
    await sink.received(2 * MESSAGES)
    load.stop()
    assert.equal(load.refused, 0)
    await eventually(
      10_000,
      'all acknowledged has arrived',
      () => sink.count >= warm.acknowledged.size + load.acknowledged.size || undefined,
    )
    await tooMany(server.port())
    for (const wire of wires) assert.equal(wire.ended, undefined)
  } finally {
    for (const wire of wires) wire.socket.destroy()
  }
  await eventually(
    20_000,
    'the crowd has gone',
    () => openSockets(server.pid) <= sockets + OUTBOUND_MAX || undefined,
    () => `${openSockets(server.pid)} sockets, ${sockets} before`,
  )
  using last = await Wire.open({ port: server.port() })
  await last.greet()
})

/** One after the other until the places are taken; the next is refused. */
async function tooMany(port: number): Promise<void> {
  const wires: Wire[] = []
  try {
    for (let n = 0; n <= FREE; n++) wires.push(await Wire.open({ port, from: '127.0.99.1' }))
    const refused = await Promise.all(wires.map(async (wire) => (await wire.reads(/^(220|421) .*\r\n/))[0]))
    const told = refused.filter((text) => text.startsWith('421'))
    assert.ok(told.length > 0, 'nobody is refused')
    for (const text of told) assert.match(text, /^421 4\.7\.0 mx\.rohrpost\.test too many connections/)
  } finally {
    for (const wire of wires) wire.socket.destroy()
  }
}
