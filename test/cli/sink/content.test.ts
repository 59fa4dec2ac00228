import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Content } from '../../../src/cli/sink/content.ts'

/** What stands on the wire behind DATA, and what of it is the message's size; undefined while the end is to come. */
const ROWS: readonly [wire: string, bytes: number | undefined][] = [
  ['.\r\n', 0],
  ['\r\n.\r\n', 2],
  ['a\r\n.\r\n', 3],
  ['..\r\n.\r\n', 3],
  ['..a\r\n..\r\n.\r\n', 7],
  ['a\r\n..\r\n..\r\nb\r\n.\r\n', 12],
  ['a\r\r\n.\r\n', 4],
  ['a\r\n.\r\r\n.\r\n', 6],
  ['a\n.\n\r\n.\r\n', 6],
  ['a\r\n.\n.\r\n\r\n.\r\n', 9],
  ['a\r.\r\n.\r\n', 5],
  ['a\r\n.b\r\n.\r\n', 6],
  ['a', undefined],
  ['a\r\n.\r', undefined],
  ['a\r\n.\n', undefined],
  ['a\n.\r\n', undefined],
  ['a\r.\r', undefined],
]

/** Feeds `wire` in pieces that end at `cuts`; the size, or undefined when the end was not found. */
function size(wire: Buffer, cuts: readonly number[]): number | undefined {
  const content = new Content(true)
  content.start()
  const ends = [...cuts, wire.length]
  let start = 0
  for (const end of ends) {
    const next = content.data(wire.subarray(0, end), start, end)
    if (next >= 0) {
      assert.equal(next, wire.length, 'the end was found too early')
      return content.bytes
    }
    start = end
  }
  return undefined
}

test('the end of DATA is CRLF.CRLF and nothing else, whole, byte by byte and at every split', () => {
  for (const [text, bytes] of ROWS) {
    const wire = Buffer.from(text, 'latin1')
    const places = Array.from({ length: wire.length }, (_, i) => i)
    assert.equal(size(wire, []), bytes, JSON.stringify(text))
    assert.equal(size(wire, places), bytes, `byte by byte: ${JSON.stringify(text)}`)
    for (const at of places) assert.equal(size(wire, [at]), bytes, `${JSON.stringify(text)} at ${at}`)
  }
})

test('any content, dot-stuffed, is as long as it was, at random splits', () => {
  const piece = fc.constantFrom('\r\n', '.', '\r', '\n', 'x', '\r\n.', '\r\n..')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.nat(200)), (pieces, cuts) => {
      const content = `${pieces.join('')}\r\n`
      const wire = Buffer.from(`${content.replace(/(^|\r\n)\./g, '$1..')}.\r\n`)
      assert.equal(
        size(
          wire,
          cuts.map((cut) => cut % wire.length).toSorted((a, b) => a - b),
        ),
        content.length,
      )
    }),
  )
})

test('what follows the end is left alone', () => {
  const content = new Content(false)
  content.start()
  const wire = Buffer.from('a\r\n.\r\nQUIT\r\n')
  assert.equal(content.data(wire, 0, wire.length), 6)
})

test('the head is kept up to its limit, and not at all when nobody wants it', () => {
  const big = Buffer.alloc(200_000, 'x')
  for (const keeps of [true, false]) {
    const content = new Content(keeps)
    content.start()
    content.data(big, 0, 100_000)
    content.data(big, 100_000, 200_000)
    assert.equal(content.head().length, keeps ? 65_536 : 0)
    assert.equal(content.bytes, 200_000)
  }
})
