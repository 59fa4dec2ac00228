// What was delivered gives its room on the disk back: files of bodies go when nothing in them is needed any more, and
// nobody holds them open, which would keep the room taken until the process ends.

import assert from 'node:assert/strict'
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { eventually } from '../../support/wait.ts'
import { Peer } from '../support/peer.ts'
import { queueEmpties } from '../support/watch.ts'

const MB = 1024 * 1024
const MESSAGES = 18
/** More than one segment file of 64 MB in all. */
const MESSAGE_MB = 4

/** Files of bodies that the process has open although they are gone. */
function removedButOpen(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${name}`)
      return path.endsWith('.seg (deleted)') ? [path] : []
    } catch {
      // Closed since it was listed.
      return []
    }
  })
}

test('bodies that were delivered take no room, neither by name nor by being open', async () => {
  let isDown = true
  await using peer = await Peer.start(({ verb }) =>
    isDown && verb === 'banner' ? { say: '421 4.3.2 down\r\n', then: 'close' } : undefined,
  )
  await using server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${peer.port}` }],
    retry: { first: '200ms', max: '500ms', expire: '1h' },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  const body = `${'x'.repeat(998)}\r\n`.repeat((MESSAGE_MB * MB) / 1000)
  for (let n = 0; n < MESSAGES; n++) {
    assert.equal((await client.send('', [`r${n}@example.net`], `Subject: ${n}\r\n\r\n${body}`)).code, 250)
  }
  const bodies = join(server.dataDir, 'spool/00/bodies')
  const sizes = (): number[] => readdirSync(bodies).map((name) => statSync(join(bodies, name), { throwIfNoEntry: false })?.size ?? 0)
  const bytes = (): number => sizes().reduce((sum, size) => sum + size, 0)
  assert.ok(sizes().length > 1 && bytes() > MESSAGES * MESSAGE_MB * 0.9 * MB, `${sizes().length} files, ${bytes()} bytes`)
  isDown = false
  await queueEmpties(server)
  await eventually(10_000, 'the full segment is removed', () => bytes() < 64 * MB || undefined)
  await eventually(
    10_000,
    'nobody holds it open',
    () => removedButOpen(server.pid).length === 0 || undefined,
    () => removedButOpen(server.pid).join('\n'),
  )
})
