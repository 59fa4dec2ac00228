import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { FrameReader } from '../../src/net/resolver-transport.ts'

const MESSAGES = [Buffer.from('a'), Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(65_535, 7), Buffer.from('end')]
const STREAM = Buffer.concat(MESSAGES.flatMap((message) => [Buffer.of(message.length >> 8, message.length & 0xff), message]))
const WANT = MESSAGES.filter((message) => message.length > 0)

function framesOf(cut: (rest: number) => number): Buffer[] {
  const frames: Buffer[] = []
  const reader = new FrameReader((message) => frames.push(message))
  for (let at = 0; at < STREAM.length;) {
    const length = cut(STREAM.length - at)
    reader.ingest(STREAM.subarray(at, at + length))
    at += length
  }
  return frames
}

test('messages are cut out of a TCP stream whole, byte by byte and at random splits', () => {
  assert.deepEqual(
    framesOf((rest) => rest),
    WANT,
  )
  assert.deepEqual(
    framesOf(() => 1),
    WANT,
  )
  const random = new Prng(7)
  for (let i = 0; i < 50; i++)
    assert.deepEqual(
      framesOf(() => 1 + random.below(1 + random.below(40_000))),
      WANT,
    )
})
