// Notifications as golden files: test/golden/dsn/NAME.json has the facts, NAME.eml the message, byte by byte.
// UPDATE_GOLDEN=1 writes the messages anew; then read the difference.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { composeDsn, type Dsn, dsnOwed, type DsnAction, type DsnEnvelope, type DsnFacts, type DsnRecipient } from '../../src/queue/dsn.ts'
import { adviceFor } from '../../src/queue/dsn-advice.ts'
import { remoteMta } from '../../src/queue/dsn-status.ts'
import { field, mailDate, quotedPrintable, wrap } from '../../src/queue/dsn-mime.ts'
import { EnvelopeFlag, Notify } from '../../src/spool/types.ts'

const GOLDEN = new URL('../golden/dsn/', import.meta.url)
const UPDATE = process.env['UPDATE_GOLDEN'] === '1'

interface Case {
  readonly about: string
  readonly facts: Omit<DsnFacts, 'header' | 'message'>
  readonly message: string
  readonly complete: boolean
}

const NAMES = readdirSync(GOLDEN)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.slice(0, -'.json'.length))
  .sort()

function load(name: string): { about: string; facts: DsnFacts } {
  const read = JSON.parse(readFileSync(new URL(`${name}.json`, GOLDEN), 'utf8')) as Case
  // Messages outside SMTPUTF8 are written one character a byte.
  const utf8 = (read.facts.envelope.flags & EnvelopeFlag.smtputf8) !== 0 || name.includes('eight-bit-full')
  const message = Buffer.from(read.message, utf8 ? 'utf8' : 'latin1')
  const end = message.indexOf('\r\n\r\n')
  const header = end < 0 ? message : message.subarray(0, end + 4)
  return { about: read.about, facts: { ...read.facts, header, message: read.complete ? message : undefined } }
}

function compose(facts: DsnFacts): Dsn {
  const dsn = composeDsn(facts)
  assert.ok(dsn, 'no notification')
  return dsn
}

for (const name of NAMES) {
  const { about, facts } = load(name)
  test(`${name}: ${about}`, () => {
    const { body } = compose(facts)
    const file = new URL(`${name}.eml`, GOLDEN)
    if (UPDATE) writeFileSync(file, body)
    assert.equal(body.toString('latin1'), readFileSync(file, 'latin1'))
  })

  test(`${name} is well formed: CRLF, short lines, three parts, 7-bit unless it says so`, () => {
    const { body, flags, sender, recipient } = compose(facts)
    assert.equal(sender, '')
    assert.equal(recipient, facts.envelope.sender)
    const text = body.toString('latin1')
    assert.ok(!/[^\r]\n|\r[^\n]/.test(text), 'a bare CR or LF')
    for (const line of text.split('\r\n')) assert.ok(line.length <= 998, `a line of ${line.length}`)
    assert.equal((flags & EnvelopeFlag.eightBit) !== 0, /[\x80-\xff]/.test(text))
    assert.equal((flags & EnvelopeFlag.dots) !== 0, /\n\./.test(text))
    assert.equal((flags & EnvelopeFlag.eightBit) !== 0, /^Content-Transfer-Encoding: 8bit\r$/m.test(text))
    const boundary = /boundary="([^"]+)"/.exec(text)?.[1] ?? ''
    assert.equal(text.split(`\r\n--${boundary}\r\n`).length, 4)
    assert.ok(text.endsWith(`\r\n--${boundary}--\r\n`))
  })
}

test('every golden message has its facts', () => {
  const messages = readdirSync(GOLDEN).filter((name) => name.endsWith('.eml'))
  assert.deepEqual(messages.map((name) => name.slice(0, -'.eml'.length)).sort(), NAMES)
})

test('the same facts give the same bytes', () => {
  const { facts } = load('failed-several')
  assert.ok(compose(facts).body.equals(compose(facts).body))
})

const ENVELOPE: DsnEnvelope = { sender: 'alice@sender.example', envid: '', flags: 0, deliverBy: 0, acceptedAt: 0 }

function recipient(action: DsnAction, notify: number, fields: Partial<DsnRecipient> = {}): DsnRecipient {
  const plain = { address: 'c@example.org', orcpt: '', code: 0, enhanced: '', text: '', peer: '', lastAttemptAt: 0, retryUntil: 0 }
  return { ...plain, action, notify, peerDsn: false, peerDeliverBy: false, expired: false, ...fields }
}

const { success, failure, delay, never } = Notify

/** action, NOTIFY, whether the peer has DSN, whether a notification is owed (RFC 3461 §5.2). */
const OWED: readonly (readonly [DsnAction, number, boolean, boolean])[] = [
  ['failed', 0, false, true],
  ['failed', failure, true, true],
  ['failed', success | delay, false, false],
  ['failed', never, false, false],
  ['delayed', 0, false, true],
  ['delayed', delay, false, true],
  ['delayed', failure | success, false, false],
  ['delayed', never, false, false],
  ['relayed', 0, false, false],
  ['relayed', success, false, true],
  ['relayed', success, true, false],
  ['relayed', failure | delay, false, false],
  ['relayed', never, false, false],
  ['delivered', 0, false, false],
  ['delivered', success, true, true],
  ['delivered', never, false, false],
  ['expanded', success | failure, false, true],
  ['expanded', 0, false, false],
]

for (const [action, notify, peerDsn, owed] of OWED) {
  test(`${action} with NOTIFY ${notify} at a peer ${peerDsn ? 'with' : 'without'} DSN is ${owed ? '' : 'not '}reported`, () => {
    assert.equal(dsnOwed(ENVELOPE, recipient(action, notify, { peerDsn })), owed)
  })
}

test('a null sender is never told of anything', () => {
  for (const action of ['failed', 'delayed', 'relayed', 'delivered', 'expanded'] as const) {
    assert.equal(dsnOwed({ ...ENVELOPE, sender: '' }, recipient(action, success | failure | delay)), false)
  }
  const { facts } = load('failed')
  assert.equal(composeDsn({ ...facts, envelope: { ...facts.envelope, sender: '' } }), undefined)
})

test('the peer is named by the words that are its own, and never by a path on this machine', () => {
  const remote = (code: number, peer: string): string => remoteMta(recipient('failed', 0, { code, peer }))
  assert.equal(remote(550, 'mx.example.net[192.0.2.1]:25'), 'mx.example.net')
  assert.equal(remote(0, 'mx.example.net[192.0.2.1]:25'), '')
  assert.equal(remote(550, '/run/dovecot/lmtp'), '')
})

test('DELIVERBY reports relays to peers without it, and with a trace all of them (RFC 2852 §4.1.4)', () => {
  const envelope = { ...ENVELOPE, deliverBy: 1 }
  assert.equal(dsnOwed(envelope, recipient('relayed', 0)), true)
  assert.equal(dsnOwed(envelope, recipient('relayed', 0, { peerDeliverBy: true })), false)
  assert.equal(dsnOwed(envelope, recipient('relayed', never)), false)
  const traced = { ...envelope, flags: EnvelopeFlag.deliverByTrace }
  assert.equal(dsnOwed(traced, recipient('relayed', failure, { peerDeliverBy: true, peerDsn: true })), true)
})

test('a request to hold the message is reported as it was made (RFC 4865 §5.1.2)', () => {
  const { facts } = load('failed')
  const asked = (changes: Partial<DsnEnvelope>): string | undefined => {
    const body = compose({ ...facts, envelope: { ...facts.envelope, ...changes } }).body.toString()
    return /^Future-Release-Request: (.*)\r$/m.exec(body)?.[1]
  }
  assert.equal(asked({}), undefined)
  assert.equal(asked({ releaseAt: Date.UTC(2026, 10, 24, 9), holdForSeconds: 3600 }), 'for;3600')
  assert.equal(asked({ releaseAt: Date.UTC(2026, 10, 24, 9) }), 'until;2026-11-24T09:00:00Z')
})

test('nothing is composed when nobody is to be told', () => {
  const { facts } = load('failed')
  assert.equal(composeDsn({ ...facts, recipients: facts.recipients.map((one) => ({ ...one, notify: never })) }), undefined)
})

/** action, code, enhanced, expired, Status */
const STATUS: readonly (readonly [DsnAction, number, string, boolean, string])[] = [
  ['failed', 550, '5.7.26', false, '5.7.26'],
  ['failed', 550, '', false, '5.0.0'],
  ['failed', 550, '2.0.0', false, '5.0.0'],
  ['failed', 550, '5.1', false, '5.0.0'],
  ['failed', 550, '5.01.1', false, '5.0.0'],
  ['failed', 550, '5.1.1000', false, '5.0.0'],
  ['failed', 451, '', false, '4.0.0'],
  ['failed', 0, '', true, '4.4.7'],
  ['failed', 451, '4.7.1', true, '4.7.1'],
  ['delayed', 451, '5.7.1', false, '4.0.0'],
  ['relayed', 250, '2.6.0', false, '2.6.0'],
  ['relayed', 250, '', false, '2.0.0'],
]

for (const [action, code, enhanced, expired, status] of STATUS) {
  test(`${action} after ${code} ${enhanced || '(no code)'}${expired ? ', expired,' : ''} has status ${status}`, () => {
    const { facts } = load('failed')
    const one = recipient(action, success | failure | delay, { code, enhanced, expired })
    const text = compose({ ...facts, recipients: [one] }).body.toString('latin1')
    assert.match(text, new RegExp(`\r\nStatus: ${status.replaceAll('.', '\\.')}\r\n`))
  })
}

test('dates are those of RFC 5322 with a numeric zone', () => {
  assert.equal(mailDate(1_800_000_000_000), 'Fri, 15 Jan 2027 08:00:00 +0000')
  assert.equal(mailDate(951_782_400_000), 'Tue, 29 Feb 2000 00:00:00 +0000')
})

test('quoted-printable is undone to the same bytes, in lines of at most 76', () => {
  const samples = ['', 'a', 'a\r\n', '\r\n', 'trailing \r\nspace\t', 'Grüße=', `${'é'.repeat(60)}\r\n${'x'.repeat(200)}\r\n\r\n`, 'a\rb\nc']
  for (const sample of samples) {
    const encoded = quotedPrintable(Buffer.from(sample)).toString('latin1')
    for (const line of encoded.split('\r\n')) {
      assert.ok(line.length <= 76 && !/[ \t]$/.test(line), JSON.stringify(line))
    }
    const bytes = encoded.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    assert.equal(Buffer.from(bytes, 'latin1').toString('utf8'), sample)
  }
})

test('fields fold between words, and long words are cut', () => {
  const folded = field('Diagnostic-Code', `smtp; ${'word '.repeat(40)}${'z'.repeat(2_000)}`)
  for (const line of folded.split('\r\n').slice(0, -1)) assert.ok(line.length <= 920)
  assert.ok(
    folded
      .split('\r\n')
      .slice(1, -1)
      .every((line) => line.startsWith(' ')),
  )
  assert.deepEqual(wrap('one two three', '  ', 8), ['one two', '  three'])
  // Unfolding gives the value back, double spaces included.
  const value = `QQ  314159   ${'a  b '.repeat(40)}end`
  const unfolded = field('Original-Envelope-Id', value)
  assert.ok(
    unfolded
      .split('\r\n')
      .slice(0, -1)
      .every((line) => line.trim() !== ''),
  )
  assert.equal(unfolded.replaceAll('\r\n', ''), `Original-Envelope-Id: ${value}`)
})

test('what the router says is not told as the words of a server', () => {
  const { facts } = load('failed')
  const one = recipient('failed', 0, { code: 451, enhanced: '4.4.3', text: 'DNS lookup failed', peer: '', expired: true })
  const text = compose({ ...facts, recipients: [one] }).body.toString()
  assert.match(text, /^Diagnostic-Code: x-rohrpost; DNS lookup failed\r$/m)
  assert.match(text, /^Status: 4\.4\.3\r$/m)
  assert.match(text, /The reason is: DNS lookup failed/)
  assert.doesNotMatch(text, /Remote-MTA|server said/)
})

test('advice does not say what is not so', () => {
  const { what } = adviceFor('4.4.7', 'delayed', true)
  assert.notEqual(what, adviceFor('4.4.7', 'failed', true).what, 'the time of what is still tried is not over')
  assert.doesNotMatch(adviceFor('5.0.0', 'failed', false).what, /refused/, 'where nobody answered nobody refused')
  assert.doesNotMatch(adviceFor('4.0.0', 'delayed', false).what, /refused/)
})

test('a folded Message-ID is referred to as well', () => {
  const { facts } = load('failed')
  const header = Buffer.from('Subject: x\r\nMessage-ID:\r\n <folded@x.test>\r\n')
  assert.match(compose({ ...facts, header }).body.toString(), /^In-Reply-To: <folded@x\.test>\r$/m)
})

test('advice falls back from the detail to the subject to a general word', () => {
  const what = (status: string): string => adviceFor(status, 'failed', true).what
  assert.notEqual(what('5.1.1'), what('5.1.2'))
  assert.equal(what('5.1.99'), what('5.1.0'))
  assert.equal(what('5.7.26'), what('5.7.1'))
  assert.ok(what('5.0.0').length > 0)
})
