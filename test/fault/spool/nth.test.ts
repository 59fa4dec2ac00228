// The Nth operation on the disk fails, N = 1, 2, 3 … until the scenario runs without reaching it. Whatever fails, what
// was promised is kept, and nothing waits for ever.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Fault } from '../../../src/spool/memory.ts'
import type { RowRef, SpoolError } from '../../../src/spool/ports.ts'
import type { MessageId } from '../../../src/spool/types.ts'
import { Outcome } from '../../../src/spool/types.ts'
import { Bench, bodyOf, memoryWorld, realWorld, to } from '../../spool/support.ts'
import type { World } from '../../spool/support.ts'

const RED = to('red@one.example')
const GREEN = to('green@two.example')
const bounced = { outcome: Outcome.bounced, code: 550, enhanced: '5.1.1', text: 'no such user' } as const
const deferred = { outcome: Outcome.deferred, code: 450, enhanced: '4.2.1', text: 'later' } as const

/** Operations N to N + `length` - 1 fail with `code`. */
class Trigger {
  readonly #from: number
  readonly #length: number
  readonly #code: string
  #count = 0
  fired = false

  constructor(from: number, length: number, code: string) {
    this.#from = from
    this.#length = length
    this.#code = code
  }

  readonly fault: Fault = () => {
    this.#count++
    if (this.#count < this.#from || this.#count >= this.#from + this.#length) return undefined
    this.fired = true
    return this.#code
  }
}

interface Accepted {
  readonly id: MessageId
  readonly body: Buffer
  readonly error: SpoolError | undefined
}

async function accept(bench: Bench, body: Buffer): Promise<Accepted> {
  const { id, result } = bench.begin([RED, GREEN], body)
  return { id, body, error: await bench.drive(result) }
}

/** Opens again and again until the disk lets it, as the supervisor does. */
async function openSometime(world: World, trigger: Trigger): Promise<Bench> {
  for (let tries = 0; ; tries++) {
    try {
      return await Bench.faulty(world, trigger.fault)
    } catch (error) {
      assert.ok(trigger.fired && tries < 20, String(error))
    }
  }
}

async function scenario(world: World, trigger: Trigger): Promise<void> {
  const bench = await openSometime(world, trigger)
  const accepted = [await accept(bench, bodyOf(500, 1)), await accept(bench, bodyOf(90_000, 2)), await accept(bench, bodyOf(20_000, 3))]
  const there = accepted.filter(({ error }) => !error)
  for (const { error } of accepted) assert.ok(!error || trigger.fired)
  for (const { id } of there) {
    await bench.settle(bench.settlement({ id, group: 0 }, [bounced]), bench.settlement({ id, group: 1 }, [deferred]))
  }
  await hold(
    bench,
    there.map(({ id }) => ({ id, group: 1 })),
    trigger,
  )
  await checkStored(bench, accepted)
  await bench.close()
  const again = await openSometime(world, trigger)
  await checkStored(again, accepted)
  assert.equal(await again.drive(again.owner.rescan(() => true)), there.length * 2)
  await again.close()
  assert.deepEqual((await again.check()).findings, [])
}

/** The operator hears of a disk that goes on failing; the order is carried out all the same, so that the next one finds nothing to do. */
async function hold(bench: Bench, rows: readonly RowRef[], trigger: Trigger): Promise<void> {
  for (let refused = 0; ; refused++) {
    try {
      assert.equal(await bench.drive(bench.owner.admin('hold', rows)), refused === 0 ? rows.length : 0)
      return
    } catch (error) {
      assert.match(String(error), /the order is kept/)
      assert.ok(trigger.fired && refused < 20, String(error))
    }
  }
}

/** Who was accepted is there with its body and one notification; who was refused is not. */
async function checkStored(bench: Bench, accepted: readonly Accepted[]): Promise<void> {
  let there = 0
  for (const { id, body, error } of accepted) {
    assert.deepEqual(await bench.body(id), error ? undefined : body)
    if (!error) there++
  }
  const counts = bench.owner.counts()
  assert.deepEqual([counts.messages, counts.groups], [there * 2, there * 2])
}

/** Runs the scenario for N = 1, `step` + 1, … until nothing fails any more. */
async function loop(makeWorld: () => World, length: number, code: string, step = 1): Promise<void> {
  for (let n = 1; ; n += step) {
    const world = makeWorld()
    const trigger = new Trigger(n, length, code)
    try {
      await scenario(world, trigger)
    } catch (error) {
      throw new Error(`with operation ${n} failing`, { cause: error })
    } finally {
      world.end()
    }
    if (!trigger.fired) {
      assert.ok(n > 30, 'the scenario has become too short to mean anything')
      return
    }
  }
}

describe('the Nth disk operation fails', () => {
  it('once, with EIO', () => loop(memoryWorld, 1, 'EIO'))
  it('once, with ENOSPC', () => loop(memoryWorld, 1, 'ENOSPC'))
  it('and the two after it', () => loop(memoryWorld, 3, 'EIO'))
  it('and the next eleven', () => loop(memoryWorld, 12, 'EIO'))
  it('once, on a real disk', () => loop(realWorld, 1, 'EIO', 7))
})
