import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import type { Answer } from '../../src/threads/thread.ts'
import { Traces } from '../../src/threads/traces.ts'

function subscribe(traces: Traces, match: string): { lines: string[]; cancel: () => void; ended: () => boolean } {
  const lines: string[] = []
  let cancel = (): void => undefined
  let ended = false
  const answer: Answer = {
    row: (row) => {
      const { connection, direction, text } = row as { connection: number; direction: string; text: string }
      lines.push(`${connection} ${direction} ${text}`)
    },
    end: () => void (ended = true),
    onCancel: (fn) => void (cancel = fn),
  }
  traces.add({ match }, answer)
  return { lines, cancel: () => cancel(), ended: () => ended }
}

test('lines are told whole, secrets are blanked and bodies counted', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const { lines } = subscribe(traces, '')
  const say = (direction: 'in' | 'out', text: string, what: 'text' | 'secret' | 'body' = 'text'): void =>
    traces.piece(1, '192.0.2.1', direction, Buffer.from(text), what)
  say('out', '220 mx\r\n')
  say('in', 'EHLO x\r\nAU')
  say('in', 'TH PLAIN AGFubmEA')
  say('in', 'c2VjcmV0\r\n')
  say('in', 'c2VjcmV0\r\n', 'secret')
  say('in', 'From: a\r\n\r\nhi\r\n', 'body')
  assert.deepEqual(lines, ['1 out 220 mx', '1 in EHLO x', '1 in AUTH PLAIN (secret)', '1 in (secret)', '1 in (15 bytes)'])
})

test('name and password that come though AUTH was refused are blanked', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const { lines } = subscribe(traces, '')
  const say = (text: string): void => traces.piece(1, '192.0.2.1', 'in', Buffer.from(text), 'text')
  say('AUTH LOGIN\r\nYW5uYQ==\r\nc2Vj')
  say('cmV0\r\nRSET\r\nYW5uYQ==\r\n')
  say('auth plain\r\n')
  say('AGFubmEAc2VjcmV0\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n')
  assert.deepEqual(lines, [
    '1 in AUTH LOGIN',
    '1 in (secret)',
    '1 in (secret)',
    '1 in RSET',
    '1 in YW5uYQ==',
    '1 in auth plain',
    '1 in (secret)',
    '1 in MAIL FROM:<a@example.org>',
    '1 in QUIT',
  ])
})

test('a session that matches is told from its beginning', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const byText = subscribe(traces, 'ANNA')
  const byClient = subscribe(traces, '192.0.2.2')
  for (const [connection, client] of [
    [1, '192.0.2.1'],
    [2, '192.0.2.2'],
  ] as const) {
    for (const line of ['EHLO x\r\n', `MAIL FROM:<${connection === 1 ? 'anna' : 'bert'}@example.org>\r\n`, 'QUIT\r\n']) {
      traces.piece(connection, client, 'in', Buffer.from(line), 'text')
    }
  }
  assert.deepEqual(byText.lines, ['1 in EHLO x', '1 in MAIL FROM:<anna@example.org>', '1 in QUIT'])
  assert.deepEqual(byClient.lines, ['2 in EHLO x', '2 in MAIL FROM:<bert@example.org>', '2 in QUIT'])
})

test('of a session that talked long before it matches, the last lines are told', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const { lines } = subscribe(traces, 'anna')
  for (let i = 0; i < 1000; i++) traces.piece(1, '192.0.2.1', 'in', Buffer.from(`NOOP ${i}\r\n`), 'text')
  traces.piece(1, '192.0.2.1', 'in', Buffer.from('MAIL FROM:<anna@example.org>\r\n'), 'text')
  assert.equal(lines.length, 64)
  assert.deepEqual([lines[0], lines[62], lines[63]], ['1 in NOOP 937', '1 in NOOP 999', '1 in MAIL FROM:<anna@example.org>'])
})

test('who comes later is not told what was said before', () => {
  const traces = new Traces(new ManualClock(), 'client')
  subscribe(traces, 'anna')
  traces.piece(1, '192.0.2.1', 'in', Buffer.from('EHLO x\r\n'), 'text')
  const all = subscribe(traces, '')
  const anna = subscribe(traces, 'anna')
  traces.piece(1, '192.0.2.1', 'in', Buffer.from('NOOP\r\nMAIL FROM:<anna@example.org>\r\n'), 'text')
  assert.deepEqual(all.lines, ['1 in NOOP', '1 in MAIL FROM:<anna@example.org>'])
  assert.deepEqual(anna.lines, all.lines)
})

test('a delivery that matches is told with the greeting of its connection, without the messages before, and nothing twice', () => {
  const traces = new Traces(new ManualClock(), 'site')
  const { lines } = subscribe(traces, 'shop')
  traces.line(7, 'mx.example.net', 'in', '220 hello')
  for (const tenant of ['bank', 'shop', 'bank', 'shop']) {
    traces.message(7, 'mx.example.net', `message of ${tenant}`)
    traces.line(7, 'mx.example.net', 'out', 'MAIL')
  }
  assert.deepEqual(lines, ['7 in 220 hello', '7 note message of shop', '7 out MAIL', '7 note message of shop', '7 out MAIL'])
})

test('a delivery is followed by site, or from the message that somebody looks for to the next one', () => {
  const traces = new Traces(new ManualClock(), 'site')
  const bySite = subscribe(traces, 'example.net')
  const byTenant = subscribe(traces, 'shop')
  for (const tenant of ['bank', 'Shop', 'bank']) {
    traces.message(7, 'mx.example.net', `message of ${tenant}`)
    traces.line(7, 'mx.example.net', 'out', 'MAIL')
  }
  traces.message(8, 'elsewhere.test', 'message of bank')
  assert.equal(bySite.lines.length, 6)
  assert.deepEqual(byTenant.lines, ['7 note message of Shop', '7 out MAIL'])
})

test('a cancelled trace ends, and nobody looks any more', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const { cancel, ended } = subscribe(traces, '')
  assert.equal(traces.active, true)
  cancel()
  assert.equal(ended(), true)
  assert.equal(traces.active, false)
})
