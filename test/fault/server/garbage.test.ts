// Servers that answer what is no SMTP, too much of it, or more than was asked: the connection ends with a clear text, the
// message is tried again, and it arrives once.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Lab, type Scenario } from '../support/lab.ts'
import type { Act, Behaviour } from '../support/peer.ts'
import { eventOf, logs, queueEmpties } from '../support/watch.ts'

/** Misbehaves at `verb` on the first connection. */
function once(verb: string, act: string | Act): Behaviour {
  return (asked) => (asked.connection === 1 && asked.verb === verb ? act : undefined)
}

interface Garbage extends Scenario {
  /** Said of the site when the session was not open yet, of the message when it was. */
  readonly of: 'site' | 'message'
  readonly text: RegExp
}

const noise = Array.from({ length: 200 }, (_, n) => String.fromCharCode((n * 7) % 256)).join('')

const GARBAGE: readonly Garbage[] = [
  { name: 'noise', behaviour: once('banner', `${noise}\r\n`), of: 'site', text: /not an SMTP reply/ },
  { name: 'http', behaviour: once('banner', 'HTTP/1.1 400 Bad Request\r\n\r\n'), of: 'site', text: /not an SMTP reply: HTTP/ },
  { name: 'empty-line', behaviour: once('banner', '\r\n220 late\r\n'), of: 'site', text: /not an SMTP reply/ },
  { name: 'code-999', behaviour: once('banner', '999 what\r\n'), of: 'site', text: /not an SMTP reply: 999/ },
  { name: 'huge-line', behaviour: once('banner', `220 ${'x'.repeat(1024 * 1024)}\r\n`), of: 'site', text: /reply line too long/ },
  {
    name: 'no-line-end',
    behaviour: once('banner', { say: 'y'.repeat(1024 * 1024), then: 'deaf' }),
    of: 'site',
    text: /reply line too long/,
  },
  { name: 'endless-reply', behaviour: once('EHLO', '250-again\r\n'.repeat(20_000)), of: 'site', text: /too many lines/ },
  { name: 'two-codes', behaviour: once('EHLO', '250-peer.test\r\n350 HELP\r\n'), of: 'site', text: /reply code changes/ },
  { name: 'noise-at-mail', behaviour: once('MAIL', `${noise}\r\n`), of: 'message', text: /not an SMTP reply/ },
  { name: 'noise-at-rcpt', behaviour: once('RCPT', `${noise}\r\n`), of: 'message', text: /not an SMTP reply/ },
  { name: 'noise-at-data', behaviour: once('DATA', { say: `${noise}\r\n`, then: 'deaf' }), of: 'message', text: /not an SMTP reply/ },
  { name: 'ok-to-data', behaviour: once('DATA', '250 2.0.0 fine\r\n'), of: 'message', text: /unexpected reply \(data\): 250/ },
  { name: 'go-at-mail', behaviour: once('MAIL', '354 go\r\n'), of: 'message', text: /unexpected reply \(mail\): 354/ },
  {
    name: 'go-at-the-end',
    behaviour: once('content', { say: '354 go on\r\n', then: 'deaf' }),
    of: 'message',
    text: /unexpected reply \(final\): 354.*may arrive twice/,
  },
  { name: 'noise-at-the-end', behaviour: once('content', `${noise}\r\n`), of: 'message', text: /not an SMTP reply.*may arrive twice/ },
  {
    name: 'one-more-at-mail',
    behaviour: once('MAIL', '250 2.1.0 ok\r\n250 2.1.0 ok\r\n'),
    of: 'message',
    text: /unexpected reply \(data\): 250/,
  },
  {
    name: 'one-more-at-ehlo',
    behaviour: once('EHLO', '250-peer.test\r\n250 PIPELINING\r\n550 5.0.0 no\r\n'),
    of: 'site',
    text: /unexpected reply \(idle\): 550/,
  },
]

let lab: Lab
let ids: Map<string, string>

before(async () => {
  lab = await Lab.start(GARBAGE)
  ids = await lab.submit(GARBAGE.map(({ name }) => name))
})

after(() => lab[Symbol.asyncDispose]())

for (const { name, of, text } of GARBAGE) {
  test(`${name}: it is said clearly, and the message arrives by the next connection`, async () => {
    await lab.peer(name).takes(1)
    if (of === 'site') {
      await logs(lab.server, new RegExp(`127\\.0\\.0\\.1:${lab.peer(name).port}\\b.*(?:${text.source}).*site backed off`))
    } else {
      const event = await eventOf(lab.server, `a delay of ${name}`, ({ id, type }) => id === ids.get(name) && type === 'delay')
      assert.match(event.reply, text)
    }
  })
}

test('each message arrived once', async () => {
  await queueEmpties(lab.server)
  for (const { name } of GARBAGE) assert.equal(lab.peer(name).taken.length, 1, name)
})

test('a reply that nobody asked for behind the last one does not bring the message twice', async () => {
  await using own = await Lab.start([
    { name: 'chatty', behaviour: once('content', '250 2.0.0 kept\r\n250 2.0.0 and once more\r\n') },
    { name: 'grumpy', behaviour: once('content', '250 2.0.0 kept\r\n550 5.0.0 changed my mind\r\n') },
  ])
  const names = ['chatty', 'grumpy']
  await own.submit(names)
  await queueEmpties(own.server)
  await own.submit(names)
  for (const name of names) await own.peer(name).takes(2)
  await queueEmpties(own.server)
  for (const name of names) assert.equal(own.peer(name).contents, 2, name)
})
