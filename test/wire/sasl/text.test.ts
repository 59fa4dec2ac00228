import assert from 'node:assert/strict'
import { test } from 'node:test'
import { prepareQuery, prepareStored, strictUtf8 } from '../../../src/wire/sasl/text.ts'

// RFC 4013 §3, and what hides in fields of other software.
const PREPARED: readonly (readonly [string, string, string | undefined])[] = [
  ['a soft hyphen is mapped to nothing', 'I\u00adX', 'IX'],
  ['plain text stays', 'user', 'user'],
  ['case stays', 'USER', 'USER'],
  ['NFKC: a feminine ordinal becomes a', '\u00aa', 'a'],
  ['NFKC: the Roman numeral nine becomes IX', '\u2168', 'IX'],
  ['a control character is prohibited', '\u0007', undefined],
  ['mixed direction is prohibited', '\u06271', undefined],
  ['right to left alone is fine', '\u0627\u0628', '\u0627\u0628'],
  ['a no-break space becomes a space', 'a\u00a0b', 'a b'],
  ['a private character is prohibited', 'a\ue000', undefined],
  ['a lone surrogate is prohibited', 'a\ud800', undefined],
  ['nothing left is a failure', '\u00ad', undefined],
  ['nothing is a failure', '', undefined],
  ['DEL is prohibited', 'a\x7f', undefined],
  ['umlauts are composed', 'u\u0308', '\u00fc'],
]

for (const [what, text, prepared] of PREPARED) {
  test(`SASLprep: ${what}`, () => {
    assert.equal(prepareQuery(text), prepared)
    assert.equal(prepareStored(text), prepared)
  })
}

test('an unassigned code point may be asked for, but not stored', () => {
  const text = 'a\u0221'
  assert.equal(prepareQuery(text), text)
  assert.equal(prepareStored(text), undefined)
})

test('strict UTF-8 takes text, and neither NUL nor broken sequences', () => {
  const cases: readonly (readonly [readonly number[], string | undefined])[] = [
    [[0x61, 0xc3, 0xa4], 'aä'],
    [[], ''],
    [[0xef, 0xbb, 0xbf, 0x61], '\ufeffa'],
    [[0x61, 0x00], undefined],
    [[0xc3], undefined],
    [[0xc0, 0x80], undefined],
    [[0xed, 0xa0, 0x80], undefined],
    [[0xf4, 0x90, 0x80, 0x80], undefined],
  ]
  for (const [bytes, text] of cases) {
    const buf = Buffer.from([0x00, 0xff, ...bytes, 0xff])
    assert.equal(strictUtf8(buf, 2, 2 + bytes.length), text)
  }
})
