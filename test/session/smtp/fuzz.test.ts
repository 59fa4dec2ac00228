import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { runSeed } from '../../support/seed.ts'
import { cut } from '../../wire/smtp/splits.ts'
import { TestHost, testConfig } from './host.ts'
import type { TestSettings } from './host.ts'

/** Pieces of dialogues, whole and broken. */
const PIECES: readonly string[] = [
  'EHLO client.example.com\r\n',
  'LHLO client.example.com\r\n',
  'MAIL FROM:<a@example.com>\r\n',
  'MAIL FROM:<> BODY=BINARYMIME SMTPUTF8\r\n',
  'RCPT TO:<b@example.org>\r\n',
  'RCPT TO:<ask@example.org>\r\n',
  'RCPT TO:<x@example.net>\r\n',
  'DATA\r\n',
  // Outside of DATA such lines end the session, so that they mostly come with it.
  'DATA\r\nSubject: x\r\n',
  'DATA\r\nReceived: x\r\nReceived: y\r\n',
  'DATA\r\nFrom: a@example.com\r\n',
  'Subject: x\r\n',
  '\r\n',
  'text\r\n',
  '..\r\n',
  '.\r\n',
  'BDAT 5\r\n',
  'BDAT 4\r\na\rb\n',
  'BDAT 5 LAST\r\n',
  'BDAT 0 LAST\r\n',
  'hello',
  'RSET\r\n',
  'NOOP\r\n',
  'AUTH PLAIN AGEAYg==\r\n',
  'AUTH LOGIN\r\n',
  'eA==\r\n',
  '*\r\n',
  'STARTTLS\r\n',
  'XCLIENT ADDR=192.0.2.1 LOGIN=anna\r\n',
  'HELP\r\n',
  'VRFY x\r\n',
  '\n',
  '\r',
  '\0',
  '\u00ff',
  ' ',
  '<',
  'x'.repeat(300),
]

const SETTINGS: readonly TestSettings[] = [
  { startTls: true, plainMechanisms: ['PLAIN', 'LOGIN'], mechanisms: ['PLAIN'], ask: ['ask@example.org'] },
  { kind: 'submission', plainMechanisms: ['PLAIN', 'LOGIN'], accounts: { anna: ['a@example.com'] }, relayFrom: ['198.51.100.7'] },
  { kind: 'lmtp', bareLf: 'refuse', xclientFrom: ['198.51.100.7'] },
]

const LIMITS = {
  messageBytesMax: 2000,
  headerBytesMax: 500,
  commandLineBytesMax: 512,
  hopsMax: 3,
  errorsPerConnectionMax: 1000,
  idleCommandsMax: 1000,
}

/** Sends everything, answering whatever is asked at once. Returns the whole dialogue of the server. */
function run(settings: TestSettings, bytes: Buffer, points: readonly number[]): { readonly host: TestHost; readonly said: string } {
  const host = new TestHost(testConfig({ ...settings, limits: LIMITS }))
  const { session, clock } = host
  let step = 0
  host.authAnswer = () => (++step % 3 === 0 ? { kind: 'success', account: 'anna' } : { kind: 'challenge', data: Buffer.from('eA==') })
  let said = host.greet()
  let asked = 0
  for (const chunk of cut(bytes, points)) {
    if (host.closed || host.tlsWanted) break
    said += host.send(chunk)
    while (host.asked.length > asked && !host.closed) {
      const { ticket, facts } = host.asked[asked++] as (typeof host.asked)[number]
      session.onRecipient(ticket, { kind: 'accept', domain: 'x.example', address: facts.recipient }, clock.now())
      said += host.said()
    }
  }
  return { host, said }
}

const INPUT = fc.array(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...PIECES) }, fc.string({ unit: 'binary', maxLength: 8 })), {
  maxLength: 40,
})

test('any input, cut anywhere, is answered alike, and every message ends exactly once', () => {
  fc.assert(
    fc.property(fc.constantFrom(...SETTINGS), INPUT, fc.array(fc.nat(2000), { maxLength: 6 }), (settings, pieces, points) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1')
      const inside = points.filter((point) => point < bytes.length).toSorted((a, b) => a - b)
      const whole = run(settings, bytes, [])
      const parts = run(settings, bytes, inside)
      assert.equal(parts.said, whole.said)
      assert.deepEqual(
        parts.host.messages.map(({ body }) => body.toString('latin1')),
        whole.host.messages.map(({ body }) => body.toString('latin1')),
      )
      for (const { host } of [whole, parts]) {
        host.session.onEnd(host.clock.now())
        for (const intake of host.intakes) assert.ok(intake.aborted !== intake.committed)
        for (const { body } of host.messages) assert.ok(body.length <= LIMITS.messageBytesMax + 500)
      }
    }),
    { numRuns: 1500, seed: runSeed() },
  )
})

test('after any input a session that is still open finds its way back', () => {
  fc.assert(
    fc.property(fc.constantFrom(...SETTINGS), INPUT, (settings, pieces) => {
      const { host } = run(settings, Buffer.from(pieces.join(''), 'latin1'), [])
      if (host.closed || host.tlsWanted || host.unread > 0) return
      // Ends a line, a chunk of BDAT, an exchange of AUTH, DATA, a transaction: whatever it was in.
      host.send(`\r\n${'\r\n'.repeat(5)}*\r\n`)
      host.send('\r\n.\r\n')
      host.send('RSET\r\n')
      if (host.closed || host.tlsWanted) return
      assert.match(host.send('NOOP\r\n'), /250 2\.0\.0 OK\r\n$/)
    }),
    { numRuns: 1500, seed: runSeed() },
  )
})

test('every reply line is one: a code, an enhanced code where there must be one, and printable text', () => {
  fc.assert(
    fc.property(fc.constantFrom(...SETTINGS), INPUT, (settings, pieces) => {
      const { said } = run(settings, Buffer.from(pieces.join(''), 'latin1'), [])
      for (const line of said.split('\r\n').slice(0, -1)) {
        assert.match(line, /^(?:220[ -]|250[ -](?!\d\.)|334 |354 |([245])\d\d[ -]\1\.\d+\.\d+ )\P{Cc}*$/u)
        assert.ok(Buffer.byteLength(line) <= 510)
      }
    }),
    { numRuns: 1000, seed: runSeed() },
  )
})

test('each chunk has one reply, and over LMTP the last one a reply for each recipient, whatever fails', () => {
  const content = fc.array(fc.constantFrom('', 'a\r\n', 'a\rb', 'a\n', '\0', '\r', 'Received: x\r\n'.repeat(4), 'x'.repeat(900)), {
    maxLength: 6,
  })
  fc.assert(
    fc.property(fc.constantFrom('smtp', 'lmtp'), content, fc.integer({ min: 1, max: 4 }), (kind, chunks, recipients) => {
      const host = new TestHost(testConfig({ kind, bareLf: 'refuse', limits: { ...LIMITS, messageBytesMax: 4000 } }))
      host.greet()
      host.send(kind === 'lmtp' ? 'LHLO c\r\n' : 'EHLO c\r\n')
      host.send(`MAIL FROM:<a@example.com>\r\n${'RCPT TO:<b@example.org>\r\n'.repeat(recipients)}`)
      const said = host.send(`${chunks.map((chunk) => `BDAT ${chunk.length}\r\n${chunk}`).join('')}BDAT 0 LAST\r\n`)
      const replies = said.split('\r\n').slice(0, -1)
      assert.equal(replies.length, chunks.length + (kind === 'lmtp' ? recipients : 1))
      const failed = replies.findIndex((reply) => !reply.startsWith('250 '))
      if (failed >= 0) for (const reply of replies.slice(failed)) assert.equal(reply, replies[failed])
      assert.equal(host.messages.length, failed < 0 ? 1 : 0)
      assert.equal(host.send('NOOP\r\n'), '250 2.0.0 OK\r\n')
    }),
    { numRuns: 1000, seed: runSeed() },
  )
})

test('the hunt for broken messages would find one', () => {
  const bytes = Buffer.from('EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nA: b\r\n')
  const { host } = run(SETTINGS[0] as TestSettings, bytes, [])
  assert.equal(host.intakes.length, 1)
  assert.ok(host.intakes[0]?.aborted === host.intakes[0]?.committed, 'in progress: neither')
})
