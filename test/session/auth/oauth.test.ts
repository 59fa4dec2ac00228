import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import type { OauthConfig } from '../../../src/config/schema.ts'
import { ManualClock } from '../../../src/lib/clock.ts'
import { isSignedBy, parseJwt } from '../../../src/session/auth/jwt.ts'
import { OauthTokens } from '../../../src/session/auth/oauth.ts'
import type { TokenVerdict } from '../../../src/session/auth/ports.ts'
import { Issuer, ec, ed, jwk, rsa, token, weakRsa } from './issuer.ts'

const SETTINGS: OauthConfig = {
  issuer: 'https://id.example.org',
  audience: 'mail',
  jwksUrl: '',
  introspectionUrl: '',
  clientId: '',
  clientSecret: '',
  accountClaim: 'email',
  scope: '',
  openidConfiguration: '',
}
const VALID: TokenVerdict = { kind: 'valid', account: 'anna@example.org' }
const INVALID: TokenVerdict = { kind: 'invalid' }
const UNAVAILABLE: TokenVerdict = { kind: 'unavailable' }

interface OauthBench {
  readonly issuer: Issuer
  readonly clock: ManualClock
  readonly problems: string[]
  claims(more?: object): object
  check(token: string): Promise<TokenVerdict>
}

async function bench(t: TestContext, kind: 'jwks' | 'introspection', more: Partial<OauthConfig> = {}): Promise<OauthBench> {
  const issuer = await Issuer.start(t)
  issuer.json = { keys: [jwk(rsa), jwk(ec), jwk(ed)] }
  const clock = new ManualClock()
  const problems: string[] = []
  const urls = kind === 'jwks' ? { jwksUrl: issuer.url } : { introspectionUrl: issuer.url }
  const tokens = new OauthTokens({ ...SETTINGS, ...urls, ...more }, clock, (problem) => problems.push(problem))
  const seconds = (): number => Math.floor(clock.now() / 1000)
  return {
    issuer,
    clock,
    problems,
    claims: (claims = {}) => ({ iss: SETTINGS.issuer, aud: 'mail', exp: seconds() + 300, email: 'Anna@Example.org', ...claims }),
    check: (text) => new Promise((resolve) => tokens.check(text, resolve)),
  }
}

for (const pair of [rsa, ec, ed]) {
  test(`a token signed with ${pair.alg} is good, and one request fetches the keys`, async (t) => {
    const { issuer, check, claims } = await bench(t, 'jwks')
    assert.deepEqual(await Promise.all([check(token(pair, claims())), check(token(pair, claims({ n: 2 })))]), [VALID, VALID])
    assert.deepEqual(await check(token(pair, claims())), VALID)
    assert.equal(issuer.requests.length, 1)
  })

  test(`a ${pair.alg} token that was changed is bad`, async (t) => {
    const { check, claims } = await bench(t, 'jwks')
    const [head, , signature] = token(pair, claims()).split('.')
    const other = token(pair, claims({ email: 'bert@example.org' })).split('.')[1]
    assert.deepEqual(await check(`${head}.${other}.${signature}`), INVALID)
    assert.deepEqual(await check(`${head}.${other}.AAAA`), INVALID)
  })
}

test('signatures of any length and content are wrong, and nothing throws', () => {
  for (const pair of [rsa, ec, ed]) {
    const jwt = parseJwt(token(pair, {})) ?? assert.fail('no token')
    assert.equal(isSignedBy(jwt, pair.publicKey), true)
    for (let length = 0; length < 300; length++) {
      for (const fill of [0, 1, 255]) {
        assert.equal(isSignedBy({ ...jwt, signature: Buffer.alloc(length, fill) }, pair.publicKey), false, `${pair.alg} ${length} ${fill}`)
      }
    }
  }
})

const BAD_CLAIMS: readonly (readonly [string, object])[] = [
  ['expired', { exp: 1 }],
  ['without exp', { exp: undefined }],
  ['with exp as text', { exp: '9999999999' }],
  ['not yet valid', { nbf: 9_999_999_999 }],
  ['with nbf as text', { nbf: 'soon' }],
  ['of another issuer', { iss: 'https://evil.example' }],
  ['without issuer', { iss: undefined }],
  ['for another audience', { aud: 'calendar' }],
  ['for other audiences', { aud: ['calendar', 'mailbox'] }],
  ['without audience', { aud: undefined }],
  ['without an account', { email: undefined }],
  ['with an account that is no text', { email: 7 }],
  ['with an address nobody has verified', { email_verified: false }],
  ['with an address nobody has verified, as text', { email_verified: 'false' }],
]
test('claims that do not fit are refused', async (t) => {
  const { check, claims } = await bench(t, 'jwks')
  for (const [what, more] of BAD_CLAIMS) assert.deepEqual(await check(token(rsa, claims(more))), INVALID, what)
  assert.deepEqual(await check(token(rsa, claims({ aud: ['calendar', 'mail'], nbf: 1, email_verified: true }))), VALID)
})

test('clocks may be a minute apart', async (t) => {
  const { check, claims, clock } = await bench(t, 'jwks')
  const now = clock.now() / 1000
  assert.deepEqual(await check(token(rsa, claims({ exp: now - 59, nbf: now + 59 }))), VALID)
  assert.deepEqual(await check(token(rsa, claims({ exp: now - 60 }))), INVALID)
  assert.deepEqual(await check(token(rsa, claims({ nbf: now + 61 }))), INVALID)
})

test('tricks with the header are refused', async (t) => {
  const { check, claims, issuer } = await bench(t, 'jwks')
  issuer.json = {
    keys: [
      jwk(rsa),
      jwk(weakRsa),
      jwk(ec),
      jwk(ed, { use: 'enc', kid: 'enc' }),
      { kty: 'oct', kid: 'oct', k: 'c2VjcmV0' },
      { kty: 'new' },
      7,
    ],
  }
  const unsigned = token(rsa, claims(), { alg: 'none' })
  const signedWith = (secret: string | Buffer): string => {
    const text = token(rsa, claims(), { alg: 'HS256' }).split('.').slice(0, 2).join('.')
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
  }
  const tricks: readonly (readonly [string, string])[] = [
    ['alg none', unsigned],
    ['alg none without signature', `${unsigned.split('.').slice(0, 2).join('.')}.`],
    ['the public key as an HMAC secret', signedWith(rsa.publicKey.export({ format: 'pem', type: 'spki' }))],
    ['an HMAC key in the set', signedWith(Buffer.from('secret'))],
    ['an RSA key under an EC name', token(rsa, claims(), { kid: 'ec' })],
    ['an EC key under an RSA name', token(ec, claims(), { kid: 'rsa' })],
    ['a key of 1,024 bits', token(weakRsa, claims())],
    ['a key for encryption', token(ed, claims(), { kid: 'enc' })],
    ['a critical extension', token(rsa, claims(), { crit: ['b64'], b64: false })],
    ['an ID token', token(rsa, claims(), { typ: 'id_token' })],
    ['an unknown key', token(rsa, claims(), { kid: 'who' })],
    ['two parts', token(rsa, claims()).split('.').slice(0, 2).join('.')],
    ['four parts', `${token(rsa, claims())}.x`],
    ['claims that are a list', token(rsa, [1])],
    ['no JSON', 'YQ.YQ.YQ'],
    ['opaque', 'ya29.something'],
  ]
  for (const [what, text] of tricks) assert.deepEqual(await check(text), INVALID, what)
})

test('a token without a key id is taken when only one key fits', async (t) => {
  const { check, claims, issuer, clock } = await bench(t, 'jwks')
  assert.deepEqual(await check(token(rsa, claims(), { kid: undefined })), VALID)
  issuer.json = { keys: [jwk(rsa), jwk({ ...rsa, kid: 'other' })] }
  clock.advance(600_000)
  assert.deepEqual(await check(token(rsa, claims(), { kid: undefined })), INVALID)
})

test('a new key is fetched when a token names it, but invented names are not requests', async (t) => {
  const { check, claims, issuer, clock } = await bench(t, 'jwks')
  issuer.json = { keys: [jwk(rsa)] }
  assert.deepEqual(await check(token(rsa, claims())), VALID)
  issuer.json = { keys: [jwk(rsa), jwk(ed)] }
  assert.deepEqual(await check(token(ed, claims())), INVALID, 'too soon after the last fetch')
  clock.advance(30_000)
  assert.deepEqual(await check(token(ed, claims())), VALID)
  for (let i = 0; i < 20; i++) await check(token(ed, claims(), { kid: `invented${i}` }))
  assert.equal(issuer.requests.length, 2)
})

test('a key that was taken out of the set goes when the set is old', async (t) => {
  const { check, claims, issuer, clock } = await bench(t, 'jwks')
  assert.deepEqual(await check(token(rsa, claims())), VALID)
  issuer.json = { keys: [jwk(ed)] }
  clock.advance(600_000)
  assert.deepEqual(await check(token(rsa, claims())), INVALID)
})

test('old keys serve for a day while the issuer does not answer; without keys it is unavailable', async (t) => {
  const { check, claims, issuer, clock, problems } = await bench(t, 'jwks')
  const broken = (): void => void (issuer.handler = (_, response) => void response.writeHead(500).end('{}'))
  broken()
  assert.deepEqual(await check(token(rsa, claims())), UNAVAILABLE)
  assert.deepEqual(await check(token(rsa, claims())), UNAVAILABLE)
  assert.equal(issuer.requests.length, 1)
  assert.equal(problems.length, 1)
  issuer.handler = undefined
  clock.advance(30_000)
  assert.deepEqual(await check(token(rsa, claims())), VALID)
  broken()
  clock.advance(86_000_000)
  assert.deepEqual(await check(token(rsa, claims())), VALID)
  clock.advance(400_000)
  assert.deepEqual(await check(token(rsa, claims())), UNAVAILABLE)
})

const BAD_REPLIES: readonly (readonly [string, Issuer['handler']])[] = [
  ['no JSON', (_, response) => void response.end('<html>')],
  ['no keys', (_, response) => void response.end('{"keys":[]}')],
  ['another shape', (_, response) => void response.end('[]')],
  ['broken UTF-8', (_, response) => void response.end(Buffer.from([0x22, 0xff, 0x22]))],
  ['a redirect', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
  ['an endless body', (_, response) => void response.end(Buffer.alloc(300_000, ' '))],
  ['a hang-up', (request) => void request.socket.destroy()],
]
for (const [what, handler] of BAD_REPLIES) {
  test(`a key set that is ${what} is reported, and tokens wait for another day`, async (t) => {
    const { check, claims, issuer, problems } = await bench(t, 'jwks')
    issuer.handler = handler
    assert.deepEqual(await check(token(rsa, claims())), UNAVAILABLE)
    assert.equal(problems.length, 1)
  })
}

test('an issuer that never answers is given up after five seconds', async (t) => {
  const { check, claims, issuer, clock, problems } = await bench(t, 'jwks')
  issuer.handler = () => undefined
  const arrived = issuer.arrived()
  const verdict = check(token(rsa, claims()))
  await arrived
  clock.advance(5000)
  assert.deepEqual(await verdict, UNAVAILABLE)
  assert.match(problems[0] ?? '', /no answer in 5000 ms/)
})

test('a token needs the scope that is asked for', async (t) => {
  const { check, claims } = await bench(t, 'jwks', { scope: 'mail.send' })
  assert.deepEqual(await check(token(rsa, claims())), { kind: 'scope' })
  assert.deepEqual(await check(token(rsa, claims({ scope: 'mail.read mail.sender' }))), { kind: 'scope' })
  assert.deepEqual(await check(token(rsa, claims({ scope: 'mail.read mail.send' }))), VALID)
  assert.deepEqual(await check(token(rsa, claims({ scp: ['mail.send'] }))), VALID)
})

test('introspection: we say who we are, and an active token is remembered for a minute', async (t) => {
  const { check, issuer, clock } = await bench(t, 'introspection', { clientId: 'rohr post', clientSecret: 'a:b', issuer: '', audience: '' })
  issuer.json = { active: true, email: 'anna@example.org' }
  const opaque = 'tok/en+1=='
  assert.deepEqual(await Promise.all([check(opaque), check(opaque)]), [VALID, VALID])
  assert.deepEqual(await check(opaque), VALID)
  assert.equal(issuer.requests.length, 1)
  const [request] = issuer.requests
  assert.equal(request?.method, 'POST')
  assert.equal(request?.headers.authorization, `Basic ${Buffer.from('rohr%20post:a%3Ab').toString('base64')}`)
  assert.deepEqual(Object.fromEntries(new URLSearchParams(request?.body)), { token: opaque, token_type_hint: 'access_token' })
  issuer.json = { active: false }
  clock.advance(60_000)
  assert.deepEqual(await check(opaque), INVALID)
})

test('introspection: claims are checked as well, also of a remembered token', async (t) => {
  const { check, issuer, claims, clock } = await bench(t, 'introspection')
  issuer.json = { active: true, ...claims({ exp: clock.now() / 1000 - 50 }) }
  assert.deepEqual(await check('a'), VALID, 'within a minute of leeway')
  clock.advance(20_000)
  assert.deepEqual(await check('a'), INVALID, 'expired since')
  issuer.json = { active: true, ...claims({ aud: 'calendar' }) }
  assert.deepEqual(await check('b'), INVALID)
})

test('introspection: only true is active, and what is no reply is unavailable', async (t) => {
  const { check, issuer, problems } = await bench(t, 'introspection', { issuer: '', audience: '' })
  for (const json of [{ active: 'true', email: 'anna@example.org' }, { email: 'anna@example.org' }, [], 'active']) {
    issuer.json = json
    assert.deepEqual(await check('a'), UNAVAILABLE, JSON.stringify(json))
  }
  issuer.handler = (_, response) => void response.writeHead(401).end('{"active":true,"email":"anna@example.org"}')
  assert.deepEqual(await check('a'), UNAVAILABLE)
  assert.match(problems.at(-1) ?? '', /status 401/)
})

test('introspection: at most 64 questions are under way', async (t) => {
  const { check, issuer } = await bench(t, 'introspection', { issuer: '', audience: '' })
  const open: (() => void)[] = []
  issuer.handler = (_, response) => void open.push(() => response.end('{"active":false}'))
  const verdicts = Array.from({ length: 65 }, (_, n) => check(`token${n}`))
  assert.deepEqual(await verdicts[64], UNAVAILABLE)
  while (open.length < 64) await issuer.arrived()
  for (const answer of open) answer()
  assert.deepEqual(
    await Promise.all(verdicts.slice(0, 64)),
    Array.from({ length: 64 }, () => INVALID),
  )
})
