// msmtp authenticates by SCRAM, with GNU SASL on its side.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { program, without } from '../support/peers/installed.ts'
import { execute } from '../support/process.ts'
import type { ServerConfig } from '../support/server.ts'
import { caPath } from '../support/tls.ts'
import { startRelay } from './relay.ts'

const skip = without('msmtp')

const config: ServerConfig = {
  listeners: [{ protocol: 'submission', port: 0, tls: 'starttls' }],
  accounts: [{ name: 'anna@example.org', password: 'correct horse' }],
}

async function msmtp(port: number, mechanism: string, password: string): Promise<{ code: number | null; output: string }> {
  const args = ['--host=localhost', `--port=${port}`, '--tls=on', `--tls-trust-file=${caPath}`, `--auth=${mechanism}`]
  const account = ['--user=anna@example.org', `--passwordeval=echo ${password}`, '--from=anna@example.org', '--file=/dev/null']
  const input = 'From: anna@example.org\r\nTo: b@example.net\r\nSubject: scram\r\n\r\nhello\r\n'
  const ran = await execute([program('msmtp'), '-v', ...args, ...account, 'b@example.net'], { input })
  return { code: ran.code, output: ran.stdout + ran.stderr }
}

for (const mechanism of ['scram-sha-256', 'scram-sha-1']) {
  test(`AUTH ${mechanism.toUpperCase()} takes the right password and refuses a wrong one`, { skip }, async () => {
    await using relay = await startRelay(config)
    const good = await msmtp(relay.server.port('submission'), mechanism, 'correct horse')
    assert.equal(good.code, 0, good.output)
    assert.equal((await relay.sink.received(1))[0]?.from, 'anna@example.org')
    const bad = await msmtp(relay.server.port('submission'), mechanism, 'wrong')
    assert.notEqual(bad.code, 0)
    assert.match(bad.output, /535/)
  })
}
