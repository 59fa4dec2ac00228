import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONFIG, b64, bench, contextOf, fakeTls, hear, say } from './twins.ts'

const MALFORMED = { kind: 'failure', reply: 'malformed' }

const HOSTILE: readonly string[] = [
  'Z',
  'Zg',
  'Zg=',
  '=AAA',
  'AAA=BBB=',
  '====',
  'Zm9v\0',
  'Zh==',
  '-_-_',
  'AGFubmE AGI=',
  'x'.repeat(12_292),
]

for (const text of HOSTILE) {
  test(`a response that is no base64 is malformed: ${JSON.stringify(text.slice(0, 20))}`, () => {
    const { authenticator, passwords } = bench()
    assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), Buffer.from(text, 'latin1')), MALFORMED)
    const later = authenticator.begin('PLAIN', contextOf())
    say(later, undefined)
    assert.deepEqual(say(later, Buffer.from(text, 'latin1')), MALFORMED)
    assert.equal(passwords.asked.length, 0)
  })
}

test('a star cancels, as initial response and later', () => {
  const { authenticator, log } = bench()
  const cancelled = { kind: 'failure', reply: 'cancelled' }
  assert.deepEqual(say(authenticator.begin('PLAIN', contextOf()), Buffer.from('*')), cancelled)
  const later = authenticator.begin('SCRAM-SHA-256', contextOf())
  assert.equal(say(later, undefined).kind, 'challenge')
  assert.deepEqual(say(later, Buffer.from('*')), cancelled)
  assert.deepEqual(log, [], 'not a failed login')
})

test('an equals sign is an empty initial response, but not an empty later one', () => {
  const tls = fakeTls({}, ['anna@example.org'])
  const { authenticator } = bench()
  assert.deepEqual(say(authenticator.begin('EXTERNAL', contextOf({ tls })), Buffer.from('=')), {
    kind: 'success',
    account: 'anna@example.org',
  })
  const later = authenticator.begin('EXTERNAL', contextOf({ tls }))
  say(later, undefined)
  assert.deepEqual(say(later, Buffer.from('=')), MALFORMED)
  const again = authenticator.begin('EXTERNAL', contextOf({ tls }))
  say(again, undefined)
  assert.deepEqual(say(again, Buffer.alloc(0)), { kind: 'success', account: 'anna@example.org' })
})

test('an exchange that is over, or is being answered, takes no response', () => {
  const { authenticator, passwords } = bench()
  const over = authenticator.begin('PLAIN', contextOf())
  say(over, Buffer.from('*'))
  assert.throws(() => over.respond(undefined, () => undefined), /awaited/)
  passwords.hold = true
  const busy = authenticator.begin('PLAIN', contextOf())
  hear(busy, b64('\0anna@example.org\0pencil'))
  assert.throws(() => busy.respond(undefined, () => undefined), /awaited/)
})

test('after the connection has gone nothing is answered, but the guess counts', () => {
  const { authenticator, passwords, log } = bench()
  passwords.hold = true
  const exchange = authenticator.begin('PLAIN', contextOf())
  const steps = hear(exchange, b64('\0anna@example.org\0wrong'))
  exchange.abandon()
  passwords.release()
  assert.deepEqual(steps, [])
  assert.equal(log.length, 1)
  assert.deepEqual(log[0]?.fields, { client: '192.0.2.1', mechanism: 'PLAIN', account: 'anna@example.org', outcome: 'password' })
})

test('an answer to a challenge that is no response at all is malformed', () => {
  const { authenticator } = bench()
  const exchange = authenticator.begin('LOGIN', contextOf())
  assert.equal(say(exchange, undefined).kind, 'challenge')
  assert.deepEqual(say(exchange, undefined), MALFORMED)
})

test('mechanisms that are not to be had say whether TLS is what is missing', () => {
  const { authenticator } = bench()
  const failure = (mechanism: string, tls: boolean): string | undefined =>
    say(authenticator.begin(mechanism, tls ? contextOf() : { client: '192.0.2.1', successData: false }), undefined).reply
  assert.equal(failure('PLAIN', false), 'encryption')
  assert.equal(failure('LOGIN', false), 'encryption')
  assert.equal(failure('SCRAM-SHA-256-PLUS', false), 'encryption')
  assert.equal(failure('EXTERNAL', false), 'encryption')
  assert.equal(failure('EXTERNAL', true), 'mechanism')
  assert.equal(failure('OAUTHBEARER', true), 'mechanism')
  assert.equal(failure('OAUTHBEARER', false), 'mechanism', 'TLS would not help')
  assert.equal(failure('CRAM-MD5', true), 'mechanism')
  assert.equal(failure('', true), 'mechanism')
})

test('EXTERNAL where no client is asked for a certificate is not to be had, with TLS or without', () => {
  const { authenticator } = bench([], { tls: { ...CONFIG.tls, clientCa: undefined } })
  const context = { client: '192.0.2.1', successData: false }
  assert.equal(say(authenticator.begin('EXTERNAL', context), undefined).reply, 'mechanism')
  assert.equal(say(authenticator.begin('EXTERNAL', contextOf()), undefined).reply, 'mechanism')
  assert.ok(!authenticator.tlsMechanisms().includes('EXTERNAL'))
  assert.ok(bench().authenticator.tlsMechanisms().includes('EXTERNAL'))
})

test('failed logins are logged once a minute for a network, with how many there were', () => {
  const { authenticator, log, clock } = bench()
  const guess = (): unknown => hear(authenticator.begin('PLAIN', contextOf()), b64('\0anna@example.org\0wrong'))
  for (let i = 0; i < 3; i++) guess()
  assert.equal(log.length, 1)
  clock.advance(60_000)
  guess()
  assert.deepEqual(log[1]?.fields, {
    client: '192.0.2.1',
    mechanism: 'PLAIN',
    account: 'anna@example.org',
    outcome: 'password',
    suppressed: 2,
  })
})
