// What replies mean, and how their text is bounded.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cut, isTooMany, replyOf, verdictOf } from '../../src/deliver/outcome.ts'
import { Outcome } from '../../src/spool/types.ts'
import { ReplyParser } from '../../src/wire/smtp/reply.ts'

test('the class of the code decides', () => {
  const outcomeOf = (code: number): number => verdictOf({ code, enhanced: '', text: '' }).outcome
  assert.deepEqual([250, 251, 252, 299].map(outcomeOf), Array(4).fill(Outcome.delivered))
  assert.deepEqual([354, 421, 450, 452, 499].map(outcomeOf), Array(5).fill(Outcome.deferred))
  assert.deepEqual([500, 550, 552, 599].map(outcomeOf), Array(4).fill(Outcome.bounced))
})

test('too many recipients are told from full mailboxes', () => {
  const tooMany = (code: number, enhanced: string): boolean => isTooMany({ code, enhanced, text: '' })
  assert.deepEqual([tooMany(452, ''), tooMany(452, '4.5.3'), tooMany(552, ''), tooMany(552, '5.5.3')], Array(4).fill(true))
  assert.deepEqual([tooMany(452, '4.2.2'), tooMany(452, '4.3.1'), tooMany(552, '5.2.2'), tooMany(450, '4.5.3')], Array(4).fill(false))
})

test('a reply is read from the parser, lines joined and text cut', () => {
  const parser = new ReplyParser({ lineBytesMax: 512, linesMax: 10 })
  const bytes = Buffer.from('550-5.1.1 no such user\r\n550 5.1.1 grüße\r\n')
  parser.feed(bytes, 0, bytes.length)
  assert.deepEqual(replyOf(parser, 512), { code: 550, enhanced: '5.1.1', text: 'no such user grüße' })
  assert.equal(replyOf(parser, 4).text, 'no s')
})

test('text is cut at characters, not within', () => {
  assert.equal(cut('grüße', 7), 'grüße')
  assert.equal(cut('grüße', 6), 'grüß')
  assert.equal(cut('grüße', 3), 'gr')
  assert.equal(cut('a😀b', 5), 'a😀')
  assert.equal(cut('a😀b', 4), 'a')
  assert.equal(cut('a😀b', 0), '')
})
