// Servers that do not answer, answer octet by octet, or stop to read: each stage has its time, the clock does not start
// anew with every octet, and who is merely slow is waited for.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Lab, type Scenario } from '../support/lab.ts'
import type { Act } from '../support/peer.ts'
import { events, logs, queueEmpties } from '../support/watch.ts'

const SLOW_MS = 200

function first(name: string, verb: string, act: Act): Scenario {
  return { name, behaviour: (asked) => (asked.connection === 1 && asked.verb === verb ? act : undefined) }
}

const long = (code: string): string => `${code} ${'still here '.repeat(8)}\r\n`

interface Silence extends Scenario {
  readonly of: 'site' | 'message'
  readonly text: RegExp
}

const SILENCES: readonly Silence[] = [
  { ...first('banner', 'banner', { then: 'deaf' }), of: 'site', text: /timed out while waiting for the banner/ },
  { ...first('ehlo', 'EHLO', { then: 'deaf' }), of: 'site', text: /timed out while waiting for the reply to the greeting/ },
  { ...first('mail', 'MAIL', { then: 'deaf' }), of: 'message', text: /timed out while waiting for the reply to MAIL/ },
  { ...first('rcpt', 'RCPT', { then: 'deaf' }), of: 'message', text: /timed out while waiting for the reply to RCPT/ },
  { ...first('data', 'DATA', { then: 'deaf' }), of: 'message', text: /timed out while waiting for the reply to DATA/ },
  {
    ...first('content', 'content', { then: 'deaf' }),
    of: 'message',
    text: /timed out while waiting for the reply to the content.*may arrive twice/,
  },
  { ...first('slow-banner', 'banner', { say: long('220'), everyMs: SLOW_MS }), of: 'site', text: /timed out while waiting for the banner/ },
  {
    ...first('slow-mail', 'MAIL', { say: long('250'), everyMs: SLOW_MS }),
    of: 'message',
    text: /timed out while waiting for the reply to MAIL/,
  },
  {
    ...first('slow-content', 'content', { say: long('250'), everyMs: SLOW_MS }),
    of: 'message',
    text: /timed out while waiting for the reply to the content/,
  },
]

/** Takes DATA and then no more of it: the content must not fit into the kernel's buffers. */
const UNREAD = first('unread', 'DATA', { say: '354 go\r\n', then: 'stop' })
const LARGE = `${'x'.repeat(998)}\r\n`.repeat(20_000)

/** Each reply takes its time, octet by octet, but less than there is. */
const PATIENT: Scenario = {
  name: 'patient',
  behaviour: ({ verb }) => {
    const reply: Readonly<Record<string, string>> = {
      banner: '220 a\r\n',
      MAIL: '250 a\r\n',
      RCPT: '250 a\r\n',
      DATA: '354 a\r\n',
      content: '250 a\r\n',
    }
    const say = reply[verb]
    return say === undefined ? undefined : { say, everyMs: 50 }
  },
}

let lab: Lab
let ids: Map<string, string>

before(async () => {
  lab = await Lab.start([...SILENCES, UNREAD, PATIENT], {
    limits: {
      bannerTimeoutMs: '1s',
      replyTimeoutMs: '1s',
      dataReplyTimeoutMs: '1s',
      dataBlockTimeoutMs: '1s',
      finalDotTimeoutMs: '1s',
    },
  })
  ids = await lab.submit([...SILENCES.map(({ name }) => name), PATIENT.name])
  for (const [name, id] of await lab.submit([UNREAD.name], LARGE)) ids.set(name, id)
})

after(() => lab[Symbol.asyncDispose]())

for (const { name, of, text } of SILENCES) {
  test(`silence, ${name}: it is given up in time and tried again`, async () => {
    await lab.peer(name).takes(1)
    if (of === 'site') {
      await logs(lab.server, new RegExp(`127\\.0\\.0\\.1:${lab.peer(name).port}\\b.*(?:${text.source})`))
      return
    }
    const delays = (await events(lab.server)).filter((event) => event.id === ids.get(name) && event.type === 'delay')
    assert.match(delays[0]?.reply ?? 'no delay', text)
    assert.equal(delays[0]?.enhanced, '4.4.2')
  })
}

test('a peer that stops to read the content is given up in time and tried again', async () => {
  const [taken] = await lab.peer('unread').takes(1)
  assert.ok(taken?.data.endsWith(LARGE))
  const delays = (await events(lab.server)).filter((event) => event.id === ids.get('unread') && event.type === 'delay')
  assert.match(delays[0]?.reply ?? 'no delay', /timed out while sending the content/)
  assert.doesNotMatch(delays[0]?.reply ?? '', /twice/)
})

test('a peer that is slow, octet by octet, but in time is served at the first try', async () => {
  await lab.peer('patient').takes(1)
  assert.equal(lab.peer('patient').connections, 1)
})

test('everything is delivered in the end', async () => {
  await queueEmpties(lab.server)
})
