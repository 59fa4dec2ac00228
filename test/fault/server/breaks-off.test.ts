// Servers that break off: half a reply and then the end, a reset, an end in the middle of the content, an end behind the
// final dot. The message stays ours until somebody says 250, and where it may arrive twice the log says so.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Lab, type Scenario } from '../support/lab.ts'
import type { Act } from '../support/peer.ts'
import { eventOf, events, queueEmpties } from '../support/watch.ts'

const HALVES: readonly (readonly [verb: string, half: string])[] = [
  ['banner', '220 pe'],
  ['EHLO', '250-peer.test\r\n250-PIPE'],
  ['MAIL', '25'],
  ['RCPT', '250 2.1'],
  ['DATA', '354'],
  ['content', '250 2.0.0 ke'],
]

const WAYS = { 'half-reply': 'close', reset: 'cut' } as const

function scenario(way: keyof typeof WAYS, [verb, half]: (typeof HALVES)[number]): Scenario {
  const act: Act = way === 'reset' ? { then: 'cut' } : { say: half, then: 'close' }
  return {
    name: `${way}-${verb.toLowerCase()}`,
    behaviour: (asked) => (asked.connection === 1 && asked.verb === verb ? act : undefined),
  }
}

/** A bit of a large content is taken, then the connection is cut. */
const MIDDLE: Scenario = {
  name: 'middle-of-content',
  behaviour: (asked) => (asked.connection === 1 && asked.verb === 'DATA' ? { say: '354 go\r\n', then: 'cut' } : undefined),
}

const BREAKS = [...HALVES.flatMap((half) => [scenario('half-reply', half), scenario('reset', half)]), MIDDLE]
/** More than the buffers between the two hold: cut off before all of it is on its way. */
const LARGE = `${'x'.repeat(998)}\r\n`.repeat(20_000)

let lab: Lab
let ids: Map<string, string>

before(async () => {
  lab = await Lab.start(BREAKS)
  ids = await lab.submit(BREAKS.filter((one) => one !== MIDDLE).map(({ name }) => name))
  for (const [name, id] of await lab.submit([MIDDLE.name], LARGE)) ids.set(name, id)
})

after(() => lab[Symbol.asyncDispose]())

for (const { name } of BREAKS) {
  test(`${name}: the message arrives by the next connection`, async () => {
    await lab.peer(name).takes(1)
    assert.ok(lab.peer(name).connections >= 2)
  })
}

test('what was cut off behind the final dot is marked, everything else is not', async () => {
  await queueEmpties(lab.server)
  const all = await events(lab.server)
  for (const { name } of BREAKS) {
    const delays = all.filter((event) => event.id === ids.get(name) && event.type === 'delay').map((event) => event.reply)
    const twice = name.endsWith('-content') && name !== MIDDLE.name
    for (const text of delays) assert.equal(/it may arrive twice/.test(text), twice, `${name}: ${text}`)
    if (twice) assert.equal(delays.length, 1, name)
    assert.equal(lab.peer(name).contents, twice ? 2 : 1, name)
    assert.equal(lab.peer(name).taken.length, 1, name)
  }
})

test('a delay says what was awaited when the connection was lost', async () => {
  const rcpt = await eventOf(lab.server, 'the delay', ({ id, type }) => id === ids.get('half-reply-rcpt') && type === 'delay')
  assert.match(rcpt.reply, /connection lost.* while waiting for the reply to RCPT/)
  assert.equal(rcpt.enhanced, '4.4.2')
})

test('a large content arrives whole after it was cut off in the middle', async () => {
  const [taken] = await lab.peer(MIDDLE.name).takes(1)
  assert.ok(taken?.data.endsWith(LARGE))
})
