import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ARGON2_COST, SCRAM_ITERATIONS, deriveCredentials, hashPassword, verifyPassword } from '../../../src/session/auth/password-hash.ts'
import { saltedPassword, scramKeys } from '../../../src/wire/sasl/scram-keys.ts'

const CHEAP = { memory: 64, passes: 1, lanes: 1 }

test('hashes of the reference implementation verify', () => {
  // phc-winner-argon2, src/test.c, version 0x13
  const known = [
    '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
    '$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc',
  ]
  for (const phc of known) {
    assert.equal(verifyPassword(phc, 'password'), true, phc)
    assert.equal(verifyPassword(phc, 'Password'), false, phc)
  }
})

test('a fresh hash has the recommended cost, a salt of its own, and verifies', () => {
  const phc = hashPassword('pencil')
  assert.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.notEqual(hashPassword('pencil', CHEAP), hashPassword('pencil', CHEAP))
  assert.equal(verifyPassword(phc, 'pencil'), true)
  assert.equal(verifyPassword(phc, 'pencil '), false)
  assert.deepEqual(ARGON2_COST, { memory: 19_456, passes: 2, lanes: 1 })
})

const HOSTILE: readonly string[] = [
  '',
  'pencil',
  '$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=19$m=256,t=999,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=19$m=256,t=2,p=99$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
  '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA',
]
for (const phc of HOSTILE) {
  test(`a stored hash that is none throws and costs nothing: ${phc.slice(0, 40)}`, () => {
    assert.throws(() => verifyPassword(phc, 'password'), RangeError)
  })
}

test('credentials hold all that mechanisms need, and not the password', () => {
  const credentials = deriveCredentials('pencil')
  assert.equal(verifyPassword(credentials.argon2id, 'pencil'), true)
  for (const hash of ['sha1', 'sha256'] as const) {
    const { salt, iterations, storedKey, serverKey } = credentials.scram[hash]
    assert.equal(iterations, SCRAM_ITERATIONS)
    assert.ok(iterations >= 4096, 'RFC 7677 §4')
    assert.deepEqual({ storedKey, serverKey }, scramKeys(hash, saltedPassword(hash, 'pencil', salt, iterations)))
  }
  assert.notDeepEqual(credentials.scram.sha1.salt, credentials.scram.sha256.salt)
})
