// kill -9 while the server starts and reads its queue, again and again: the queue is the same afterwards, and each message
// arrives once, because nobody was there to deliver to meanwhile.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { Prng } from '../../../src/lib/prng.ts'
import { freePort } from '../../support/ports.ts'
import { TempFolder } from '../../support/process.ts'
import { runSeed } from '../../support/seed.ts'
import { spawnServer, startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { pause } from '../../support/wait.ts'
import { queueEmpties, queued } from '../support/watch.ts'

const KILLS = 6
const MESSAGES = 300
/** Somewhere between the first instruction and the ready line, or a little behind it. */
const LIFE_MS_MAX = 1500

const content = (n: number): string => `Subject: ${n}\r\n\r\n${`line of ${n}\r\n`.repeat(n % 10 === 0 ? 5000 : 20)}`

async function fill(server: Server): Promise<void> {
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  for (let n = 0; n < MESSAGES; n++) {
    assert.equal((await client.send('a@example.org', [`r${n}@example.net`], content(n))).code, 250)
  }
}

const sha = (text: string): string => createHash('sha256').update(text).digest('hex')

test(`${KILLS} kills during the start leave the queue as it was`, async () => {
  const random = new Prng(runSeed())
  using folder = new TempFolder('killed')
  const port = await freePort()
  const config = {
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${port}` }],
    retry: { first: '1s', max: '2s', expire: '1h' },
  }
  const first = await startServer(config, folder.path)
  await fill(first)
  await first.kill()
  for (let n = 0; n < KILLS; n++) {
    const child = spawnServer(first.configPath)
    await pause(random.below(LIFE_MS_MAX))
    child.signal('SIGKILL')
    await child.exited
  }
  await using server = await startServer(config, folder.path)
  assert.equal((await queued(server)).length, MESSAGES)
  const arrived = new Map<string, string[]>()
  await using sink = await SmtpSink.start({
    port,
    keep: false,
    onMessage: ({ to, data }) => {
      const text = data.toString('latin1')
      const list = arrived.get(to[0] ?? '') ?? []
      arrived.set(to[0] ?? '', [...list, sha(text.slice(text.indexOf('Subject: ')))])
    },
  })
  await sink.received(MESSAGES)
  await queueEmpties(server)
  for (let n = 0; n < MESSAGES; n++) assert.deepEqual(arrived.get(`r${n}@example.net`), [sha(content(n))], `message ${n}`)
  assert.equal(await server.stop(), 0)
  assert.equal((await server.command('check', 'spool')).code, 0)
})
