import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { base64FromText, base64ToText, decodeBase64, encodeBase64 } from '../../../src/wire/sasl/base64.ts'
import { runSeed } from '../../support/seed.ts'

// RFC 4648 §10
const VECTORS: readonly (readonly [string, string])[] = [
  ['', ''],
  ['f', 'Zg=='],
  ['fo', 'Zm8='],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg=='],
  ['fooba', 'Zm9vYmE='],
  ['foobar', 'Zm9vYmFy'],
  ['\xfb\xff\xbf', '+/+/'],
]

for (const [plain, encoded] of VECTORS) {
  test(`${JSON.stringify(plain)} is ${JSON.stringify(encoded)} both ways`, () => {
    const bytes = Buffer.from(plain, 'latin1')
    assert.equal(base64ToText(bytes), encoded)
    assert.deepEqual(base64FromText(encoded), bytes)
  })
}

const HOSTILE: readonly (readonly [string, string])[] = [
  ['a single character', 'Z'],
  ['padding missing', 'Zg'],
  ['one pad too few', 'Zg='],
  ['one pad too many', 'Zm9v='],
  ['only padding', '===='],
  ['three pads', 'Z==='],
  ['padding first', '=AAA'],
  ['padding in the middle', 'AAA=BBB='],
  ['padding between groups', 'Zg==Zg=='],
  ['a pad before the last character', 'Zm=v'],
  ['bits behind one byte', 'Zh=='],
  ['bits behind two bytes', 'Zm9='],
  ['a space', 'Zm 9'],
  ['a line end', 'Zm9v\r\n'],
  ['a NUL', 'Zm9\0'],
  ['the URL alphabet', '-_-_'],
  ['a byte above 127', 'Zm9\xff'],
  ['a star', '*'],
]

for (const [what, text] of HOSTILE) {
  test(`${what} is refused: ${JSON.stringify(text)}`, () => {
    const buf = Buffer.from(text, 'latin1')
    assert.equal(decodeBase64(buf, 0, buf.length), undefined)
  })
}

test('every byte outside the alphabet is refused in every place', () => {
  const alphabet = new Set('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=')
  for (let byte = 0; byte < 256; byte++) {
    if (alphabet.has(String.fromCharCode(byte))) continue
    for (let place = 0; place < 8; place++) {
      const buf = Buffer.from('Zm9vYmFy', 'latin1')
      buf[place] = byte
      assert.equal(decodeBase64(buf, 0, buf.length), undefined, `byte ${byte} at ${place}`)
    }
  }
})

test('what is encoded decodes, and agrees with Node, wherever it lies in a buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (bytes, offset) => {
      const plain = Buffer.from(bytes)
      const encoded = encodeBase64(plain)
      assert.equal(encoded.toString('latin1'), plain.toString('base64'))
      const around = Buffer.alloc(encoded.length + offset + 7, '=')
      encoded.copy(around, offset)
      assert.deepEqual(decodeBase64(around, offset, offset + encoded.length), plain)
    }),
    { seed: runSeed() },
  )
})

test('whatever is accepted is the only spelling of its bytes', () => {
  const characters = [...'AQgwZm9v+/=']
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...characters), { maxLength: 12 }), (list) => {
      const text = list.join('')
      const bytes = base64FromText(text)
      if (bytes) assert.equal(base64ToText(bytes), text)
    }),
    { seed: runSeed(), numRuns: 5000 },
  )
})
