import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeExternal, encodeExternal } from '../../../src/wire/sasl/external.ts'
import { decodeLogin } from '../../../src/wire/sasl/login.ts'
import { PLAIN_FIELD_BYTES_MAX, decodePlain, encodePlain, type PlainMessage } from '../../../src/wire/sasl/plain.ts'
import { runSeed } from '../../support/seed.ts'

const long = 'x'.repeat(PLAIN_FIELD_BYTES_MAX)

const MESSAGES: readonly (readonly [string, string, PlainMessage | undefined])[] = [
  ['RFC 4616 §4, first example', '\0tim\0tanstaaftanstaaf', { authzid: '', authcid: 'tim', password: 'tanstaaftanstaaf' }],
  ['RFC 4616 §4, second example', 'Ursel\0Kurt\0xipj3plmq', { authzid: 'Ursel', authcid: 'Kurt', password: 'xipj3plmq' }],
  ['fields at their limit', `${long}\0${long}\0${long}`, { authzid: long, authcid: long, password: long }],
  ['UTF-8', '\0jörg\0päß', { authzid: '', authcid: 'jörg', password: 'päß' }],
  ['a field above its limit', `\0tim\0${long}x`, undefined],
  ['no NUL', 'tim', undefined],
  ['one NUL', 'tim\0pass', undefined],
  ['three NULs', '\0tim\0pass\0', undefined],
  ['an empty name', '\0\0pass', undefined],
  ['an empty password', '\0tim\0', undefined],
  ['nothing', '', undefined],
  ['only NULs', '\0\0', undefined],
]

for (const [what, text, message] of MESSAGES) {
  test(`PLAIN: ${what}`, () => {
    assert.deepEqual(decodePlain(Buffer.from(text, 'utf8')), message)
    if (message) assert.equal(encodePlain(message).toString('utf8'), text)
  })
}

test('PLAIN that is no UTF-8 is refused', () => {
  assert.equal(decodePlain(Buffer.from('\0tim\0p\xe4ss', 'latin1')), undefined)
})

test('PLAIN messages survive encoding and decoding', () => {
  const field = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(fc.oneof(fc.constant(''), field), field, field, (authzid, authcid, password) => {
      assert.deepEqual(decodePlain(encodePlain({ authzid, authcid, password })), { authzid, authcid, password })
    }),
    { seed: runSeed() },
  )
})

test('LOGIN takes one field of text', () => {
  assert.equal(decodeLogin(Buffer.from('tim')), 'tim')
  assert.equal(decodeLogin(Buffer.from(long)), long)
  for (const text of ['', `${long}x`, 'ti\0m']) assert.equal(decodeLogin(Buffer.from(text)), undefined, JSON.stringify(text.slice(0, 9)))
})

test('EXTERNAL takes an identity or nothing', () => {
  assert.equal(decodeExternal(Buffer.alloc(0)), '')
  assert.equal(decodeExternal(encodeExternal('fred@example.com')), 'fred@example.com')
  assert.equal(decodeExternal(Buffer.from('fr\0ed')), undefined)
  assert.equal(decodeExternal(Buffer.from([0xff])), undefined)
  assert.equal(decodeExternal(Buffer.alloc(1025, 'x')), undefined)
})
