import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'

test('a seed gives the same sequence, another seed another one', () => {
  const draw = (seed: number): number[] => {
    const random = new Prng(seed)
    return Array.from({ length: 8 }, () => random.below(1000))
  }
  assert.deepEqual(draw(42), draw(42))
  assert.notDeepEqual(draw(42), draw(43))
})

test('floats lie in [0, 1) and spread evenly', () => {
  const random = new Prng(7)
  const bins = new Array<number>(10).fill(0)
  for (let i = 0; i < 100_000; i++) {
    const x = random.float()
    assert.ok(x >= 0 && x < 1)
    const bin = Math.floor(x * 10)
    bins[bin] = (bins[bin] as number) + 1
  }
  for (const n of bins) assert.ok(Math.abs(n - 10_000) < 500, `bins ${bins.join(' ')}`)
})
