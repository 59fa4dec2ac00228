import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeUtf8Address, decodeXtext, encodeUtf8Address, encodeXtext } from '../../../src/wire/smtp/xtext.ts'
import { runSeed } from '../../support/seed.ts'

test('xtext decodes by the letter', () => {
  const rows: readonly (readonly [xtext: string, text: string | undefined])[] = [
    ['', ''],
    ['abc~!', 'abc~!'],
    ['a+2Bb', 'a+b'],
    ['+3D+20', '= '],
    ['+C3+A9', 'é'],
    ['a+2bb', undefined],
    ['a+', undefined],
    ['a+2', undefined],
    ['a+GG', undefined],
    ['a=b', undefined],
    ['a b', undefined],
    ['é', undefined],
    ['+FF', undefined],
  ]
  for (const [xtext, text] of rows) assert.equal(decodeXtext(xtext), text, xtext)
})

test('addresses of type utf-8 decode by the letter', () => {
  const rows: readonly (readonly [encoded: string, text: string | undefined])[] = [
    ['a@b.example', 'a@b.example'],
    ['\\x{E9}@b.example', 'é@b.example'],
    ['\\x{1F600}', '😀'],
    ['\\x{5C}\\x{20}\\x{2B}\\x{3D}', '\\ +='],
    ['é@b.example', 'é@b.example'],
    ['\\x{e9}', undefined],
    ['\\x{110000}', undefined],
    ['\\x{DFFF}', undefined],
    ['\\x{}', undefined],
    ['\\y', undefined],
    ['a+b', undefined],
    ['a=b', undefined],
    ['a b', undefined],
  ]
  for (const [encoded, text] of rows) assert.equal(decodeUtf8Address(encoded), text, encoded)
})

test('what is encoded decodes to itself, in ASCII on the way', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 30 })
  fc.assert(
    fc.property(text, (original) => {
      if (original.includes('\ufffd')) return
      assert.match(encodeXtext(original), /^[!-<>-~]*$/)
      assert.equal(decodeXtext(encodeXtext(original)), original)
      assert.match(encodeUtf8Address(original), /^[!-~]*$/)
      assert.equal(decodeUtf8Address(encodeUtf8Address(original)), original)
    }),
    { numRuns: 1000, seed: runSeed() },
  )
})
