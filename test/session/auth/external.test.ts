import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accountOf, b64, bench, contextOf, fakeTls, say, type SeenStep } from './twins.ts'

const CREDENTIALS = { kind: 'failure', reply: 'credentials' }
const ACCOUNTS = [
  accountOf('anna@example.org', 'x'),
  accountOf('bert@example.org', 'x'),
  accountOf('carl@example.org', 'x', { disabled: true }),
]

function external(addresses: readonly string[], authzid: string): SeenStep {
  const { authenticator } = bench(ACCOUNTS)
  const exchange = authenticator.begin('EXTERNAL', contextOf({ tls: fakeTls({}, addresses) }))
  return say(exchange, authzid === '' ? Buffer.from('=') : b64(authzid))
}

const CASES: readonly (readonly [string, readonly string[], string, object])[] = [
  ['the address of the certificate', ['anna@example.org'], '', { kind: 'success', account: 'anna@example.org' }],
  [
    'the first address that is an account',
    ['zoe@example.org', 'carl@example.org', 'bert@example.org', 'anna@example.org'],
    '',
    { kind: 'success', account: 'bert@example.org' },
  ],
  ['the address asked for', ['anna@example.org', 'bert@example.org'], 'Bert@example.org', { kind: 'success', account: 'bert@example.org' }],
  ['an address that is not in the certificate', ['anna@example.org'], 'bert@example.org', CREDENTIALS],
  ['an unknown account', ['zoe@example.org'], '', CREDENTIALS],
  ['a disabled account', ['carl@example.org'], 'carl@example.org', CREDENTIALS],
  ['an authzid that SASLprep forbids', ['anna@example.org'], 'an\u0007na', CREDENTIALS],
  ['an authzid with a NUL', ['anna@example.org'], 'anna\0', { kind: 'failure', reply: 'malformed' }],
]

for (const [what, addresses, authzid, outcome] of CASES) {
  test(`EXTERNAL: ${what}`, () => {
    assert.deepEqual(external(addresses, authzid), outcome)
  })
}
