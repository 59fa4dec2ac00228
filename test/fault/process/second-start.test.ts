// A second start on the same data directory ends at once and says who has it; the first goes on as if nothing had been.
// When the first is killed, the next start has the directory, whatever the dead one left lying there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TempFolder } from '../../support/process.ts'
import { rohrpost, startServer } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { queueEmpties } from '../support/watch.ts'

const EX_TEMPFAIL = 75

async function send(port: number, name: string): Promise<void> {
  using client = await SmtpClient.connect(port)
  await client.expect(250, 'EHLO test')
  assert.equal((await client.send('a@example.org', [`${name}@example.net`], 'Subject: x\r\n\r\nx\r\n')).code, 250)
}

test('a second start exits 75, names the first, and does it no harm', async () => {
  using folder = new TempFolder('second')
  await using sink = await SmtpSink.start()
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] }, folder.path)
  await send(server.port(), 'before')
  const attempts = await Promise.all([1, 2, 3].map(() => rohrpost(['start', '--config', server.configPath])))
  for (const { code, stdout, stderr } of attempts) {
    assert.equal(code, EX_TEMPFAIL, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, new RegExp(`^rohrpost: the data directory ${server.dataDir} is in use by process ${server.pid}$`, 'm'))
  }
  await send(server.port(), 'after')
  await sink.received(2)
  // The control socket is still the first one's.
  await queueEmpties(server)
  assert.equal(await server.stop(), 0)
})

test('after a kill the next start has the directory', async () => {
  using folder = new TempFolder('second')
  const first = await startServer({}, folder.path)
  await first.kill()
  await using second = await startServer({}, folder.path)
  await queueEmpties(second)
  assert.equal(await second.stop(), 0)
})
