// The client's side of AUTH; whole exchanges are in test/dialogue/client/opening.txt.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { SaslError, chooseMechanism } from '../../src/deliver/sasl.ts'
import type { SaslClient } from '../../src/deliver/sasl.ts'

const CREDENTIALS = { user: 'user', password: 'pencil' }
const NONCE = 'rOprNGfwEbeRWgbNEkqO'
const SERVER_NONCE = `${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0`
const SERVER_FIRST = `r=${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`

function choose(...offered: string[]): SaslClient | undefined {
  return chooseMechanism(offered, CREDENTIALS, () => NONCE)
}

function reasonOf(answer: Buffer | SaslError): string {
  assert(answer instanceof SaslError)
  return answer.reason
}

test('the mechanism that does not send the password comes first', () => {
  assert.equal(choose('LOGIN', 'PLAIN', 'SCRAM-SHA-256')?.mechanism, 'SCRAM-SHA-256')
  assert.equal(choose('LOGIN', 'PLAIN')?.mechanism, 'PLAIN')
  assert.equal(choose('LOGIN')?.mechanism, 'LOGIN')
  assert.equal(choose('XOAUTH2', 'GSSAPI'), undefined)
})

test('PLAIN answers once, when its message did not fit in the command', () => {
  const plain = choose('PLAIN') as SaslClient
  assert.equal((plain.answer(Buffer.alloc(0)) as Buffer).toString('latin1'), '\0user\0pencil')
  assert.equal(reasonOf(plain.answer(Buffer.alloc(0))), 'PLAIN has one message, the server asks for another')
})

suite('SCRAM breaks off', () => {
  const ROWS: readonly (readonly [name: string, first: string, reason: string])[] = [
    ['when the first message is malformed', 'hello', 'malformed server-first-message'],
    ['when the nonce is another', SERVER_FIRST.replace('r=r', 'r=x'), 'the nonce is not ours'],
    ['when the server adds nothing to the nonce', `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`, 'the nonce is not ours'],
    ['when it would take for ever', SERVER_FIRST.replace('4096', '999999999'), 'too many iterations: 999999999'],
  ]
  for (const [name, first, reason] of ROWS) {
    test(name, () => assert.equal(reasonOf((choose('SCRAM-SHA-256') as SaslClient).answer(Buffer.from(first))), reason))
  }

  const FINALS: readonly (readonly [name: string, final: string, reason: string])[] = [
    ['when the last message is malformed', 'x', 'malformed server-final-message'],
    ['when the server says why not', 'e=invalid-proof', 'the server says: invalid-proof'],
    ['when the signature is wrong', `v=${Buffer.alloc(32).toString('base64')}`, 'the server does not know the password'],
    ['when the signature is short', 'v=AAAA', 'the server does not know the password'],
  ]
  for (const [name, final, reason] of FINALS) {
    test(name, () => {
      const scram = choose('SCRAM-SHA-256') as SaslClient
      assert(scram.answer(Buffer.from(SERVER_FIRST)) instanceof Buffer)
      assert.equal(reasonOf(scram.answer(Buffer.from(final))), reason)
      assert.equal(scram.verify(), 'the server did not prove that it knows the password')
    })
  }
})
