// The whole way of a message, from its client to a remote site and back as a notification, by seed and with faults.
// ROHRPOST_SEED=n chooses the first seed, ROHRPOST_SIM_SEEDS=n how many are run; README.md tells more.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runSeed } from '../../support/seed.ts'
import { BrokenPromise, CALM, live, planOf } from './weather.ts'
import type { Faults, Plan } from './weather.ts'
import type { World } from './world.ts'

const SEEDS = Number(process.env['ROHRPOST_SIM_SEEDS'] ?? 8)
const STORY = Number(process.env['ROHRPOST_SIM_STORY'] ?? 0)

/** The kinds of faults in a plan, for the name of its test. */
function kindsOf({ faults }: Plan): string {
  const kinds = Object.entries(faults).flatMap(([kind, on]) => (on ? [kind] : []))
  return kinds.length > 0 ? kinds.join(', ') : 'no faults'
}

async function run(plan: Plan): Promise<World> {
  try {
    return await live(plan)
  } catch (error) {
    if (STORY > 0 && error instanceof BrokenPromise) process.stdout.write(`${error.world.story.slice(-STORY).join('\n')}\n`)
    throw error
  }
}

for (let seed = runSeed(), n = 0; n < SEEDS; n++, seed++) {
  const plan = planOf(seed)
  test(`every message has exactly one end, seed ${seed}: ${kindsOf(plan)}`, async (t) => {
    const { books, faults, events } = await run(plan)
    t.diagnostic(`${events} events, ${JSON.stringify({ ...books.tally(), ...faults })}`)
  })
}

test('without faults nothing is sent twice', async () => {
  const { books } = await run({ seed: runSeed(), faults: CALM, messages: 60 })
  const { taken, again, excused } = books.tally()
  assert.ok((taken ?? 0) > 40)
  assert.deepEqual({ again, excused }, { again: 0, excused: 0 })
})

test('a seed repeats a run exactly', async () => {
  const plan = { ...planOf(runSeed()), messages: 30 }
  const digests: number[] = []
  for (let i = 0; i < 2; i++) digests.push((await run(plan)).digest)
  assert.equal(digests[0], digests[1])
})

// Seeds that see it when the code is without what is named here, as long as they draw the same world.
const GUARDS: readonly (readonly [what: string, seed: number, kinds: readonly (keyof Faults)[]])[] = [
  ['a question about a route is not asked of a thread that has died', 5, ['dns', 'deliver']],
  ['changes wait until lost receptions are logged', 17, ['dns', 'deliver', 'owner', 'slowDisk', 'rush']],
  ['settlements count that come before all deliver threads have spoken', 27, ['remote', 'deliver', 'scheduler', 'freezes', 'slowDisk']],
  ['nothing is granted before all deliver threads have spoken', 15, ['remote', 'deliver', 'scheduler', 'freezes', 'slowDisk']],
  ['what a stop cuts off is written down before its threads end', 95, ['remote', 'restart']],
  ['what a deliver thread settled counts as held', 13, ['owner', 'power', 'freezes', 'diskErrors', 'operator', 'rush']],
]

for (const [what, seed, kinds] of GUARDS) {
  test(`${what} (seed ${seed})`, async () => {
    const { messages } = planOf(seed)
    await run({ seed, faults: { ...CALM, ...Object.fromEntries(kinds.map((kind) => [kind, true])) }, messages })
  })
}
