// 421 at any point: the server is about to go. Before the first MAIL it concerns the site, which is backed off, and no
// message. Behind it what was begun is deferred with that reply, and all of it arrives once by a later connection.

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

const BEFORE_MAIL = ['banner', 'EHLO'].map(at)
const BEGUN = ['MAIL', 'RCPT', 'DATA', 'content'].map(at)
const ALL = [...BEFORE_MAIL, ...BEGUN]

let lab: Lab
let ids: Map<string, string>

before(async () => {
  lab = await Lab.start(ALL)
  ids = await lab.submit(ALL.map(({ name }) => name))
})

after(() => lab[Symbol.asyncDispose]())

function backOff(name: string): RegExp {
  return new RegExp(`127\\.0\\.0\\.1:${lab.peer(name).port}\\b.*"code":421.*going down.*site backed off`)
}

for (const { name } of BEFORE_MAIL) {
  test(`421 ${name}: the site is backed off and the message arrives later`, async () => {
    await lab.peer(name).takes(1)
    await logs(lab.server, backOff(name))
  })
}

for (const { name } of BEGUN) {
  test(`421 ${name}: the message arrives later, and the site is not backed off`, async () => {
    await lab.peer(name).takes(1)
    assert.doesNotMatch(lab.server.child.stderr, backOff(name))
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
