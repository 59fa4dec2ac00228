// GNU SASL's own client authenticates by SCRAM bound to the TLS connection (RFC 5802 §6, RFC 9266).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { program, without } from '../support/peers/installed.ts'
import { execute } from '../support/process.ts'
import type { ServerConfig } from '../support/server.ts'
import { caPath } from '../support/tls.ts'
import { startRelay } from './relay.ts'

const skip = without('gsasl')

const config: ServerConfig = {
  listeners: [{ protocol: 'submission', port: 0, tls: 'starttls' }],
  accounts: [{ name: 'anna@example.org', password: 'correct horse' }],
}

async function gsasl(
  port: number,
  mechanism: string,
  password: string,
  priority: string,
): Promise<{ code: number | null; output: string }> {
  const args = ['--client', '--smtp', '--starttls', `--connect=localhost:${port}`, '--hostname=localhost', '--verbose']
  const tls = [`--x509-ca-file=${caPath}`, `--priority=${priority}`]
  const account = [`--mechanism=${mechanism}`, '--authentication-id=anna@example.org', `--password=${password}`]
  const ran = await execute([program('gsasl'), ...args, ...tls, ...account], { input: '' })
  return { code: ran.code, output: ran.stdout + ran.stderr }
}

for (const [version, priority] of [
  ['TLS 1.3 (tls-exporter)', 'NORMAL:-VERS-ALL:+VERS-TLS1.3'],
  ['TLS 1.2', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'],
] as const) {
  test(`SCRAM-SHA-256-PLUS over ${version} takes the right password and refuses a wrong one`, { skip }, async () => {
    await using relay = await startRelay(config)
    const good = await gsasl(relay.server.port('submission'), 'SCRAM-SHA-256-PLUS', 'correct horse', priority)
    assert.match(good.output, /^235 /m)
    assert.equal(good.code, 0, good.output)
    const bad = await gsasl(relay.server.port('submission'), 'SCRAM-SHA-256-PLUS', 'wrong', priority)
    assert.match(bad.output, /^535 /m)
    assert.notEqual(bad.code, 0)
  })
}
