// OAUTHBEARER (RFC 7628) and XOAUTH2: tokens of the issuer, checked by its published keys.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ec, Issuer, jwk, rsa, token, type SigningPair } from '../session/auth/issuer.ts'
import { greeted } from '../support/mail.ts'
import { oauthbearer, xoauth2 } from '../support/sasl.ts'
import { startServer } from '../support/server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'

const ANNA = 'anna@home.test'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const issuer = await Issuer.start({ after })
issuer.json = { keys: [jwk(ec)] }
const server = stack.use(
  await startServer({
    listeners: [{ protocol: 'submission', name: 'smtp', port: 0, tls: 'starttls' }],
    accounts: [{ name: ANNA, password: 'unused' }],
    oauth: { issuer: 'https://login.home.test', audience: 'mail', jwksUrl: issuer.url, accountClaim: 'email', scope: 'smtp' },
  }),
)

function tokenOf(claims: object = {}, pair: SigningPair = ec): string {
  const now = Math.floor(Date.now() / 1000)
  return token(pair, { iss: 'https://login.home.test', aud: 'mail', exp: now + 600, email: ANNA, scope: 'mail smtp', ...claims })
}

async function secured(): Promise<SmtpClient> {
  const client = await greeted(server.port())
  await client.startTls()
  const { lines } = await client.expect(250, 'EHLO client.test')
  assert.match(lines.join('\n'), /^AUTH .*\bOAUTHBEARER\b.*\bXOAUTH2\b|^AUTH .*\bXOAUTH2\b.*\bOAUTHBEARER\b/m)
  return client
}

const GOOD = [
  ['OAUTHBEARER', oauthbearer],
  ['XOAUTH2', xoauth2],
] as const

for (const [mechanism, message] of GOOD) {
  test(`${mechanism} with a good token, and with bad ones`, async () => {
    using client = await secured()
    await client.expect(235, `AUTH ${mechanism} ${message(ANNA, tokenOf())}`)
    await client.expect(250, `MAIL FROM:<${ANNA}>`)
    using other = await secured()
    const bad = [tokenOf({ aud: 'web' }), tokenOf({ exp: Math.floor(Date.now() / 1000) - 600 })]
    for (const value of bad) {
      const challenge = await other.expect(334, `AUTH ${mechanism} ${message(ANNA, value)}`)
      assert.match(Buffer.from(challenge.lines[0] ?? '', 'base64').toString(), /^\{.*"status":/)
      await other.expect(535, mechanism === 'OAUTHBEARER' ? 'AQ==' : '')
    }
  })
}

test('a token of somebody else, or signed by somebody else, is nobody', async () => {
  using client = await secured()
  await client.expect(334, `AUTH OAUTHBEARER ${oauthbearer('chef@home.test', tokenOf())}`)
  await client.expect(535, 'AQ==')
  await client.expect(334, `AUTH OAUTHBEARER ${oauthbearer(ANNA, tokenOf({}, { ...rsa, kid: 'ec' }))}`)
  await client.expect(535, 'AQ==')
})

test('the keys are asked for once, however many log in', () => {
  assert.ok(issuer.requests.length <= 2, `${issuer.requests.length} requests`)
})
