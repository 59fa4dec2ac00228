import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffDelay } from '../../src/lib/backoff.ts'
import { Prng } from '../../src/lib/prng.ts'

const limits = { firstMs: 60_000, maxMs: 3_600_000 }

test('delays double up to the maximum, with a tenth of jitter to each side', () => {
  const random = new Prng(9)
  for (let failures = 1; failures <= 100; failures++) {
    const plain = Math.min(60_000 * 2 ** (failures - 1), 3_600_000)
    const delay = backoffDelay(failures, limits, random)
    assert.ok(delay >= plain * 0.9 && delay <= plain * 1.1, `${failures}: ${delay}`)
  }
})

test('what fails together does not return together', () => {
  const random = new Prng(9)
  const delays = new Set(Array.from({ length: 100 }, () => backoffDelay(3, limits, random)))
  assert.ok(delays.size > 90)
})
