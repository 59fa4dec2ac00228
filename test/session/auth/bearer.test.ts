import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { OauthConfig } from '../../../src/config/schema.ts'
import { makeAuthMemory, type Authenticator } from '../../../src/session/auth/authenticator.ts'
import type { AuthExchange } from '../../../src/session/auth/ports.ts'
import { Throttle } from '../../../src/session/auth/throttle.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { encodeOauthbearer, encodeXoauth2 } from '../../../src/wire/sasl/bearer.ts'
import { eventually } from '../../support/wait.ts'
import { Issuer, jwk, rsa, token } from './issuer.ts'
import { accountOf, bench, contextOf, say, seen, type LogLine, type SeenStep } from './twins.ts'

const OPENID = 'https://id.example.org/.well-known/openid-configuration'

const OAUTH: OauthConfig = {
  issuer: 'https://id.example.org',
  audience: 'mail',
  jwksUrl: '',
  introspectionUrl: '',
  clientId: '',
  clientSecret: '',
  accountClaim: 'email',
  scope: 'mail',
  openidConfiguration: OPENID,
}
const ACCOUNTS = [accountOf('anna@example.org', 'x'), accountOf('carl@example.org', 'x', { disabled: true })]

async function start(t: TestContext): Promise<{ authenticator: Authenticator; issuer: Issuer; log: LogLine[] }> {
  const issuer = await Issuer.start(t)
  issuer.json = { keys: [jwk(rsa)] }
  const { authenticator, log } = bench(ACCOUNTS, { oauth: { ...OAUTH, jwksUrl: issuer.url } }, { clock: systemClock })
  return { authenticator, issuer, log }
}

const claims = (more: object = {}): object => ({
  iss: OAUTH.issuer,
  aud: 'mail',
  scope: 'mail',
  exp: systemClock.now() / 1000 + 300,
  email: 'anna@example.org',
  ...more,
})

function send(exchange: AuthExchange, message: Buffer): Promise<SeenStep> {
  return new Promise((resolve) => exchange.respond(Buffer.from(message.toString('base64')), (step) => resolve(seen(step))))
}

const FORMS = {
  OAUTHBEARER: (authzid: string, text: string) => encodeOauthbearer({ authzid, token: text, host: 'mx.example.org', port: '587' }),
  XOAUTH2: (authzid: string, text: string) => encodeXoauth2({ authzid, token: text }),
} as const

for (const [form, encode] of Object.entries(FORMS)) {
  test(`${form}: a good token authenticates its account`, async (t) => {
    const { authenticator } = await start(t)
    const message = encode('Anna@example.org', token(rsa, claims()))
    assert.deepEqual(await send(authenticator.begin(form, contextOf()), message), { kind: 'success', account: 'anna@example.org' })
  })

  const REFUSED: readonly (readonly [string, string, object])[] = [
    ['a token of somebody else', 'anna@example.org', { email: 'bert@example.org' }],
    ['a token for an account that is none', 'bert@example.org', { email: 'bert@example.org' }],
    ['a token for a disabled account', 'carl@example.org', { email: 'carl@example.org' }],
    ['an expired token', 'anna@example.org', { exp: 1 }],
    ['a name that SASLprep forbids', 'an\u0007na', {}],
  ]
  for (const [what, authzid, more] of REFUSED) {
    test(`${form}: ${what} gets the error as a challenge, then the failure`, async (t) => {
      const { authenticator } = await start(t)
      const exchange = authenticator.begin(form, contextOf())
      const challenge = await send(exchange, encode(authzid, token(rsa, claims(more))))
      const expected =
        form === 'OAUTHBEARER'
          ? { status: 'invalid_token', scope: 'mail', 'openid-configuration': OPENID }
          : { status: '401', schemes: 'bearer', scope: 'mail' }
      assert.deepEqual(JSON.parse(challenge.data ?? ''), expected)
      const dummy = form === 'OAUTHBEARER' ? Buffer.from('AQ==') : Buffer.alloc(0)
      assert.deepEqual(say(exchange, dummy), { kind: 'failure', reply: 'credentials' })
    })
  }
}

test('OAUTHBEARER without an identity takes the one of the token', async (t) => {
  const { authenticator } = await start(t)
  const message = FORMS.OAUTHBEARER('', token(rsa, claims()))
  assert.deepEqual(await send(authenticator.begin('OAUTHBEARER', contextOf()), message), { kind: 'success', account: 'anna@example.org' })
})

test('a token without the scope says so', async (t) => {
  const { authenticator } = await start(t)
  const text = token(rsa, claims({ scope: 'calendar' }))
  const status = async (form: keyof typeof FORMS): Promise<unknown> => {
    const { data = '' } = await send(authenticator.begin(form, contextOf()), FORMS[form]('anna@example.org', text))
    return (JSON.parse(data) as { status: unknown }).status
  }
  assert.equal(await status('OAUTHBEARER'), 'insufficient_scope')
  assert.equal(await status('XOAUTH2'), '403')
})

test('an issuer that does not answer is a temporary failure, and is logged', async (t) => {
  const { authenticator, issuer, log } = await start(t)
  issuer.handler = (_, response) => void response.writeHead(503).end()
  const message = FORMS.XOAUTH2('anna@example.org', token(rsa, claims()))
  assert.deepEqual(await send(authenticator.begin('XOAUTH2', contextOf()), message), { kind: 'failure', reply: 'temporary' })
  assert.deepEqual(
    log.map((line) => line.text),
    ['tokens cannot be checked', 'authentication failed'],
  )
})

test('what comes instead of the closing message is malformed; a star cancels', async (t) => {
  const { authenticator } = await start(t)
  const refused = async (): Promise<AuthExchange> => {
    const exchange = authenticator.begin('OAUTHBEARER', contextOf())
    await send(exchange, FORMS.OAUTHBEARER('anna@example.org', 'bad'))
    return exchange
  }
  assert.deepEqual(say(await refused(), Buffer.from('AAAA')), { kind: 'failure', reply: 'malformed' })
  assert.deepEqual(say(await refused(), Buffer.from('*')), { kind: 'failure', reply: 'cancelled' })
})

for (const [what, leave] of [
  ['hangs up', (exchange: AuthExchange): void => exchange.abandon()],
  ['cancels', (exchange: AuthExchange): void => void say(exchange, Buffer.from('*'))],
  ['says nonsense', (exchange: AuthExchange): void => void say(exchange, Buffer.from('AAAA'))],
  ['stays', (exchange: AuthExchange): void => void say(exchange, Buffer.from('AQ=='))],
] as const) {
  test(`a refused token is counted and logged once, whether the client then ${what}`, async (t) => {
    const issuer = await Issuer.start(t)
    issuer.json = { keys: [jwk(rsa)] }
    const memory = makeAuthMemory()
    const { authenticator, log } = bench(ACCOUNTS, { oauth: { ...OAUTH, jwksUrl: issuer.url } }, { clock: systemClock, memory })
    const throttle = new Throttle(memory.throttle)
    for (let i = 0; i < 4; i++) {
      assert.equal(throttle.admit('192.0.2.1', '', systemClock.now()).kind, 'now', `after ${i} failures`)
      const exchange = authenticator.begin('OAUTHBEARER', contextOf())
      await send(exchange, FORMS.OAUTHBEARER('anna@example.org', 'bad'))
      leave(exchange)
    }
    assert.equal(throttle.admit('192.0.2.1', '', systemClock.now()).kind, 'wait')
    const attempt = { client: '192.0.2.1', mechanism: 'OAUTHBEARER', account: 'anna@example.org', outcome: 'token' }
    assert.deepEqual(log, [{ fields: attempt, text: 'authentication failed' }], 'others of the same minute are only numbered')
  })
}

test('a client that hangs up while its token is looked at does not save the failure', async (t) => {
  const { authenticator, issuer, log } = await start(t)
  const asked = new Promise<() => void>((resolve) => {
    issuer.handler = (_, response) => resolve(() => void response.writeHead(200).end(JSON.stringify({ keys: [jwk(rsa)] })))
  })
  const exchange = authenticator.begin('OAUTHBEARER', contextOf())
  exchange.respond(Buffer.from(FORMS.OAUTHBEARER('', token(rsa, claims({ exp: 1 }))).toString('base64')), () => assert.fail('answered'))
  const answer = await asked
  exchange.abandon()
  answer()
  await eventually(5000, 'the failure in the log', () => log[0])
  assert.equal(log[0]?.text, 'authentication failed')
})

test('a message that is none is malformed', async (t) => {
  const { authenticator } = await start(t)
  assert.deepEqual(say(authenticator.begin('OAUTHBEARER', contextOf()), Buffer.from('AQ==')), { kind: 'failure', reply: 'malformed' })
})
