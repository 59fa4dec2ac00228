import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuthContext } from '../../../src/session/auth/ports.ts'
import { decodeServerFirst, encodeClientFinal } from '../../../src/wire/sasl/scram.ts'
import { client, type ClientOptions } from './scram-client.ts'
import { accountOf, b64, bench, contextOf, credentialsOf, fakeTls, say } from './twins.ts'

const SUCCESS = { kind: 'success', account: 'anna@example.org' }
const CREDENTIALS = { kind: 'failure', reply: 'credentials' }
const MALFORMED = { kind: 'failure', reply: 'malformed' }
const PLAIN_CONTEXT: AuthContext = { client: '192.0.2.1', successData: false }

const RFC = [
  {
    text: 'RFC 5802 §5',
    mechanism: 'SCRAM-SHA-1',
    salt: 'QSXCR+Q6sek8bf92',
    nonce: '3rfcNHYJY1ZVvWVs7j',
    lines: [
      'n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL',
      'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
      'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
      'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
    ],
  },
  {
    text: 'RFC 7677 §3',
    mechanism: 'SCRAM-SHA-256',
    salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
    nonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    lines: [
      'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
      'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    ],
  },
] as const

for (const { text, mechanism, salt, nonce, lines } of RFC) {
  test(`the server's side of the exchange of ${text}`, () => {
    const user = { ...accountOf('user', 'pencil'), ...credentialsOf('pencil', Buffer.from(salt, 'base64')) }
    const { authenticator } = bench([user], {}, { nonce: () => nonce })
    const exchange = authenticator.begin(mechanism, PLAIN_CONTEXT)
    assert.deepEqual(say(exchange, b64(lines[0])), { kind: 'challenge', data: lines[1] })
    assert.deepEqual(say(exchange, b64(lines[2])), { kind: 'challenge', data: lines[3] })
    assert.deepEqual(say(exchange, Buffer.alloc(0)), { kind: 'success', account: 'user' })
  })
}

for (const hash of ['sha1', 'sha256'] as const) {
  const mechanism = hash === 'sha1' ? 'SCRAM-SHA-1' : 'SCRAM-SHA-256'

  test(`${mechanism}: the server proves that it knows the key before it says yes`, () => {
    const { authenticator } = bench()
    const exchange = authenticator.begin(mechanism, PLAIN_CONTEXT)
    const { last, signature } = client(exchange, { hash })
    assert.deepEqual(last, { kind: 'challenge', data: signature })
    assert.deepEqual(say(exchange, Buffer.alloc(0)), SUCCESS)
  })

  test(`${mechanism}: where success can carry data, it does`, () => {
    const { authenticator } = bench()
    const { last, signature } = client(authenticator.begin(mechanism, { ...PLAIN_CONTEXT, successData: true }), { hash })
    assert.deepEqual(last, { ...SUCCESS, data: signature })
  })

  test(`${mechanism}: a wrong password fails without a word more`, () => {
    const { authenticator, log } = bench()
    assert.deepEqual(client(authenticator.begin(mechanism, PLAIN_CONTEXT), { hash, password: 'eraser' }).last, CREDENTIALS)
    assert.deepEqual(log[0]?.fields, { client: '192.0.2.1', mechanism, account: 'anna@example.org', outcome: 'proof' })
  })

  test(`${mechanism}-PLUS: the right binding authenticates`, () => {
    const { authenticator } = bench()
    const tls = fakeTls({ 'tls-exporter': 'ekm', 'tls-unique': 'finished', 'tls-server-end-point': 'hash' })
    for (const [binding, bindingData] of [
      ['tls-exporter', 'ekm'],
      ['tls-unique', 'finished'],
      ['tls-server-end-point', 'hash'],
    ] as const) {
      const exchange = authenticator.begin(`${mechanism}-PLUS`, contextOf({ tls }))
      assert.equal(client(exchange, { hash, flag: 'p', binding, bindingData }).last.kind, 'challenge')
      assert.deepEqual(say(exchange, Buffer.alloc(0)), SUCCESS)
    }
  })
}

const tls = fakeTls({ 'tls-exporter': 'ekm' })

const REFUSED: readonly (readonly [string, string, ClientOptions, string])[] = [
  ['a binding of another channel', 'SCRAM-SHA-256-PLUS', { flag: 'p', binding: 'tls-exporter', bindingData: 'EKM' }, 'channel-binding'],
  ['no binding data', 'SCRAM-SHA-256-PLUS', { flag: 'p', binding: 'tls-exporter' }, 'channel-binding'],
  ['a binding this channel has not', 'SCRAM-SHA-256-PLUS', { flag: 'p', binding: 'tls-unique', bindingData: 'ekm' }, 'channel-binding'],
  ['a binding nobody knows', 'SCRAM-SHA-256-PLUS', { flag: 'p', binding: 'tls-magic', bindingData: 'ekm' }, 'channel-binding'],
  ['-PLUS without a binding', 'SCRAM-SHA-256-PLUS', { flag: 'n' }, 'channel-binding'],
  ['-PLUS with flag y', 'SCRAM-SHA-256-PLUS', { flag: 'y' }, 'channel-binding'],
  ['a binding without -PLUS', 'SCRAM-SHA-256', { flag: 'p', binding: 'tls-exporter', bindingData: 'ekm' }, 'channel-binding'],
  ['flag y although -PLUS was offered', 'SCRAM-SHA-256', { flag: 'y' }, 'downgrade'],
  ['binding data although the flag says no', 'SCRAM-SHA-256', { flag: 'n', bindingData: 'ekm' }, 'channel-binding'],
  ['another identity', 'SCRAM-SHA-256', { authzid: 'bert@example.org' }, 'authzid'],
  ['a disabled account', 'SCRAM-SHA-256', { name: 'carl@example.org' }, 'disabled'],
  ['an unknown account', 'SCRAM-SHA-256', { name: 'bert@example.org' }, 'proof'],
]

for (const [what, mechanism, options, cause] of REFUSED) {
  test(`SCRAM is refused: ${what}`, () => {
    const { authenticator, log } = bench([
      accountOf('anna@example.org', 'pencil'),
      accountOf('carl@example.org', 'pencil', { disabled: true }),
    ])
    assert.deepEqual(client(authenticator.begin(mechanism, contextOf({ tls })), options).last, CREDENTIALS)
    assert.equal((log[0]?.fields as { outcome?: string } | undefined)?.outcome, cause)
  })
}

test('flag y is fine where there is no channel binding, and flag n where there is', () => {
  const { authenticator } = bench()
  for (const [context, flag] of [
    [PLAIN_CONTEXT, 'y'],
    [contextOf({ tls: fakeTls() }), 'y'],
    [contextOf({ tls }), 'n'],
  ] as const) {
    assert.equal(client(authenticator.begin('SCRAM-SHA-256', context), { flag }).last.kind, 'challenge')
  }
})

test('itself as authzid is fine, and names may have commas and equals signs', () => {
  const { authenticator } = bench([accountOf('a,b=c@example.org', 'pencil')])
  const exchange = authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT)
  assert.equal(client(exchange, { name: 'A,b=c@example.org', authzid: 'a,b=c@EXAMPLE.org' }).last.kind, 'challenge')
  assert.deepEqual(say(exchange, Buffer.alloc(0)), { kind: 'success', account: 'a,b=c@example.org' })
})

test('an unknown account shows a salt that stays, also elsewhere, and that differs from its neighbour', () => {
  const salts = [bench(), bench()].flatMap(({ authenticator }) =>
    ['bert@example.org', 'bert@example.org', 'carl@example.org'].map(
      (name) => client(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), { name }).salt,
    ),
  )
  assert.deepEqual(salts.slice(0, 3), salts.slice(3))
  assert.equal(salts[0], salts[1])
  assert.notEqual(salts[0], salts[2])
  assert.equal(salts[0]?.length, 32)
})

test('messages that are none are malformed, and the nonce must be ours', () => {
  const { authenticator } = bench()
  assert.deepEqual(say(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), b64('n,,n=anna')), MALFORMED)
  assert.deepEqual(say(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), Buffer.from('=')), MALFORMED)
  const garbage = client(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), { final: () => Buffer.from('c=biws') })
  assert.deepEqual(garbage.last, MALFORMED)
  const replayed = client(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), {
    final: (_, proof) => encodeClientFinal('c=biws,r=clientnonce', proof),
  })
  assert.deepEqual(replayed.last, CREDENTIALS)
})

test('the answer to the server signature must be empty', () => {
  const { authenticator } = bench()
  const exchange = authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT)
  client(exchange)
  assert.deepEqual(say(exchange, b64('more')), MALFORMED)
})

test('nonces differ and have 24 characters', () => {
  const { authenticator } = bench()
  const nonces = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const { data = '' } = say(authenticator.begin('SCRAM-SHA-256', PLAIN_CONTEXT), b64('n,,n=anna@example.org,r=x'))
    const nonce = decodeServerFirst(Buffer.from(data))?.nonce.slice(1) ?? ''
    assert.equal(nonce.length, 24)
    nonces.add(nonce)
  }
  assert.equal(nonces.size, 50)
})
