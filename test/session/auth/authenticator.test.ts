import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AccountConfig } from '../../../src/config/schema.ts'
import { ManualClock } from '../../../src/lib/clock.ts'
import { accountName, aliasPattern, mayUse, newAccountName } from '../../../src/session/auth/account-name.ts'
import { AccountDirectory, accountsPath } from '../../../src/session/auth/accounts.ts'
import { makeAuthMemory, makeAuthenticator } from '../../../src/session/auth/authenticator.ts'
import type { AuthTls } from '../../../src/session/auth/ports.ts'
import { CONFIG, FakePasswords, TLS, accountOf, b64, bench, contextOf, fakeTls, hear, memoryLog, say, sayUnseen } from './twins.ts'

const SUCCESS = { kind: 'success', account: 'anna@example.org' }
const CREDENTIALS = { kind: 'failure', reply: 'credentials' }
const OAUTH = {
  issuer: 'i',
  audience: 'a',
  jwksUrl: 'http://127.0.0.1:1/',
  introspectionUrl: '',
  clientId: '',
  clientSecret: '',
  accountClaim: 'email',
  scope: '',
  openidConfiguration: '',
}

const SCRAM = ['SCRAM-SHA-256', 'SCRAM-SHA-1']
const PLUS = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS']
const OFFERED: readonly (readonly [string, AuthTls | undefined, object, readonly string[]])[] = [
  ['no TLS', undefined, {}, SCRAM],
  ['no TLS, trials', undefined, { allowPlaintextAuth: true }, [...SCRAM, 'PLAIN', 'LOGIN']],
  ['no TLS, tokens', undefined, { oauth: OAUTH, allowPlaintextAuth: true }, [...SCRAM, 'PLAIN', 'LOGIN']],
  ['TLS', TLS, {}, [...PLUS, ...SCRAM, 'PLAIN', 'LOGIN']],
  ['TLS without bindings', fakeTls(), {}, [...SCRAM, 'PLAIN', 'LOGIN']],
  ['TLS with a certificate', fakeTls({}, ['anna@example.org']), {}, [...SCRAM, 'EXTERNAL', 'PLAIN', 'LOGIN']],
  ['TLS and tokens', fakeTls(), { oauth: OAUTH }, [...SCRAM, 'OAUTHBEARER', 'XOAUTH2', 'PLAIN', 'LOGIN']],
]
for (const [what, tls, config, names] of OFFERED) {
  test(`mechanisms with ${what}`, () => {
    const { authenticator } = bench([], config)
    assert.deepEqual(authenticator.mechanisms(tls), names)
    for (const name of names) {
      const begun = authenticator.begin(name, { client: '192.0.2.1', successData: false, ...(tls && { tls }) })
      assert.equal(say(begun, undefined).kind, 'challenge', `${name} can be begun`)
    }
  })
}

const CONFIGURED: AccountConfig = {
  name: 'anna@example.org',
  password: 'pencil',
  aliases: ['*@example.net'],
  quota: { messagesPerHour: 2, recipientsPerHour: 3 },
}

test('an account of the configuration works with every mechanism, and its credentials are made once', () => {
  const { authenticator, passwords } = bench([], { accounts: [CONFIGURED] })
  passwords.hold = true
  const plain = hear(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil'))
  const scram = hear(authenticator.begin('SCRAM-SHA-256', contextOf()), b64('n,,n=anna@example.org,r=x'))
  assert.deepEqual([plain, scram], [[], []])
  passwords.release()
  assert.equal(scram[0]?.kind, 'challenge')
  passwords.release()
  assert.deepEqual(plain, [SUCCESS])
  passwords.hold = false
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0eraser')), CREDENTIALS)
  assert.equal(passwords.derived, 1)
})

test('the directory wins over the configuration', () => {
  const { authenticator, passwords } = bench([accountOf('anna@example.org', 'eraser')], { accounts: [CONFIGURED] })
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil')), CREDENTIALS)
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0eraser')), SUCCESS)
  assert.equal(passwords.derived, 0)
})

test('credentials that could not be made are temporary, and made the next time', () => {
  const { authenticator, passwords, clock } = bench([], { accounts: [CONFIGURED] })
  const login = (): object => say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil'))
  passwords.verdict = 'busy'
  const refused = sayUnseen(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil'), clock)
  assert.deepEqual(refused, { kind: 'failure', reply: 'temporary' })
  passwords.verdict = undefined
  assert.deepEqual(login(), SUCCESS)
})

test('a configured password that nobody can give is told, and not to the client', () => {
  const { authenticator, log } = bench([], { accounts: [{ ...CONFIGURED, password: 'pen\u0007cil' }] })
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil')), CREDENTIALS)
  const problem = 'anna@example.org: its password in the configuration has characters that SASLprep forbids (RFC 4013)'
  assert.deepEqual(log[0], { fields: { problem }, text: 'an account cannot be used' })
})

test('a reload changes accounts, plaintext and tokens, and keeps credentials of what stays', () => {
  const { authenticator, passwords } = bench([], { accounts: [CONFIGURED] })
  const login = (password: string): object => say(authenticator.begin('PLAIN', contextOf()), b64(`\0anna@example.org\0${password}`))
  assert.deepEqual(login('pencil'), SUCCESS)
  authenticator.reload({ ...CONFIG, accounts: [{ ...CONFIGURED }], allowPlaintextAuth: true, oauth: OAUTH })
  assert.deepEqual(login('pencil'), SUCCESS)
  assert.equal(passwords.derived, 1)
  assert.ok(authenticator.mechanisms(undefined).includes('PLAIN'))
  assert.ok(authenticator.mechanisms(fakeTls()).includes('OAUTHBEARER'))
  authenticator.reload({ ...CONFIG, accounts: [{ ...CONFIGURED, password: 'eraser' }] })
  assert.deepEqual(login('pencil'), CREDENTIALS)
  assert.deepEqual(login('eraser'), SUCCESS)
  authenticator.reload(CONFIG)
  assert.deepEqual(login('eraser'), CREDENTIALS)
})

test('accounts may use their own addresses, and only while they are enabled', () => {
  const anna = accountOf('anna@example.org', 'x', { aliases: ['office@example.org'] })
  const { authenticator, directory } = bench([anna], { accounts: [{ ...CONFIGURED, name: 'zoe@example.org' }] })
  assert.equal(authenticator.mayUse('anna@example.org', 'Office@example.org'), true)
  assert.equal(authenticator.mayUse('anna@example.org', 'boss@example.org'), false)
  assert.equal(authenticator.mayUse('zoe@example.org', 'anything@example.net'), true)
  assert.deepEqual(authenticator.aliases('anna@example.org'), ['office@example.org'])
  directory.accounts.set(anna.name, { ...anna, disabled: true })
  assert.equal(authenticator.mayUse('anna@example.org', 'anna@example.org'), false)
  assert.equal(authenticator.takeMessage('anna@example.org'), false)
  directory.broken = true
  assert.equal(authenticator.mayUse('anna@example.org', 'anna@example.org'), false)
  assert.deepEqual(authenticator.aliases('nobody@example.org'), [])
})

test('quotas count over all threads that share the memory', () => {
  const memory = makeAuthMemory()
  const clock = new ManualClock()
  const [a, b] = [1, 2].map(() => bench([], { accounts: [CONFIGURED] }, { memory, clock }).authenticator)
  assert.ok(a && b)
  assert.equal(a.takeMessage('anna@example.org'), true)
  assert.equal(b.takeMessage('anna@example.org'), true)
  assert.equal(a.takeMessage('anna@example.org'), false)
  for (let i = 0; i < 3; i++) assert.equal(b.takeRecipient('anna@example.org'), true)
  assert.equal(a.takeRecipient('anna@example.org'), false)
  clock.advance(65 * 60_000)
  assert.equal(a.takeMessage('anna@example.org'), true)
})

test('made for a net thread it reads the directory of the data directory', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'rohrpost-auth-'))
  t.after(() => rmSync(dataDir, { recursive: true }))
  const directory = await AccountDirectory.open(accountsPath(dataDir), 'write')
  await directory.add(accountOf('anna@example.org', 'pencil'))
  const deps = { clock: new ManualClock(), passwords: new FakePasswords(), log: memoryLog([]), memory: makeAuthMemory() }
  const authenticator = await makeAuthenticator({ ...CONFIG, dataDir }, deps)
  const login = (): object => say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil'))
  assert.deepEqual(login(), SUCCESS)
  await directory.remove('anna@example.org')
  assert.deepEqual(login(), CREDENTIALS)
  await authenticator.close()
  await directory.close()
})

test('names are compared in lower case with the domain in A-labels', () => {
  assert.equal(accountName('Jörg@Müller.example'), 'jörg@xn--mller-kva.example')
  assert.equal(accountName('jörg@xn--mller-kva.example'), 'jörg@xn--mller-kva.example')
  assert.equal(accountName('Anna'), 'anna')
  assert.equal(accountName(''), undefined)
  assert.equal(accountName(`${'\ufdfa'.repeat(30)}@example.org`), undefined, 'NFKC makes 18 characters of one')
})

test('new accounts and aliases are addresses', () => {
  assert.equal(newAccountName('Anna@Example.org'), 'anna@example.org')
  for (const text of [
    'anna',
    '@example.org',
    'anna@',
    'a b@example.org',
    'a@b@example.org',
    '*@example.org',
    'anna@exa mple.org',
    'anna@[192.0.2.1]',
    'a\u0221@example.org',
  ]) {
    assert.equal(newAccountName(text), undefined, text)
  }
  assert.equal(aliasPattern('*@Müller.example'), '*@xn--mller-kva.example')
  assert.equal(aliasPattern('Office@Example.org'), 'office@example.org')
  for (const text of ['*', '*@', '*@*', '*@*.example.org', '**@example.org', 'a*@example.org', '@example.org'])
    assert.equal(aliasPattern(text), undefined, text)
})

test('an address is used by its account, an alias or a pattern, and by nothing that only looks like it', () => {
  const account = { name: 'anna@example.org', aliases: ['office@example.org', '*@example.net'] }
  const may = ['anna@example.org', 'Anna@example.org', 'OFFICE@example.org', 'x@example.net', '"a@b"@example.net']
  const mayNot = [
    'anna@example.com',
    'anna+x@example.org',
    'x@sub.example.net',
    'x@example.net.evil',
    'anna@example.org@example.com',
    '@example.net',
    '*',
    '',
    'example.net',
  ]
  for (const address of may) assert.equal(mayUse(account, address), true, address)
  for (const address of mayNot) assert.equal(mayUse(account, address), false, address)
})
