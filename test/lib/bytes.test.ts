import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decimal, hasEightBit, isWord, latin1, own, utf8 } from '../../src/lib/bytes.ts'

test('own copies: later changes to the source do not show', () => {
  const source = Buffer.from('hello')
  const copy = own(source, 1, 4)
  source.fill(0)
  assert.equal(copy.toString(), 'ell')
})

test('isWord compares whole words and ignores ASCII case', () => {
  const line = Buffer.from('xMaIl FROM')
  assert.equal(isWord(line, 1, 5, 'MAIL'), true)
  assert.equal(isWord(line, 1, 6, 'MAIL'), false)
  assert.equal(isWord(line, 0, 4, 'MAIL'), false)
  // 0x40 and 0x60, 0x5b and 0x7b differ by 0x20 too, but are no letters.
  assert.equal(isWord(Buffer.from('`'), 0, 1, '@'), false)
  assert.equal(isWord(Buffer.from('{'), 0, 1, '['), false)
})

for (const [text, value] of [
  ['', -1],
  ['0', 0],
  ['00042', 42],
  ['9007199254740991', 9007199254740991],
  ['9007199254740993', -1],
  ['12345678901234567', -1],
  ['-1', -1],
  ['1x', -1],
  [' 1', -1],
] as const) {
  test(`decimal of "${text}" is ${value}`, () => {
    const bytes = Buffer.from(text)
    assert.equal(decimal(bytes, 0, bytes.length), value)
  })
}

test('hasEightBit looks at the range only', () => {
  const bytes = Buffer.from('aäb')
  assert.equal(hasEightBit(bytes, 0, bytes.length), true)
  assert.equal(hasEightBit(bytes, 0, 1), false)
  assert.equal(hasEightBit(bytes, 3, 4), false)
})

test('latin1 and utf8 decode a range', () => {
  const bytes = Buffer.from('xäy')
  assert.equal(utf8(bytes, 1, 3), 'ä')
  assert.equal(latin1(bytes, 1, 3), 'Ã¤')
})
