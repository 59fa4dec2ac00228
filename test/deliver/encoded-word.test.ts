// Raw 8-bit header text as encoded words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sevenBitField } from '../../src/deliver/encoded-word.ts'

const utf8 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

const ROWS: readonly (readonly [field: string, encoded: string])[] = [
  ['Subject: plain', 'Subject: plain'],
  [utf8('To: "Jörg M" <j@x>, <ü@x>'), 'To: "=?utf-8?Q?J=C3=B6rg?= M" <j@x>, <=?utf-8?Q?=C3=BC?=@x>'],
  [utf8('A: ä\tö  ü x'), 'A: =?utf-8?Q?=C3=A4=09=C3=B6=20=20=C3=BC?= x'.replace('=20=20', '__')],
  [utf8('A: ä '), 'A: =?utf-8?Q?=C3=A4?= '],
  [utf8('A: ä\r\n ö'), 'A: =?utf-8?Q?=C3=A4?=\r\n =?utf-8?Q?=C3=B6?='],
  ['A: \xff?_=', 'A: =?unknown-8bit?Q?=FF=3F=5F?=='],
]

test('words with 8-bit characters are encoded, the rest stays', () => {
  for (const [field, encoded] of ROWS) assert.equal(sevenBitField(field), encoded)
})

test('long words are split at characters, into words of at most 75', () => {
  const encoded = sevenBitField(utf8(`A: ${'ü'.repeat(40)}`))
  const words = encoded.slice(3).split('\r\n ')
  assert(words.length > 4)
  for (const word of words) assert.match(word, /^=\?utf-8\?Q\?(=C3=BC)+\?=$/)
  for (const word of words) assert(word.length <= 75)
})

test('time grows with the length, not its square', () => {
  const field = `A: ${'x'.repeat(500_000)}\xff${' y'.repeat(200_000)}`
  const begun = performance.now()
  sevenBitField(field)
  assert(performance.now() - begun < 2000)
})
