// When the disk counts as full, and when it has room again.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import { DiskGauge } from '../../src/spool/gauge.ts'
import { memoryWorld } from './support.ts'

const LIMIT = 4_000_000

/** A gauge over a disk whose free bytes the test sets. */
async function gaugeOf(room: { real: number; reusable: number }): Promise<DiskGauge> {
  const disk = Object.create(memoryWorld().disk, { freeBytes: { value: async () => room.real } })
  const gauge = new DiskGauge({
    disk,
    clock: new ManualClock(),
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    directory: '/data',
    minFreeBytes: () => LIMIT,
    reusableBytes: () => room.reusable,
    polled: () => undefined,
  })
  await gauge.look()
  return gauge
}

for (const [name, full, barely, ample] of [
  ['all that is free', { real: 3_999_999, reusable: 0 }, { real: 4_390_000, reusable: 0 }, { real: 4_410_000, reusable: 0 }],
  ['the real share', { real: 999_999, reusable: 9e9 }, { real: 1_090_000, reusable: 9e9 }, { real: 1_110_000, reusable: 9e9 }],
] as const) {
  it(`does not take mail a message at a time when ${name} hovers about the limit`, async () => {
    const room: { real: number; reusable: number } = { ...full }
    const gauge = await gaugeOf(room)
    assert.equal(gauge.full, true)
    Object.assign(room, barely)
    await gauge.look()
    assert.equal(gauge.full, true)
    Object.assign(room, ample)
    await gauge.look()
    assert.equal(gauge.full, false)
    Object.assign(room, barely)
    await gauge.look()
    assert.equal(gauge.full, false, 'no reason to stop again')
  })
}

it('counts what was accepted since the last look', async () => {
  const gauge = await gaugeOf({ real: LIMIT + 100_000, reusable: 0 })
  gauge.spend(90_000)
  assert.equal(gauge.full, false)
  gauge.spend(10_000)
  assert.equal(gauge.full, true)
})
