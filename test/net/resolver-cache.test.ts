import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import { TtlCache } from '../../src/net/resolver-cache.ts'

function cacheOf(entriesMax: number, bytesMax = 1_000_000): TtlCache<number> {
  return new TtlCache(new ManualClock(), entriesMax, bytesMax)
}

test('an entry lives for its time and no longer', () => {
  const clock = new ManualClock()
  const cache = new TtlCache<string>(clock, 10, 100_000)
  cache.set('a', 'x', 1000, 1)
  clock.advance(999)
  assert.deepEqual(cache.get('a'), { value: 'x', remainingMs: 1 })
  clock.advance(1)
  assert.equal(cache.get('a'), undefined)
})

test('what is asked for stays, what nobody asks for goes', () => {
  const cache = cacheOf(20)
  cache.set('hot', 1, 1000, 1)
  cache.set('cold', 1, 1000, 1)
  for (let i = 0; i < 100; i++) {
    cache.set(`k${i}`, i, 1000, 1)
    assert(cache.get('hot'), `after ${i}`)
    assert(cache.size <= 20)
  }
  assert.equal(cache.get('cold'), undefined)
  assert(cache.get('k99'))
})

test('the newest half is always there', () => {
  const cache = cacheOf(20)
  for (let i = 0; i < 1000; i++) {
    cache.set(`k${i}`, i, 1000, 1)
    for (let back = 0; back < Math.min(10, i); back++) assert.equal(cache.get(`k${i - back}`)?.value, i - back)
  }
})

test('large answers push out others, and one too large is not kept', () => {
  const cache = cacheOf(1000, 10_000)
  for (let i = 0; i < 10; i++) {
    cache.set(`k${i}`, i, 1000, 2000)
    assert(cache.size * 2000 <= 10_000)
  }
  cache.set('huge', 1, 1000, 9000)
  assert.equal(cache.get('huge'), undefined)
  assert(cache.get('k9'))
})

test('replacing an entry gives back its room, in either generation', () => {
  const cache = cacheOf(4, 20_000)
  for (let i = 0; i < 100; i++) cache.set('same', i, 1000, 5000)
  cache.set('other', 1, 1000, 4000)
  assert.equal(cache.get('same')?.value, 99)
  cache.set('third', 1, 1000, 10)
  cache.set('same', 100, 1000, 10)
  assert.equal(cache.get('same')?.value, 100)
  assert.equal(cache.get('other')?.value, 1)
  assert.equal(cache.size, 3)
})

test('an answer without time is not kept', () => {
  const cache = cacheOf(10)
  cache.set('a', 1, 0, 1)
  assert.equal(cache.size, 0)
})
