import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { RateWindow, Speed, windowFor } from '../../src/queue/rate.ts'

/** Uses every permit as soon as it is there; the times of use. */
function greedy(window: RateWindow, from: number, until: number): number[] {
  const times: number[] = []
  for (let now = from; now < until;) {
    const at = window.freeAt(now)
    if (at > now) now = at
    else {
      window.take(now)
      times.push(now)
    }
  }
  return times
}

function mostIn(times: readonly number[], periodMs: number): number {
  let most = 0
  for (let first = 0, last = 0; last < times.length; last++) {
    while ((times[last] as number) - (times[first] as number) >= periodMs) first++
    most = Math.max(most, last - first + 1)
  }
  return most
}

for (const [count, periodMs] of [
  [1, 10_000],
  [7, 1_000],
  [64, 60_000],
  [100, 1_000],
  [10_000, 3_600_000],
] as const) {
  test(`${count} per ${periodMs} ms is never exceeded in any span, and nearly reached`, () => {
    const times = greedy(new RateWindow({ count, periodMs }), 0, periodMs * 6)
    assert.ok(mostIn(times, periodMs) <= count, `${mostIn(times, periodMs)} in one period`)
    assert.ok(times.length >= count * 6 * 0.96, `${times.length} in six periods`)
  })
}

test('a rate holds when use is uneven', () => {
  const random = new Prng(5)
  const window = new RateWindow({ count: 150, periodMs: 10_000 })
  const times: number[] = []
  for (let now = 0; now < 400_000; now += random.below(200)) {
    for (let burst = random.below(40); burst > 0 && window.freeAt(now) <= now; burst--) {
      window.take(now)
      times.push(now)
    }
    if (random.below(50) === 0) now += random.below(30_000)
  }
  assert.ok(times.length > 1_000)
  assert.ok(mostIn(times, 10_000) <= 150)
})

test('a window is idle when all its permits are back', () => {
  const window = new RateWindow({ count: 2, periodMs: 1_000 })
  assert.equal(window.idle(0), true)
  window.take(0)
  assert.equal(window.idle(999), false)
  assert.equal(window.idle(1_000), true)
})

test('windowFor keeps the window of an unchanged rate', () => {
  const old = new RateWindow({ count: 2, periodMs: 1_000 })
  assert.equal(windowFor(old, { count: 2, periodMs: 1_000 }), old)
  assert.notEqual(windowFor(old, { count: 3, periodMs: 1_000 }), old)
  assert.equal(windowFor(old, undefined), undefined)
})

test('speed follows what happened in the last second or so', () => {
  const speed = new Speed()
  for (let now = 0; now < 3_000; now += 10) speed.add(now, 2)
  assert.ok(Math.abs(speed.perSecond(3_000) - 200) < 20, String(speed.perSecond(3_000)))
  assert.equal(speed.perSecond(10_000), 0)
})
