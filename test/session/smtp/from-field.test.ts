import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromAddresses } from '../../../src/session/smtp/from-field.ts'
import { runSeed } from '../../support/seed.ts'

const GOOD: readonly (readonly [value: string, addresses: readonly string[]])[] = [
  ['a@b.example', ['a@b.example']],
  [' a@b.example\r\n', ['a@b.example']],
  ['<a@b.example>', ['a@b.example']],
  ['Anna <a@b.example>', ['a@b.example']],
  ['Anna B. Cee <a@b.example>', ['a@b.example']],
  ['"Anna, B. <x@y.example>" <a@b.example>', ['a@b.example']],
  ['"a\\"b" <a@b.example>', ['a@b.example']],
  ['=?utf-8?q?J=C3=BCrgen?= <a@b.example>', ['a@b.example']],
  ['Jürgen <jürgen@bücher.example>', ['jürgen@bücher.example']],
  ['a@b.example (Anna)', ['a@b.example']],
  ['(x@y.example) a@b.example (c (nested \\) d))', ['a@b.example']],
  ['Anna\r\n <a@b.example>', ['a@b.example']],
  ['a @ b . example', ['a@b.example']],
  ['"a b"@b.example', ['"a b"@b.example']],
  ['a."b c".d@e.example', ['a."b c".d@e.example']],
  ['a@[192.0.2.1]', ['a@[192.0.2.1]']],
  ['a@b.example, Bee <c@d.example>', ['a@b.example', 'c@d.example']],
  [', a@b.example,, c@d.example ,', ['a@b.example', 'c@d.example']],
  ['Friends: a@b.example, Bee <c@d.example>;', ['a@b.example', 'c@d.example']],
  ['Friends: a@b.example;, e@f.example', ['a@b.example', 'e@f.example']],
  ['<@x.example,@y.example:a@b.example>', ['a@b.example']],
]

test('the addresses of a From field are found', () => {
  for (const [value, addresses] of GOOD) assert.deepEqual(fromAddresses(value), addresses, value)
})

const BAD: readonly string[] = [
  '',
  ' ',
  ',',
  'Anna',
  'undisclosed:;',
  'a@b.example c@d.example',
  'a@b.example <c@d.example>',
  '<a@b.example> <c@d.example>',
  '<a@b.example> c@d.example',
  '<a@b.example> x',
  'a b@c.example',
  'a..b@c.example',
  '.a@c.example',
  'a@b..example',
  'a@b.example.',
  'a@',
  '@b.example',
  '<a@b.example',
  'a@b.example>',
  '<>',
  '<a>',
  '"a@b.example',
  '(a@b.example',
  'a@b.example)',
  'a@b@c.example',
  '<@x@y.example:a@b.example>',
  '<@x.example a@b.example>',
  '<@x.example,a@b.example>',
  '<,a@b.example>',
  '<:a@b.example>',
  'Friends: a@b.example',
  ': a@b.example;',
  'A: B: a@b.example;;',
  'a@b.example; c@d.example',
  'a\\b@c.example',
  `${'('.repeat(40)}${')'.repeat(40)} a@b.example`,
]

test('what can be read in two ways is not read at all', () => {
  for (const value of BAD) assert.equal(fromAddresses(value), undefined, value)
})

test('any text is read in time proportional to its length', () => {
  for (const text of ['(', '"', '<', '[', '\\', 'a@b,', 'a:', '<@a,', '((((\\']) {
    fromAddresses(text.repeat(50_000))
  }
  const piece = fc.constantFrom('a', '@', '.', ',', '<', '>', '(', ')', '"', ':', ';', ' ', '[', ']', '\\', 'b.example')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const addresses = fromAddresses(pieces.join(''))
      assert.ok(addresses === undefined || addresses.every((address) => address.includes('@')))
    }),
    { numRuns: 3000, seed: runSeed() },
  )
})
