// The memories of a thread: output slabs, what was used last, what failed lately.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Output } from '../../src/deliver/output.ts'
import { Failures, Recent } from '../../src/deliver/recent.ts'

test('output is composed in one piece, over the end of a slab too, and never written again', () => {
  const output = new Output()
  const taken: { bytes: Buffer; expected: string }[] = []
  for (let i = 0; i < 300; i++) {
    const text = `${i} grüße `.repeat(1 + (i % 60))
    const body = Buffer.alloc((i * 37) % 5000, i % 256)
    output.text(text)
    output.bytes(body, 0, body.length)
    output.text('.\r\n')
    const expected = Buffer.concat([Buffer.from(text), body, Buffer.from('.\r\n')]).toString('latin1')
    assert.equal(output.length, expected.length)
    taken.push({ bytes: output.take() as Buffer, expected })
  }
  assert.equal(output.take(), undefined)
  for (const { bytes, expected } of taken) assert.equal(bytes.toString('latin1'), expected)
})

test('output may be larger than a slab', () => {
  const output = new Output()
  output.text('x')
  output.text('ü'.repeat(100_000))
  assert.equal(output.take()?.length, 200_001)
})

test('values that were not used for longest are forgotten', () => {
  const recent = new Recent<Buffer>(2)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => Buffer.from(name)) as [Buffer, Buffer, Buffer]
  recent.set('a', a)
  recent.set('b', b)
  assert.equal(recent.get('a'), a)
  recent.set('c', c)
  assert.deepEqual([recent.get('a'), recent.get('b'), recent.get('c')], [a, undefined, c])
  recent.delete('c')
  assert.equal(recent.get('c'), undefined)
})

test('a failure is remembered for its time, or until it is no more', () => {
  const failures = new Failures(10, 1000)
  failures.add('mx:25', 'broken', 5000)
  assert.equal(failures.cause('mx:25', 5999), 'broken')
  assert.equal(failures.cause('other:25', 5999), '')
  assert.equal(failures.cause('mx:25', 6000), '')
  assert.equal(failures.cause('mx:25', 5999), '')
  failures.add('mx:25', 'broken', 5000)
  failures.delete('mx:25')
  assert.equal(failures.cause('mx:25', 5001), '')
})
