// One client address has its share of connections and no more; who is refused cannot hurt by how it leaves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { eventually } from '../../support/wait.ts'
import { openSockets } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const MINE_MAX = 3

test('connections above connectionsPerClientMax get 421, other clients and later ones do not', async () => {
  await using server = await startServer({ limits: { connectionsPerClientMax: MINE_MAX } })
  const port = server.port()
  const sockets = openSockets(server.pid)
  const mine = await Promise.all(Array.from({ length: MINE_MAX }, () => Wire.open({ port, from: '127.0.0.7' })))
  try {
    await Promise.all(mine.map((wire) => wire.greet()))
    using refused = await Wire.open({ port, from: '127.0.0.7' })
    await refused.reads(/^421 4\.7\.0 mx\.rohrpost\.test too many connections\r\n$/)
    await refused.ends()
    using other = await Wire.open({ port, from: '127.0.0.8' })
    await other.greet()
    mine[0]?.socket.destroy()
    await eventually(10_000, 'a place is free', async () => {
      using next = await Wire.open({ port, from: '127.0.0.7' })
      return (await next.reads(/^(220|421) /))[1] === '220' || undefined
    })
  } finally {
    for (const wire of mine) wire.socket.destroy()
  }
  await eventually(10_000, 'all are gone', () => openSockets(server.pid) <= sockets || undefined)
})

test('refused clients that reset, stay or talk leave the server as it was', async () => {
  await using server = await startServer({ limits: { connectionsPerClientMax: 1 } })
  const port = server.port()
  const sockets = openSockets(server.pid)
  using holder = await Wire.open({ port, from: '127.0.0.7' })
  await holder.greet()
  for (let n = 0; n < 200; n++) {
    using wire = await Wire.open({ port, from: '127.0.0.7' })
    wire.write('EHLO x\r\n'.repeat(100))
    wire.socket.resetAndDestroy()
  }
  const staying = await Promise.all(Array.from({ length: 50 }, () => Wire.open({ port, from: '127.0.0.7' })))
  try {
    await Promise.all(staying.map((wire) => wire.reads(/^421 /)))
    await eventually(15_000, 'the server lets go of those that stay', () => openSockets(server.pid) <= sockets + 1 || undefined)
  } finally {
    for (const wire of staying) wire.socket.destroy()
  }
  assert.equal((await holder.exchange('NOOP\r\n'))[0]?.slice(0, 3), '250', 'the session that was there goes on')
  assert.doesNotMatch(server.child.output(), /thread died/)
})
