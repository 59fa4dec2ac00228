// xtext (RFC 3461 §4); whole MAIL and RCPT lines are in test/dialogue/client/parameters.txt.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { xtext } from '../../src/deliver/commands.ts'

const ROWS: readonly (readonly [text: string, encoded: string])[] = [
  ['', ''],
  ['plain!~*,-<>', 'plain!~*,-<>'],
  ['a+b=c', 'a+2Bb+3Dc'],
  ['a b', 'a+20b'],
  ['\r\n\0\x7f', '+0D+0A+00+7F'],
  ['ü', '+C3+BC'],
]

test('xtext', () => {
  for (const [text, encoded] of ROWS) assert.equal(xtext(text), encoded)
})
