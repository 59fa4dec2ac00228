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

/** What a client sends about AUTH that is not well-formed, or not wanted: each was told as it came. */
for (const [title, said, shown] of [
  ['behind a blank', ' AUTH PLAIN AGFu\r\n', [' AUTH PLAIN (secret)']],
  ['with an equals sign', 'AUTH=PLAIN AGFu\r\n', ['AUTH=PLAIN (secret)']],
  ['answers with blanks behind', 'AUTH LOGIN\r\nYW5uYQ== \r\nc2Vj\t\r\n', ['AUTH LOGIN', '(secret)', '(secret)']],
  ['an answer behind a cancellation', 'AUTH PLAIN\r\n*\r\nAGFu\r\n', ['AUTH PLAIN', '(secret)', '(secret)']],
  ['an answer that begins like a command', 'AUTH LOGIN\r\nDATA/abc=\r\n', ['AUTH LOGIN', '(secret)']],
  ['an answer of several words', 'AUTH LOGIN\r\nmy pass word\r\nNOOP\r\nxyz\r\n', ['AUTH LOGIN', '(secret)', 'NOOP', 'xyz']],
] as const) {
  test(`secrets are blanked: ${title}, whole and byte by byte`, () => {
    for (const step of [said.length, 1]) {
      const traces = new Traces(new ManualClock(), 'client')
      const { lines } = subscribe(traces, '')
      traces.piece(1, '192.0.2.1', 'out', Buffer.from('220 mx\r\n'), 'text')
      for (let i = 0; i < said.length; i += step) traces.piece(1, '192.0.2.1', 'in', Buffer.from(said.slice(i, i + step)), 'text')
      assert.deepEqual(
        lines.slice(1),
        shown.map((line) => `1 in ${line}`),
      )
    }
  })
}

test('a trace that begins in the middle of an AUTH line is not told its rest', () => {
  for (const rest of ['lAGFubmEAc2VjcmV0', 'TH PLAIN AGFubmEAc2VjcmV0']) {
    const traces = new Traces(new ManualClock(), 'client')
    const { lines } = subscribe(traces, '')
    traces.piece(1, '192.0.2.1', 'in', Buffer.from(`${rest}\r\nRSET\r\n`), 'text')
    assert.deepEqual(lines, ['1 in (secret)', '1 in RSET'])
  }
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
  assert.equal(lines.length, 65)
  assert.deepEqual([lines[0], lines[63], lines[64]], ['1 in NOOP 936', '1 in NOOP 999', '1 in MAIL FROM:<anna@example.org>'])
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

/** Whoever looked for the second message was told RCPT and reply of the first, which was somebody else's. */
test('of a connection that a trace joins in the middle of a message, the next tracer is told nothing of that message', () => {
  const traces = new Traces(new ManualClock(), 'site')
  const { lines } = subscribe(traces, 'shop')
  traces.line(7, 'mx.example.net', 'out', 'RCPT TO:<secret@bank.example>')
  traces.line(7, 'mx.example.net', 'in', '250 queued')
  for (const tenant of ['bank', 'shop', 'bank', 'shop']) {
    traces.message(7, 'mx.example.net', `message of ${tenant}`)
    traces.line(7, 'mx.example.net', 'out', 'MAIL')
  }
  assert.deepEqual(lines, ['7 note message of shop', '7 out MAIL', '7 note message of shop', '7 out MAIL'])
})

test('a delivery that is found by a reply is told from its note on', () => {
  const traces = new Traces(new ManualClock(), 'site')
  const { lines } = subscribe(traces, 'greylisted')
  traces.message(7, 'mx.example.net', 'message of shop')
  traces.line(7, 'mx.example.net', 'out', 'MAIL')
  traces.line(7, 'mx.example.net', 'in', '451 greylisted')
  assert.deepEqual(lines, ['7 note message of shop', '7 out MAIL', '7 in 451 greylisted'])
})

/** Each chunk took the place of a line, so that the commands were gone when the reply matched. */
test('a long body does not push out what was said before it', () => {
  const traces = new Traces(new ManualClock(), 'client')
  const { lines } = subscribe(traces, 'queued as 0')
  traces.piece(1, '192.0.2.1', 'in', Buffer.from('EHLO x\r\nDATA\r\n'), 'text')
  for (let i = 0; i < 100; i++) traces.piece(1, '192.0.2.1', 'in', Buffer.alloc(1000), 'body')
  traces.piece(1, '192.0.2.1', 'out', Buffer.from('250 queued as 0\r\n'), 'text')
  assert.deepEqual(lines, ['1 in EHLO x', '1 in DATA', '1 out 250 queued as 0'])
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
