import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderScan, headerFields } from '../../../src/session/smtp/header.ts'
import { cuttings } from '../../wire/smtp/splits.ts'

interface Row {
  readonly text: string
  readonly received?: number
  /** What follows the header; undefined while it has not ended. */
  readonly rest?: string
  readonly headless?: boolean
  /** As headless by default. */
  readonly malformed?: boolean
}

const TABLE: readonly Row[] = [
  { text: 'A: b\r\n\r\nbody', rest: 'body' },
  { text: '\r\nbody', rest: 'body' },
  { text: 'A: b\r\n c\r\n\tReceived: d\r\n\r\n', rest: '' },
  { text: 'Received: a\r\nRECEIVED:\r\n b\r\nreceived : c\r\nReceive: d\r\nReceivedd: e\r\nX-Received: f\r\n\r\n', received: 3, rest: '' },
  { text: 'Subject: Received:\r\nReceived: a\r\n\r\nReceived: b\r\n', received: 1, rest: 'Received: b\r\n' },
  { text: 'A: b\r\nnot a field\r\nReceived: c\r\n\r\n', rest: 'a field\r\nReceived: c\r\n\r\n', malformed: true },
  { text: 'Received: a', received: 1 },
  { text: 'Receive' },
  { text: '' },
  { text: 'hello\r\n', headless: true, rest: '\r\n' },
  { text: 'hello world: x\r\n', headless: true, rest: 'world: x\r\n' },
  { text: ' A: b\r\n\r\n', headless: true, rest: ' A: b\r\n\r\n' },
  { text: ': b\r\n', headless: true, rest: ': b\r\n' },
  { text: 'A\x01: b\r\n', headless: true, rest: '\x01: b\r\n' },
  { text: `${'a'.repeat(996)}: b\r\n\r\n`, rest: '' },
  { text: `${'a'.repeat(998)}: b\r\n\r\n`, headless: true, rest: 'a: b\r\n\r\n' },
  { text: 'Ünder: b\r\n\r\n', rest: '' },
]

test('the end of a header and its hops are found alike at every split', () => {
  for (const { text, received = 0, rest, headless = false, malformed = headless } of TABLE) {
    for (const chunks of cuttings(Buffer.from(text))) {
      const scan = new HeaderScan()
      scan.start()
      let left = ''
      for (const chunk of chunks) {
        const at = scan.ended ? 0 : scan.feed(chunk, 0, chunk.length)
        left += chunk.toString('utf8', at)
      }
      const where = `${JSON.stringify(text.slice(0, 60))} in ${chunks.length} chunks`
      assert.equal(scan.received, received, where)
      assert.equal(scan.ended, rest !== undefined, where)
      if (rest !== undefined) assert.equal(left, rest, where)
      assert.equal(scan.headless, headless, where)
      assert.equal(scan.malformed, malformed, where)
    }
  }
})

test('a scan starts over for each message', () => {
  const scan = new HeaderScan()
  scan.start()
  const first = Buffer.from('hello\r\n')
  scan.feed(first, 0, first.length)
  assert.equal(scan.headless, true)
  scan.start()
  assert.equal(scan.headless || scan.ended || scan.decided, false)
})

test('fields of a header block are taken apart', () => {
  const text = 'From : a\r\nTo: b,\r\n c\r\nempty:\r\n\r\n'
  const buf = Buffer.from(text)
  const fields = headerFields(buf, 0, buf.length).map((field) => [
    text.slice(field.start, field.nameEnd),
    text.slice(field.valueStart, field.valueEnd),
    text.slice(field.start, field.end),
  ])
  assert.deepEqual(fields, [
    ['From', ' a', 'From : a\r\n'],
    ['To', ' b,\r\n c', 'To: b,\r\n c\r\n'],
    ['empty', '', 'empty:\r\n'],
  ])
})
