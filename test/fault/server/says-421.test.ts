// 421 at any point: the server is about to go, and nothing was said about the message. What was begun is deferred with
// that reply, what was not begun returns untouched, and all of it arrives once by a later connection.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Lab, type Scenario } from '../support/lab.ts'
import { events, logs, queueEmpties } from '../support/watch.ts'

const GOODBYE = '421 4.3.2 going down\r\n'

function at(verb: string): Scenario {
  const name = `at-${verb.toLowerCase()}`
  const behaviour: Scenario['behaviour'] = (asked) =>
    asked.connection === 1 && asked.verb === verb ? { say: GOODBYE, then: 'close' } : undefined
  return { name, behaviour }
}

/** Before MAIL was answered the message is untouched: no attempt is counted. */
const BEFORE_MAIL = ['banner', 'EHLO', 'MAIL'].map(at)
const BEGUN = ['RCPT', 'DATA', 'content'].map(at)
const ALL = [...BEFORE_MAIL, ...BEGUN]

let lab: Lab
let ids: Map<string, string>

before(async () => {
  lab = await Lab.start(ALL)
  ids = await lab.submit(ALL.map(({ name }) => name))
})

after(() => lab[Symbol.asyncDispose]())

for (const { name } of ALL) {
  test(`421 ${name}: the site is backed off and the message arrives later`, async () => {
    await lab.peer(name).takes(1)
    await logs(lab.server, new RegExp(`127\\.0\\.0\\.1:${lab.peer(name).port}\\b.*"code":421.*going down.*site backed off`))
  })
}

test('only messages that were begun count an attempt', async () => {
  await queueEmpties(lab.server)
  const all = await events(lab.server)
  for (const { name } of ALL) {
    const delays = all.filter((event) => event.id === ids.get(name) && event.type === 'delay')
    const begun = BEGUN.some((scenario) => scenario.name === name)
    assert.deepEqual(
      delays.map(({ code, enhanced }) => `${code} ${enhanced}`),
      begun ? ['421 4.3.2'] : [],
      name,
    )
    assert.equal(lab.peer(name).taken.length, 1, name)
  }
})

test('421 on an idle connection concerns nobody: the next message takes a new one', async () => {
  await using own = await Lab.start([
    {
      name: 'idle',
      behaviour: (asked) =>
        asked.connection === 1 && asked.verb === 'content' ? { say: `250 2.0.0 kept\r\n${GOODBYE}`, then: 'close' } : undefined,
    },
  ])
  await own.submit(['idle'])
  await queueEmpties(own.server)
  await own.submit(['idle'])
  await own.peer('idle').takes(2)
  await queueEmpties(own.server)
  assert.equal(own.peer('idle').contents, 2)
  assert.deepEqual(
    (await events(own.server)).filter(({ type }) => type === 'delay'),
    [],
  )
})
