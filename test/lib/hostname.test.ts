import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { asciiName } from '../../src/lib/hostname.ts'

const TABLE: readonly [text: string, want: string | undefined][] = [
  ['example.org', 'example.org'],
  ['Example.ORG.', 'example.org'],
  ['localhost', 'localhost'],
  ['_25._tcp.mx.example.org', '_25._tcp.mx.example.org'],
  ['a--b.xn--p1ai', 'a--b.xn--p1ai'],
  ['münchen.de', 'xn--mnchen-3ya.de'],
  ['MÜNCHEN.DE', 'xn--mnchen-3ya.de'],
  ['例え。テスト', 'xn--r8jz45g.xn--zckzah'],
  [`${'a'.repeat(63)}.org`, `${'a'.repeat(63)}.org`],
  [`${'a'.repeat(64)}.org`, undefined],
  [`${'a.'.repeat(125)}org`, `${'a.'.repeat(125)}org`],
  [`${'a.'.repeat(126)}org`, undefined],
  [`ä${'x'.repeat(63)}.org`, undefined],
  ['ä..org', undefined],
  ['', undefined],
  ['.', undefined],
  ['..', undefined],
  ['.example.org', undefined],
  ['example..org', undefined],
  ['example.org..', undefined],
  ['exa mple.org', undefined],
  ['exa\0mple.org', undefined],
  ['exa\r\nmple.org', undefined],
  ['example.org:25', undefined],
  ['a@b', undefined],
  ['192.0.2.1', undefined],
  ['１２７.0.0.1', undefined],
  ['example.42', undefined],
  ['[192.0.2.1]', undefined],
  ['*.example.org', undefined],
]

for (const [text, want] of TABLE) {
  test(`a name is read: ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(asciiName(text), want))
}

test('what comes out goes in again unchanged, whatever went in', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.domain()), (text) => {
      const name = asciiName(text)
      if (name !== undefined) assert.equal(asciiName(name), name)
    }),
    { numRuns: 3000 },
  )
})
