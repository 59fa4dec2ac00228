import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { TICK_MAX, TICK_MS, Ticks, Timeline } from '../../src/queue/timeline.ts'

function popAll(timeline: Timeline): [number, number][] {
  const order: [number, number][] = []
  while (timeline.size > 0) {
    order.push([timeline.firstTick, timeline.firstRow])
    timeline.remove(timeline.firstRow)
  }
  return order
}

test('rows come out by time', () => {
  const timeline = new Timeline()
  for (const [row, tick] of [
    [0, 30],
    [1, 10],
    [2, 20],
  ] as const) {
    timeline.set(row, tick)
  }
  assert.deepEqual(popAll(timeline), [
    [10, 1],
    [20, 2],
    [30, 0],
  ])
  assert.equal(timeline.firstTick, Infinity)
})

test('a row that is set again is in the timeline once', () => {
  const timeline = new Timeline()
  timeline.set(5, 10)
  timeline.set(6, 20)
  timeline.set(5, 30)
  timeline.set(6, 5)
  assert.deepEqual(popAll(timeline), [
    [5, 6],
    [30, 5],
  ])
})

test('removing a row that is not there does nothing', () => {
  const timeline = new Timeline()
  timeline.set(1, 1)
  timeline.remove(0)
  timeline.remove(100_000)
  assert.equal(timeline.size, 1)
})

test('the timeline agrees with a sorted twin over random changes, through growth', () => {
  const random = new Prng(11)
  const timeline = new Timeline()
  const twin = new Map<number, number>()
  for (let i = 0; i < 30_000; i++) {
    const row = random.below(6_000)
    if (random.below(3) === 0) {
      timeline.remove(row)
      twin.delete(row)
    } else {
      const tick = random.below(1_000_000)
      timeline.set(row, tick)
      twin.set(row, tick)
    }
  }
  assert.equal(timeline.size, twin.size)
  const order = popAll(timeline)
  assert.deepEqual(
    order.map(([tick]) => tick),
    [...twin.values()].sort((a, b) => a - b),
  )
  for (const [tick, row] of order) assert.equal(twin.get(row), tick)
})

test('a tick is never before the time it stands for, and at most one tick later', () => {
  const now = 1_800_000_000_123
  const ticks = new Ticks(now)
  for (const ms of [now, now + 1, now + 99, now + 100, now + 4_000_000_001]) {
    const back = ticks.ms(ticks.from(ms))
    assert.ok(back >= ms && back < ms + TICK_MS, `${ms} became ${back}`)
    assert.ok(ticks.reached(back) >= ticks.from(ms))
    assert.ok(ticks.reached(ms - 1) < ticks.from(ms))
  }
})

test('times out of reach are bounded: never and long ago', () => {
  const ticks = new Ticks(1_800_000_000_000)
  assert.equal(ticks.from(Infinity), TICK_MAX)
  assert.equal(ticks.from(0), 1)
  assert.equal(ticks.reached(0), 0)
})
