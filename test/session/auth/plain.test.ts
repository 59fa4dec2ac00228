import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../src/lib/clock.ts'
import { PasswordChecker } from '../../../src/session/auth/password-checker.ts'
import type { PasswordVerdict } from '../../../src/session/auth/ports.ts'
import { FakePasswords, accountOf, b64, bench, contextOf, fakeHash, hear, say, sayUnseen } from './twins.ts'

const SUCCESS = { kind: 'success', account: 'anna@example.org' }
const CREDENTIALS = { kind: 'failure', reply: 'credentials' }
const MALFORMED = { kind: 'failure', reply: 'malformed' }

const PLAIN: readonly (readonly [string, string, object])[] = [
  ['name and password', '\0anna@example.org\0pencil', SUCCESS],
  ['the name in another case', '\0Anna@Example.ORG\0pencil', SUCCESS],
  ['itself as authzid', 'ANNA@example.org\0anna@example.org\0pencil', SUCCESS],
  ['a password that SASLprep changes to the right one', '\0anna@example.org\0pen\u00adcil', SUCCESS],
  ['a wrong password', '\0anna@example.org\0pencils', CREDENTIALS],
  ['the password in another case', '\0anna@example.org\0Pencil', CREDENTIALS],
  ['an unknown name', '\0bert@example.org\0pencil', CREDENTIALS],
  ['a name that SASLprep forbids', '\0an\u0007na\0pencil', CREDENTIALS],
  ['a password that SASLprep forbids', '\0anna@example.org\0pen\u0007cil', CREDENTIALS],
  ['another identity', 'bert@example.org\0anna@example.org\0pencil', CREDENTIALS],
  ['a disabled account', '\0carl@example.org\0pencil', CREDENTIALS],
  ['too few fields', 'anna@example.org\0pencil', MALFORMED],
]

for (const [what, message, outcome] of PLAIN) {
  test(`PLAIN with ${what}`, () => {
    const { authenticator } = bench([accountOf('anna@example.org', 'pencil'), accountOf('carl@example.org', 'pencil', { disabled: true })])
    assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64(message)), outcome)
    const later = authenticator.begin('plain', contextOf())
    assert.deepEqual(say(later, undefined), { kind: 'challenge', data: '' })
    assert.deepEqual(say(later, b64(message)), outcome)
  })
}

test('a name too long for any account takes no look-up and no hash', () => {
  const { authenticator, passwords } = bench()
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64(`\0${'x'.repeat(400)}@example.org\0pencil`)), CREDENTIALS)
  assert.equal(passwords.asked.length, 0)
})

test('LOGIN asks for the name, then for the password', () => {
  const { authenticator } = bench()
  const exchange = authenticator.begin('LOGIN', contextOf())
  assert.deepEqual(say(exchange, undefined), { kind: 'challenge', data: 'Username:' })
  assert.deepEqual(say(exchange, b64('anna@example.org')), { kind: 'challenge', data: 'Password:' })
  assert.deepEqual(say(exchange, b64('pencil')), SUCCESS)
})

test('LOGIN takes the name with the command', () => {
  const { authenticator } = bench()
  const exchange = authenticator.begin('LOGIN', contextOf())
  assert.deepEqual(say(exchange, b64('anna@example.org')), { kind: 'challenge', data: 'Password:' })
  assert.deepEqual(say(exchange, b64('pencils')), CREDENTIALS)
})

test('LOGIN asks for the password of an unknown name too', () => {
  const { authenticator, passwords } = bench()
  const exchange = authenticator.begin('LOGIN', contextOf())
  assert.deepEqual(say(exchange, b64('bert@example.org')), { kind: 'challenge', data: 'Password:' })
  assert.deepEqual(say(exchange, b64('pencil')), CREDENTIALS)
  assert.equal(passwords.asked.length, 1)
})

test('LOGIN without a name or a password is malformed', () => {
  const { authenticator } = bench()
  assert.deepEqual(say(authenticator.begin('LOGIN', contextOf()), Buffer.from('=')), MALFORMED)
  const exchange = authenticator.begin('LOGIN', contextOf())
  say(exchange, b64('anna@example.org'))
  assert.deepEqual(say(exchange, Buffer.alloc(0)), MALFORMED)
})

test('an unknown name costs the same verification as a known one, with the parameters of new accounts', () => {
  const { authenticator, passwords } = bench()
  say(authenticator.begin('PLAIN', contextOf()), b64('\0bert@example.org\0pencil'))
  say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencils'))
  assert.equal(passwords.asked.length, 2)
  assert.match(passwords.asked[0]?.argon2id ?? '', /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
})

test('a login that was right costs no second verification for five minutes, and fifty at once cost one', () => {
  const { authenticator, passwords, clock } = bench()
  passwords.hold = true
  const message = b64('\0anna@example.org\0pencil')
  const answers = Array.from({ length: 50 }, () => hear(authenticator.begin('PLAIN', contextOf()), message))
  assert.equal(passwords.asked.length, 1)
  passwords.release()
  for (const steps of answers) assert.deepEqual(steps, [SUCCESS])
  passwords.hold = false
  clock.advance(299_999)
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), message), SUCCESS)
  assert.equal(passwords.asked.length, 1)
  clock.advance(1)
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), message), SUCCESS)
  assert.equal(passwords.asked.length, 2)
})

test('a changed password, a disabled and a removed account are not remembered', () => {
  const { authenticator, directory } = bench()
  const message = b64('\0anna@example.org\0pencil')
  const login = (): object => say(authenticator.begin('PLAIN', contextOf()), message)
  assert.deepEqual(login(), SUCCESS)
  directory.accounts.set('anna@example.org', accountOf('anna@example.org', 'eraser'))
  assert.deepEqual(login(), CREDENTIALS)
  directory.accounts.set('anna@example.org', accountOf('anna@example.org', 'pencil', { disabled: true }))
  assert.deepEqual(login(), CREDENTIALS)
  directory.accounts.delete('anna@example.org')
  assert.deepEqual(login(), CREDENTIALS)
})

test('a full queue of verifications and a broken back end are temporary', () => {
  const { authenticator, passwords, directory, log, clock } = bench()
  const temporary = { kind: 'failure', reply: 'temporary' }
  passwords.verdict = 'busy'
  assert.deepEqual(sayUnseen(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil'), clock), temporary)
  passwords.verdict = 'failed'
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil')), temporary)
  passwords.verdict = undefined
  directory.broken = true
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0pencil')), temporary)
  assert.equal(log.filter((line) => line.text === 'an account cannot be used').length, 1)
})

test('one network cannot fill the queue of verifications', () => {
  const { authenticator, passwords, clock } = bench()
  passwords.hold = true
  const guess = (client: string, n: number): object[] =>
    hear(authenticator.begin('PLAIN', contextOf({ client })), b64(`\0anna@example.org\0guess${n}`))
  const steps = Array.from({ length: 20 }, (_, n) => guess('2001:db8::1', n))
  clock.advance(1000)
  assert.equal(steps.filter((answers) => answers.length === 1).length, 4)
  assert.deepEqual(steps[16], [{ kind: 'failure', reply: 'temporary' }])
  const [same, other] = [guess('2001:db8::2', 21), guess('2001:db8:0:1::1', 22)]
  clock.advance(1000)
  assert.equal(same.length, 1, 'the same /64')
  assert.equal(other.length, 0, 'another network waits in the queue')
})

test('memory of right passwords is bounded: the oldest goes first', () => {
  const clock = new ManualClock()
  const passwords = new FakePasswords()
  const checker = new PasswordChecker({ clock, passwords, rememberMs: 1000, rememberedMax: 3, perNetworkMax: 16 })
  const check = (password: string): PasswordVerdict => {
    let answer: PasswordVerdict | undefined
    checker.check('n', fakeHash(password), password, (verdict) => (answer = verdict))
    return answer ?? assert.fail('no answer')
  }
  for (const password of ['a', 'b', 'c', 'd']) assert.equal(check(password), 'right')
  assert.equal(passwords.asked.length, 4)
  for (const password of ['b', 'c', 'd']) check(password)
  assert.equal(passwords.asked.length, 4, 'remembered')
  check('a')
  assert.equal(passwords.asked.length, 5, 'pushed out by d')
})
