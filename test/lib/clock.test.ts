import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'

test('a manual clock fires timers in order of their time, then of their making', () => {
  const clock = new ManualClock(1000)
  const fired: string[] = []
  clock.after(20, () => fired.push(`b${clock.now()}`))
  clock.after(10, () => fired.push(`a${clock.now()}`))
  clock.after(20, () => fired.push(`c${clock.now()}`))
  clock.after(15, () => fired.push('never')).cancel()
  assert.equal(clock.nextTimerAt(), 1010)
  clock.advance(20)
  assert.deepEqual(fired, ['a1010', 'b1020', 'c1020'])
  assert.equal(clock.now(), 1020)
  assert.equal(clock.mono(), 20)
})

test('a timer set by a timer fires in the same advance when it is due', () => {
  const clock = new ManualClock(0)
  const fired: number[] = []
  const again = (): void => {
    fired.push(clock.now())
    if (fired.length < 4) clock.after(5, again)
  }
  clock.after(5, again)
  clock.advance(17)
  assert.deepEqual(fired, [5, 10, 15])
  assert.equal(clock.now(), 17)
})
