// swaks hands in: plain, STARTTLS, TLS from the start, AUTH, pipelining, many recipients, a big message.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { program, without } from '../support/peers/installed.ts'
import { execute, TempFolder } from '../support/process.ts'
import type { ServerConfig } from '../support/server.ts'
import { newestReceived, startRelay } from './relay.ts'

const skip = without('swaks')

const config: ServerConfig = {
  listeners: [
    { protocol: 'smtp', port: 0, tls: 'starttls' },
    { protocol: 'submission', port: 0, tls: 'starttls' },
    { protocol: 'submission', name: 'submissions', port: 0, tls: 'implicit' },
  ],
  accounts: [{ name: 'anna@example.org', password: 'correct horse' }],
}

/** Runs swaks; throws unless it ends as it should. */
async function swaks(port: number, args: readonly string[], code = 0): Promise<string> {
  const base = ['--server', '127.0.0.1', '--port', String(port), '--from', 'anna@example.org', '--helo', 'client.test', '--timeout', '20']
  const ran = await execute([program('swaks'), ...base, ...args])
  assert.equal(ran.code, code, ran.stdout + ran.stderr)
  return ran.stdout
}

test('a plain message arrives unchanged below its Received field', { skip }, async () => {
  await using relay = await startRelay(config)
  const out = await swaks(relay.server.port(), ['--to', 'b@example.net', '--header', 'Subject: plain', '--body', 'hello\n.dots\n..two'])
  assert.match(out, /<-\s+250 2\.0\.0 queued as [0-9a-z]+/)
  const [message] = await relay.sink.received(1)
  assert.deepEqual([message?.from, message?.to], ['anna@example.org', ['b@example.net']])
  assert.match(message?.data.toString('latin1') ?? '', /\r\nSubject: plain\r\n[\s\S]*\r\n\r\nhello\r\n\.dots\r\n\.\.two\r\n/)
  assert.match(
    newestReceived(message?.data ?? Buffer.alloc(0)),
    /from client\.test \(.*127\.0\.0\.1.*\) by mx\.rohrpost\.test with ESMTP id/,
  )
})

test('STARTTLS and TLS from the start both end in ESMTPS', { skip }, async () => {
  await using relay = await startRelay(config)
  await swaks(relay.server.port(), ['--to', 'b@example.net', '-tls'])
  assert.match(newestReceived((await relay.sink.received(1))[0]?.data ?? Buffer.alloc(0)), /with ESMTPS/)
  const auth = ['--auth', 'PLAIN', '--auth-user', 'anna@example.org', '--auth-password', 'correct horse']
  await swaks(relay.server.port('submissions'), ['--to', 'b@example.net', '--tls-on-connect', ...auth])
  assert.match(newestReceived((await relay.sink.received(2))[1]?.data ?? Buffer.alloc(0)), /with ESMTPSA/)
})

for (const mechanism of ['PLAIN', 'LOGIN']) {
  test(`AUTH ${mechanism} takes the right password and refuses a wrong one`, { skip }, async () => {
    await using relay = await startRelay(config)
    const auth = ['-tls', '--to', 'b@example.net', '--auth', mechanism, '--auth-user', 'anna@example.org', '--auth-password']
    await swaks(relay.server.port('submission'), [...auth, 'correct horse'])
    await relay.sink.received(1)
    // swaks ends with 28 when no authentication succeeded.
    assert.match(await swaks(relay.server.port('submission'), [...auth, 'wrong'], 28), /535 5\.7\.8/)
  })
}

test('without TLS a submission listener offers no password mechanism', { skip }, async () => {
  await using relay = await startRelay(config)
  const auth = ['--to', 'b@example.net', '--auth', 'PLAIN', '--auth-user', 'anna@example.org', '--auth-password', 'correct horse']
  await swaks(relay.server.port('submission'), auth, 28)
})

test('a pipelined transaction with a hundred recipients', { skip }, async () => {
  await using relay = await startRelay(config)
  const recipients = Array.from({ length: 100 }, (_, index) => `r${index}@example.net`)
  await swaks(relay.server.port(), ['--pipeline', '--to', recipients.join(',')])
  const messages = await relay.sink.received(1)
  assert.deepEqual(messages.flatMap(({ to }) => to).toSorted(), recipients.toSorted())
})

test('a message of 5 MB arrives byte by byte', { skip }, async () => {
  await using relay = await startRelay(config)
  using folder = new TempFolder('swaks')
  const line = `${'x'.repeat(70)}\n`
  const body = line.repeat(Math.ceil(5_000_000 / line.length))
  const file = join(folder.path, 'message')
  writeFileSync(file, `Subject: big\n\n${body}`)
  await swaks(relay.server.port(), ['--to', 'b@example.net', '--data', `@${file}`, '--suppress-data'])
  const [message] = await relay.sink.received(1)
  const content = message?.data.toString('latin1') ?? ''
  assert.ok(content.slice(content.indexOf('\r\n\r\n') + 4).startsWith(body.replaceAll('\n', '\r\n')))
})
