// Queue entries are held in memory: above limits.residentEntriesMax new messages are refused, and taken again when there is room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { startServer } from '../support/server.ts'
import { eventually } from '../support/wait.ts'

const MS_MAX = 30_000

test('a full queue refuses with 452 4.3.1 and takes mail again after room was made', async () => {
  const port = await freePort()
  await using server = await startServer({
    listeners: [{ protocol: 'smtp', port, tls: 'off' }],
    routes: [{ domain: '*', to: 'smtp://127.0.0.1:1' }],
    limits: { residentEntriesMax: 1000 },
  })
  using load = new Load({ port, connections: 4, bodyBytes: 200 })
  await eventually(MS_MAX, 'a message is refused', () => load.refused > 0 || undefined)
  assert.ok(load.acknowledged.size >= 1000, `${load.acknowledged.size} taken`)
  load.stop()
  const removed = await server.command('queue', 'remove', '--recipient', 'b@example.net')
  assert.equal(removed.code, 0, removed.stderr)
  using again = new Load({ port, connections: 1, bodyBytes: 200 })
  await eventually(MS_MAX, 'mail is taken again', () => again.acknowledged.size > 0 || undefined)
})
