// 20,000 messages through: what the process holds in memory after the second half is about what it held after the first.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load } from '../../support/load.ts'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { pause } from '../../support/wait.ts'
import { anonymousMb, openSockets, queueEmpties } from '../support/watch.ts'

const HALF = 10_000
const MS_MAX = 60_000
/** The collector runs when it likes: several looks, of which the smallest tells. */
const LOOKS = 8
const LOOK_MS = 125
const GROWTH_MAX = 1.25
const SLACK_MB = 20

async function held(server: Server): Promise<number> {
  let least = Infinity
  for (let look = 0; look < LOOKS; look++) {
    least = Math.min(least, anonymousMb(server.pid))
    await pause(LOOK_MS)
  }
  return least
}

/** Hands in messages until so many have arrived in all, then waits for those in hand. */
async function half(server: Server, sink: SmtpSink, total: number): Promise<void> {
  using load = new Load({ port: server.port(), connections: 20, bodyBytes: 2000, sender: '' })
  await sink.received(total, MS_MAX)
  assert.equal(load.refused, 0)
  load.stop()
  await queueEmpties(server)
}

test('memory and sockets after 20,000 messages are as after 10,000', async (t) => {
  await using sink = await SmtpSink.start({ keep: false })
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] })
  await half(server, sink, HALF)
  const middle = await held(server)
  const sockets = openSockets(server.pid)
  await half(server, sink, 2 * HALF)
  const end = await held(server)
  t.diagnostic(`${middle.toFixed(0)} MB after ${HALF}, ${end.toFixed(0)} MB after ${sink.count}`)
  assert.ok(end < middle * GROWTH_MAX + SLACK_MB, `${middle.toFixed(0)} MB, then ${end.toFixed(0)} MB`)
  assert.ok(openSockets(server.pid) <= sockets + 32, 'connections stay')
})
