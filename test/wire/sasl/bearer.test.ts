import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  BEARER_MESSAGE_BYTES_MAX,
  decodeOauthbearer,
  decodeXoauth2,
  encodeOauthbearer,
  encodeOauthbearerError,
  encodeXoauth2,
  encodeXoauth2Error,
} from '../../../src/wire/sasl/bearer.ts'

// RFC 7628 §4.1, both examples in base64 as printed.
const IMAP =
  'bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB'
const SMTP =
  'bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB'
const TOKEN = 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=='

for (const [name, encoded, port] of [
  ['IMAP', IMAP, '143'],
  ['SMTP', SMTP, '587'],
] as const) {
  test(`OAUTHBEARER: the ${name} example of RFC 7628 §4.1, both ways`, () => {
    const bytes = Buffer.from(encoded, 'base64')
    const message = { authzid: 'user@example.com', token: TOKEN, host: 'server.example.com', port }
    assert.deepEqual(decodeOauthbearer(bytes), message)
    assert.deepEqual(encodeOauthbearer(message), bytes)
  })
}

const ACCEPTED: readonly (readonly [string, string, object])[] = [
  ['no authzid', 'n,,^auth=Bearer abc^^', { authzid: '', token: 'abc' }],
  ['the scheme in any case', 'n,,^auth=BeArEr abc^^', { token: 'abc' }],
  ['unknown keys', 'n,,^foo=bar^auth=Bearer abc^mthd=POST^^', { token: 'abc' }],
  ['flag y', 'y,a=x,^auth=Bearer abc^^', { authzid: 'x' }],
]
for (const [what, text, expected] of ACCEPTED) {
  test(`OAUTHBEARER with ${what}`, () => {
    const message = decodeOauthbearer(Buffer.from(text.replaceAll('^', '\x01'))) ?? assert.fail('refused')
    for (const [key, value] of Object.entries(expected)) assert.equal(message[key as keyof typeof message], value)
  })
}

const REFUSED: readonly string[] = [
  '',
  '^',
  'n,,',
  'n,,^',
  'n,,^^',
  'n,,auth=Bearer abc^^',
  'n,,^auth=Bearer abc',
  'n,,^auth=Bearer abc^',
  'n,,^auth=Bearer abc^^^',
  'n,,^auth=Bearer abc^^x',
  'n,,^auth=Bearer^^',
  'n,,^auth=Bearer ^^',
  'n,,^auth=Bearer a b^^',
  'n,,^auth=Bearer abc=d^^',
  'n,,^auth=Basic abc^^',
  'n,,^auth=Bearer abc^auth=Bearer abd^^',
  'n,,^=x^auth=Bearer abc^^',
  'n,,^h1=x^auth=Bearer abc^^',
  'n,,^host=\x7f^auth=Bearer abc^^',
  'p=tls-unique,,^auth=Bearer abc^^',
  'n,,^host=\0^auth=Bearer abc^^',
  `n,,^auth=Bearer ${'a'.repeat(BEARER_MESSAGE_BYTES_MAX)}^^`,
]
for (const text of REFUSED) {
  test(`OAUTHBEARER is refused: ${JSON.stringify(text.slice(0, 50))}`, () => {
    assert.equal(decodeOauthbearer(Buffer.from(text.replaceAll('^', '\x01'))), undefined)
  })
}

test('XOAUTH2 both ways', () => {
  // Google's documented example.
  const bytes = Buffer.from(
    'dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==',
    'base64',
  )
  const message = { authzid: 'someuser@example.com', token: 'ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg' }
  assert.deepEqual(decodeXoauth2(bytes), message)
  assert.deepEqual(encodeXoauth2(message), bytes)
})

test('XOAUTH2 is refused when it is not two fields', () => {
  for (const text of [
    '',
    'user=',
    'user=^auth=Bearer abc^^',
    'user=x^^',
    'user=x^auth=Bearer abc',
    'auth=Bearer abc^user=x^^',
    'user=x^auth=abc^^',
  ]) {
    assert.equal(decodeXoauth2(Buffer.from(text.replaceAll('^', '\x01'))), undefined, text)
  }
})

test('error challenges are the JSON that clients look for', () => {
  const oauthbearer = encodeOauthbearerError('invalid_token', 'mail', 'https://id.example/.well-known/openid-configuration')
  assert.deepEqual(JSON.parse(oauthbearer.toString()), {
    status: 'invalid_token',
    scope: 'mail',
    'openid-configuration': 'https://id.example/.well-known/openid-configuration',
  })
  assert.deepEqual(JSON.parse(encodeOauthbearerError('invalid_token', '', '').toString()), { status: 'invalid_token' })
  assert.deepEqual(JSON.parse(encodeXoauth2Error('401', 'mail').toString()), { status: '401', schemes: 'bearer', scope: 'mail' })
})
