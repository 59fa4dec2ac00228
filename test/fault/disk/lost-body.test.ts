// The file with a message's body is gone, or cut off: half a message is never delivered, the message is not lost in
// silence, and mail whose body is there goes on.

import assert from 'node:assert/strict'
import { readdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../support/ports.ts'
import { TempFolder } from '../../support/process.ts'
import { startServer, type Server, type ServerConfig } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventOf, logs, queued } from '../support/watch.ts'

const LARGE = `${'x'.repeat(70)}\r\n`.repeat(5000)

function segments(dataDir: string): string[] {
  const spool = join(dataDir, 'spool')
  return readdirSync(spool, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.seg'))
    .map((name) => join(spool, name))
}

async function send(server: Server, name: string, body: string): Promise<void> {
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  assert.equal((await client.send('sender@home.test', [`${name}@far.test`], `Subject: ${name}\r\n\r\n${body}`)).code, 250)
}

const DAMAGES: readonly (readonly [name: string, damage: (path: string) => void])[] = [
  ['gone', (path) => rmSync(path)],
  ['cut off', (path) => truncateSync(path, 100_000)],
]

for (const [name, damage] of DAMAGES) {
  test(`a body whose segment is ${name} is reported, stays in the queue, and returns to its sender in the end`, async () => {
    using folder = new TempFolder('lost-body')
    const port = await freePort()
    await using home = await SmtpSink.start()
    const config: ServerConfig = {
      routes: [
        { domain: 'home.test', to: `smtp://127.0.0.1:${home.port}` },
        { domain: '*', to: `smtp://127.0.0.1:${port}` },
      ],
      // Longer than a restart on a busy machine: what expires before it was tried is never found unreadable.
      retry: { first: '100ms', max: '200ms', expire: '12s', warnAfter: false },
    }
    // Nobody listens there yet, so that the message lies on the disk.
    await using first = await startServer(config, folder.path)
    await send(first, 'large', LARGE)
    assert.equal(await first.stop(), 0)
    const files = segments(first.dataDir)
    assert.equal(files.length, 1)
    for (const path of files) damage(path)

    await using sink = await SmtpSink.start({ port })
    await using second = await startServer(config, folder.path)
    await send(second, 'small', 'x\r\n')
    await sink.until(20_000, 'the small one arrives', () => sink.messages.some(({ to }) => to[0] === 'small@far.test'))
    await logs(second, /the spool cannot be read: .*message cannot be delivered now: it stays in the queue/)
    await eventOf(
      second,
      'the expiry of the large one',
      ({ type, recipient }) => type === 'expiry' && recipient === 'large@far.test',
      60_000,
    )
    const [report] = await home.received(1)
    assert.equal(report?.from, '')
    assert.match(report?.data.toString('latin1') ?? '', /Final-Recipient: rfc822; large@far\.test\r\nAction: failed\r\n/)
    assert.ok(
      sink.messages.every(({ to }) => to[0] !== 'large@far.test'),
      'nothing of the large one was delivered',
    )
    assert.deepEqual(
      (await queued(second)).filter(({ recipient }) => recipient === 'large@far.test'),
      [],
    )
  })
}
