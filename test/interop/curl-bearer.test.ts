// curl authenticates with bearer tokens (RFC 7628, XOAUTH2) and hands in a message.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ec, Issuer, jwk, token } from '../session/auth/issuer.ts'
import { program, without } from '../support/peers/installed.ts'
import { execute } from '../support/process.ts'
import type { ServerConfig } from '../support/server.ts'
import { caPath } from '../support/tls.ts'
import { startRelay } from './relay.ts'

const skip = without('curl')
const ANNA = 'anna@example.org'
const MESSAGE = 'From: anna@example.org\r\nTo: b@example.net\r\nSubject: bearer\r\n\r\nhello\r\n'

const issuer = await Issuer.start({ after })
issuer.json = { keys: [jwk(ec)] }
const config: ServerConfig = {
  listeners: [{ protocol: 'submission', port: 0, tls: 'starttls' }],
  accounts: [{ name: ANNA, password: 'unused' }],
  oauth: { issuer: 'https://login.example.org', audience: 'mail', jwksUrl: issuer.url, accountClaim: 'email' },
}

function tokenFor(audience: string): string {
  const now = Math.floor(Date.now() / 1000)
  return token(ec, { iss: 'https://login.example.org', aud: audience, exp: now + 600, email: ANNA })
}

async function curl(port: number, mechanism: string, bearer: string): Promise<{ code: number | null; output: string }> {
  const args = ['-sS', '-v', '--ssl-reqd', '--cacert', caPath, '--max-time', '60', `smtp://localhost:${port}/client.example.org`]
  const account = ['--user', `${ANNA}:`, '--oauth2-bearer', bearer, '--login-options', `AUTH=${mechanism}`]
  const mail = ['--mail-from', ANNA, '--mail-rcpt', 'b@example.net', '--upload-file', '-']
  const ran = await execute([program('curl'), ...args, ...account, ...mail], { input: MESSAGE })
  return { code: ran.code, output: ran.stdout + ran.stderr }
}

for (const mechanism of ['OAUTHBEARER', 'XOAUTH2']) {
  test(`${mechanism}: a token for us sends mail, one for somebody else does not`, { skip }, async () => {
    await using relay = await startRelay(config)
    const good = await curl(relay.server.port('submission'), mechanism, tokenFor('mail'))
    assert.equal(good.code, 0, good.output)
    assert.equal((await relay.sink.received(1))[0]?.from, ANNA)
    const bad = await curl(relay.server.port('submission'), mechanism, tokenFor('web'))
    assert.notEqual(bad.code, 0, bad.output)
    // Newer ones end at the challenge that tells of the error instead of answering it.
    assert.match(bad.output, /^< (?:535 |334 eyJzdGF0dXMiOiI0MDEi)/m)
  })
}
