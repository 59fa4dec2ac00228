import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DataDecoder, DataEncoder, DataFlag } from '../../../src/wire/smtp/data.ts'
import type { ContentSink, LineEnds } from '../../../src/wire/smtp/data.ts'
import { runSeed } from '../../support/seed.ts'
import { cut, cuttings } from './splits.ts'

class Collector implements ContentSink {
  text = ''
  calls = 0
  content(buf: Buffer, start: number, end: number): void {
    assert.ok(start < end, 'an empty range')
    this.text += buf.toString('latin1', start, end)
    this.calls++
  }
}

interface Decoded {
  readonly content: string
  readonly done: boolean
  readonly flags: number
  /** What was not used. */
  readonly rest: string
  readonly atLineStart: boolean
}

function decode(chunks: readonly Buffer[], lineEnds: LineEnds, mode: 'data' | 'chunks' = 'data'): Decoded {
  const decoder = new DataDecoder()
  if (mode === 'data') decoder.startData(lineEnds)
  else decoder.startChunks(lineEnds)
  const sink = new Collector()
  let rest = ''
  for (const chunk of chunks) {
    const at = decoder.done ? 0 : decoder.decode(chunk, 0, chunk.length, sink)
    rest += chunk.toString('latin1', at)
  }
  if (mode === 'chunks') decoder.finish()
  return { content: sink.text, done: decoder.done, flags: decoder.flags, rest, atLineStart: decoder.atLineStart }
}

const { dots, eightBit, longLine, bareLf, bareCr, nul } = DataFlag

interface Row {
  readonly wire: string
  readonly content: string
  readonly flags?: number
  readonly rest?: string
  /** Default true. */
  readonly done?: boolean
}

const TABLE: readonly Row[] = [
  { wire: '.\r\n', content: '' },
  { wire: '\r\n.\r\n', content: '\r\n' },
  { wire: 'a\r\n.\r\n', content: 'a\r\n' },
  { wire: 'a\r\nb\r\n\r\nc\r\n.\r\nQUIT\r\n', content: 'a\r\nb\r\n\r\nc\r\n', rest: 'QUIT\r\n' },
  { wire: '..\r\n.\r\n', content: '.\r\n', flags: dots },
  { wire: '...\r\n.\r\n', content: '..\r\n', flags: dots },
  { wire: '.a\r\n.\r\n', content: 'a\r\n' },
  { wire: 'a.\r\n..b\r\n.c\r\n.\r\n', content: 'a.\r\n.b\r\nc\r\n', flags: dots },
  { wire: 'a\r\n..\r\n..\r\n.\r\n.\r\n', content: 'a\r\n.\r\n.\r\n', flags: dots, rest: '.\r\n' },
  { wire: 'a\t\x0b\x0cb\r\n.\r\n', content: 'a\t\x0b\x0cb\r\n' },
  { wire: 'gr\u00fc\u00df\r\n.\r\n', content: 'gr\u00fc\u00df\r\n', flags: eightBit },
  { wire: '\u0080\r\n.\r\n', content: '\u0080\r\n', flags: eightBit },
  { wire: 'a\r\n.\r\n\u00ff\u00ff\u00ff\u00ff', content: 'a\r\n', rest: '\u00ff\u00ff\u00ff\u00ff' },
  { wire: `${'x'.repeat(998)}\r\n.\r\n`, content: `${'x'.repeat(998)}\r\n` },
  { wire: `${'x'.repeat(999)}\r\n.\r\n`, content: `${'x'.repeat(999)}\r\n`, flags: longLine },
  { wire: `ab\r\n${'x'.repeat(999)}\r\nc\r\n.\r\n`, content: `ab\r\n${'x'.repeat(999)}\r\nc\r\n`, flags: longLine },
  { wire: 'a\0b\r\n.\r\n', content: 'a\0b\r\n', flags: nul },
  // Bare LF becomes CRLF; a dot behind it is content, and so is the line it would end.
  { wire: 'a\nb\r\n.\r\n', content: 'a\r\nb\r\n', flags: bareLf },
  { wire: '\n\n\r\n.\r\n', content: '\r\n\r\n\r\n', flags: bareLf },
  { wire: 'a\n.b\r\n.\r\n', content: 'a\r\n.b\r\n', flags: bareLf | dots },
  { wire: 'a\n..b\r\n.\r\n', content: 'a\r\n..b\r\n', flags: bareLf | dots },
  { wire: 'a\n.\nb\r\n.\r\n', content: 'a\r\n.\r\nb\r\n', flags: bareLf | dots },
  { wire: 'a\n.\r\nb\r\n.\r\n', content: 'a\r\n.\r\nb\r\n', flags: bareLf | dots },
  { wire: 'a\n.\r\n.\r\n', content: 'a\r\n.\r\n', flags: bareLf | dots },
  // After CRLF a dot is unstuffed as ever, also in front of a bare LF.
  { wire: 'a\r\n.\nb\r\n.\r\n', content: 'a\r\n\r\nb\r\n', flags: bareLf },
  { wire: '.\n.\r\n', content: '\r\n.\r\n', flags: bareLf | dots, done: false },
  { wire: 'a', content: 'a', done: false },
  { wire: 'a\r\n', content: 'a\r\n', done: false },
  { wire: 'a\r\n.', content: 'a\r\n', done: false },
  { wire: 'a\r\n.\r', content: 'a\r\n', done: false },
  { wire: 'a\n.\n', content: 'a\r\n.\r\n', flags: bareLf | dots, done: false },
]

test('content is unstuffed, normalised and ended alike at every split', () => {
  for (const { wire, content, flags = 0, rest = '', done = true } of TABLE) {
    for (const chunks of cuttings(Buffer.from(wire, 'latin1'))) {
      const got = decode(chunks, 'normalize')
      const where = `${JSON.stringify(wire)} in ${chunks.length} chunks`
      assert.equal(got.content, content, where)
      assert.equal(got.flags, flags, where)
      assert.equal(got.rest, rest, where)
      assert.equal(got.done, done, where)
    }
  }
})

test('bare CR is noted wherever it stands', () => {
  const rows = ['a\rb\r\n.\r\n', '\r\r\n.\r\n', 'a\r\n.\rb\r\n.\r\n', 'a\r\n.\r\r\n.\r\n', '\r.\r\n.\r\n', 'a\r\n\r.\r\n.\r\n']
  for (const wire of rows) {
    for (const chunks of cuttings(Buffer.from(wire))) {
      const got = decode(chunks, 'normalize')
      assert.equal(got.flags & bareCr, bareCr, JSON.stringify(wire))
      assert.ok(got.done, JSON.stringify(wire))
      assert.equal(got.rest, '')
    }
  }
})

/** What has been used elsewhere to end DATA early. Only CRLF.CRLF may. */
const SMUGGLING: readonly string[] = [
  '\n.\n',
  '\n.\r\n',
  '\n.\r',
  '\r.\r',
  '\r.\n',
  '\r.\r\n',
  '\r\n.\n',
  '\r\n.\r',
  '\r\r.\r\r',
  '\r\r\n.\r\r\n',
  '\n\n.\n\n',
  '\r\n.\r\r\n',
  '\r\n.\n\r\n',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\r\n.\r\0\n',
  '\r\n\0.\0\r\n',
  '\r\0\n.\r\n',
  '\0\n.\r\n',
  '\r\n .\r\n',
  '\r\n. \r\n',
  '\r\n.\t\r\n',
  '\r\n..\r\n',
  '\r\n.\x0b\r\n',
  '\r\n.\x0c\r\n',
  '\r\n.\u0085\r\n',
  '\u0085.\u0085',
  '\r\n.\\r\\n',
]

const SMUGGLED = 'MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx'

test('nothing but CRLF.CRLF ends DATA, at any split', () => {
  for (const sequence of SMUGGLING) {
    const wire = Buffer.from(`Subject: a\r\n\r\nhi${sequence}${SMUGGLED}\r\n.\r\nNOOP\r\n`, 'latin1')
    for (const lineEnds of ['normalize', 'refuse'] as const) {
      for (const chunks of cuttings(wire)) {
        const got = decode(chunks, lineEnds)
        assert.ok(got.done)
        assert.equal(got.rest, 'NOOP\r\n', `${JSON.stringify(sequence)} with ${lineEnds} in ${chunks.length} chunks`)
        assert.ok(got.content.includes('MAIL FROM:<evil@example.org>'), JSON.stringify(sequence))
      }
    }
  }
})

test('what leaves by DATA again after normalising cannot end early either', () => {
  for (const sequence of SMUGGLING) {
    const got = decode([Buffer.from(`hi${sequence}${SMUGGLED}\r\n.\r\n`, 'latin1')], 'normalize')
    const sent = encode(cut(Buffer.from(got.content, 'latin1'), []), (got.flags & dots) !== 0)
    const again = decode([Buffer.from(sent, 'latin1')], 'normalize')
    assert.equal(again.rest, '', JSON.stringify(sequence))
    if (!(got.flags & bareCr)) {
      assert.equal(sent.indexOf('\r\n.\r\n'), sent.length - 5, JSON.stringify(sequence))
      assert.equal(again.content, got.content, JSON.stringify(sequence))
      assert.doesNotMatch(sent, /(?<!\r)\n/, JSON.stringify(sequence))
    }
  }
})

test('refuse leaves bare LF alone and says so; the message still ends in step', () => {
  for (const chunks of cuttings(Buffer.from('a\nb\n.\n.\r\nc\r\n.\r\nRSET\r\n'))) {
    const got = decode(chunks, 'refuse')
    assert.equal(got.content, 'a\nb\n.\n.\r\nc\r\n')
    assert.equal(got.flags, bareLf | dots)
    assert.equal(got.rest, 'RSET\r\n')
  }
})

test('chunks of BDAT are not unstuffed, never end, and know how they ended', () => {
  const rows: readonly (readonly [wire: string, content: string, flags: number, atLineStart: boolean])[] = [
    ['', '', 0, true],
    ['a\r\n', 'a\r\n', 0, true],
    ['a', 'a', 0, false],
    ['..a\r\n.\r\nb\r\n', '..a\r\n.\r\nb\r\n', dots, true],
    ['.', '.', dots, false],
    ['a\r\n.', 'a\r\n.', dots, false],
    ['a\n.b', 'a\r\n.b', dots | bareLf, false],
    ['a\r', 'a\r', bareCr, false],
    ['a\rb\r\n', 'a\rb\r\n', bareCr, true],
    ['\0', '\0', nul, false],
  ]
  for (const [wire, content, flags, atLineStart] of rows) {
    for (const chunks of cuttings(Buffer.from(wire, 'latin1'))) {
      const got = decode(chunks, 'normalize', 'chunks')
      assert.deepEqual(got, { content, done: false, flags, rest: '', atLineStart }, JSON.stringify(wire))
    }
  }
})

test('binary content passes byte by byte as it is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(200), { maxLength: 5 }), (bytes, points) => {
      const wire = Buffer.from(bytes)
      const chunks = cut(
        wire,
        points.filter((point) => point < wire.length).toSorted((a, b) => a - b),
      )
      assert.equal(decode(chunks, 'keep', 'chunks').content, wire.toString('latin1'))
    }),
    { seed: runSeed() },
  )
})

/** What the decoder should do, in the words of regular expressions. */
function expected(wire: string): { content: string; done: boolean; rest: string } {
  const end = `\r\n${wire}`.indexOf('\r\n.\r\n')
  const raw = end < 0 ? wire : `\r\n${wire}`.slice(2, end + 2)
  const rest = end < 0 ? '' : `\r\n${wire}`.slice(end + 5)
  const unstuffed = raw.replace(/(^|\r\n)\.(?:\r$)?/g, '$1')
  return { content: unstuffed.replace(/(?<!\r)\n/g, '\r\n'), done: end >= 0, rest }
}

const LETTERS = fc.constantFrom('\r\n', '\r\n', '\n', '\r', '.', '.', '..', 'a', 'bcdefgh', '\0', '\u00e9', '\r\n.\r\n', '\t')
const WIRE = fc.array(LETTERS, { maxLength: 40 }).map((letters) => letters.join(''))

test('any octets decode as the regular expressions say, at any splits', () => {
  fc.assert(
    fc.property(WIRE, fc.array(fc.nat(80), { maxLength: 6 }), (wire, points) => {
      const bytes = Buffer.from(wire, 'latin1')
      const chunks = cut(
        bytes,
        points.filter((point) => point < bytes.length).toSorted((a, b) => a - b),
      )
      const got = decode(chunks, 'normalize')
      const want = expected(wire)
      assert.equal(got.done, want.done)
      assert.equal(got.rest, want.rest)
      if (got.flags & bareCr) return
      assert.equal(got.content, want.content)
      assert.equal((got.flags & dots) !== 0, /(^|\r\n)\./.test(want.content))
      assert.equal((got.flags & eightBit) !== 0, /[\x80-\xff]/.test(want.content))
      assert.equal((got.flags & nul) !== 0, want.content.includes('\0'))
      assert.equal((got.flags & bareLf) !== 0, /(?<!\r)\n/.test(wire.slice(0, wire.length - want.rest.length)))
    }),
    { numRuns: 3000, seed: runSeed() },
  )
})

test('one decoder takes message after message', () => {
  const decoder = new DataDecoder()
  for (const [wire, content, flags] of [
    ['\u00e9\n.\r\n.\r\n', '\u00e9\r\n.\r\n', eightBit | bareLf | dots],
    ['b\r\n.\r\n', 'b\r\n', 0],
  ] as const) {
    decoder.startData('normalize')
    const sink = new Collector()
    const bytes = Buffer.from(wire, 'latin1')
    assert.equal(decoder.decode(bytes, 0, bytes.length, sink), bytes.length)
    assert.equal(sink.text, content)
    assert.equal(decoder.flags, flags)
  }
})

test('lines cost no calls: content without dots and bare LF leaves in one range a chunk', () => {
  const decoder = new DataDecoder()
  decoder.startData('normalize')
  const sink = new Collector()
  const bytes = Buffer.from(`${'line of text\r\n'.repeat(1000)}.\r\n`)
  decoder.decode(bytes, 0, bytes.length, sink)
  assert.equal(sink.calls, 1)
})

function encode(chunks: readonly Buffer[], stuff: boolean): string {
  const encoder = new DataEncoder()
  const sink = new Collector()
  encoder.start(stuff)
  for (const chunk of chunks) encoder.encode(chunk, 0, chunk.length, sink)
  return sink.text + encoder.end().toString('latin1')
}

test('the encoder stuffs dots and ends with CRLF.CRLF at every split', () => {
  const rows: readonly (readonly [content: string, wire: string])[] = [
    ['', '.\r\n'],
    ['a', 'a\r\n.\r\n'],
    ['a\r\n', 'a\r\n.\r\n'],
    ['a\r', 'a\r\r\n.\r\n'],
    ['a\n', 'a\n\r\n.\r\n'],
    ['.', '..\r\n.\r\n'],
    ['.\r\n', '..\r\n.\r\n'],
    ['a\r\n.\r\n.b\r\n..\r\nc.d\r\n', 'a\r\n..\r\n..b\r\n...\r\nc.d\r\n.\r\n'],
    ['\r\n.\r\n', '\r\n..\r\n.\r\n'],
  ]
  for (const [content, wire] of rows) {
    for (const chunks of cuttings(Buffer.from(content))) assert.equal(encode(chunks, true), wire, JSON.stringify(content))
  }
})

test('without stuffing the encoder sends content as it lies and only ends it', () => {
  for (const chunks of cuttings(Buffer.from('a\r\nb\r\n'))) assert.equal(encode(chunks, false), 'a\r\nb\r\n.\r\n')
  for (const chunks of cuttings(Buffer.from('a\r\nb'))) assert.equal(encode(chunks, false), 'a\r\nb\r\n.\r\n')
})

test('what is encoded decodes to itself', () => {
  const content = fc.array(fc.constantFrom('\r\n', '.', 'a', '\u00e9', '..', 'text'), { maxLength: 40 }).map((letters) => letters.join(''))
  fc.assert(
    fc.property(content, fc.nat(40), (text, point) => {
      const bytes = Buffer.from(text, 'latin1')
      const wire = Buffer.from(encode(cut(bytes, [point % (bytes.length + 1)]), true), 'latin1')
      const got = decode([wire], 'refuse')
      assert.ok(got.done)
      assert.equal(got.content, text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`)
    }),
    { numRuns: 1000, seed: runSeed() },
  )
})
