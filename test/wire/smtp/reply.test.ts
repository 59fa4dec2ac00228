import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReplyParser, encodeReply } from '../../../src/wire/smtp/reply.ts'
import { runSeed } from '../../support/seed.ts'
import { cut, cuttings } from './splits.ts'

const LIMITS = { lineBytesMax: 512, linesMax: 5 }

interface Read {
  readonly code: number
  readonly enhanced: string
  readonly text: string
  readonly lines: readonly string[]
}

/** All replies in the chunks; the last entry is the error, if any. */
function parse(chunks: readonly Buffer[]): (Read | string)[] {
  const parser = new ReplyParser(LIMITS)
  const found: (Read | string)[] = []
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const next = parser.feed(chunk, at, chunk.length)
      assert.ok(next > at, 'no progress')
      at = next
      if (parser.status === 'reply') {
        found.push({ code: parser.code, enhanced: parser.enhanced, text: parser.text(), lines: parser.lines() })
      } else if (parser.status === 'error') {
        return [...found, parser.error]
      } else {
        assert.equal(at, chunk.length)
      }
    }
  }
  return found
}

interface Row {
  readonly wire: string
  readonly replies: readonly (Partial<Read> | RegExp)[]
}

const TABLE: readonly Row[] = [
  { wire: '250 OK\r\n', replies: [{ code: 250, enhanced: '', text: 'OK', lines: ['OK'] }] },
  { wire: '250\r\n', replies: [{ code: 250, enhanced: '', text: '', lines: [''] }] },
  { wire: '250 \r\n', replies: [{ code: 250, text: '' }] },
  { wire: '334 \r\n', replies: [{ code: 334, text: '' }] },
  {
    wire: '250 2.1.5 Recipient OK\r\n',
    replies: [{ code: 250, enhanced: '2.1.5', text: 'Recipient OK', lines: ['2.1.5 Recipient OK'] }],
  },
  { wire: '550 5.7.515\r\n', replies: [{ code: 550, enhanced: '5.7.515', text: '' }] },
  { wire: '550 5.1.1000 x\r\n', replies: [{ enhanced: '', text: '5.1.1000 x' }] },
  { wire: '550 2.1.1 x\r\n', replies: [{ enhanced: '', text: '2.1.1 x' }] },
  { wire: '550 5.1 x\r\n', replies: [{ enhanced: '', text: '5.1 x' }] },
  { wire: '550 5.1.1.2 x\r\n', replies: [{ enhanced: '', text: '5.1.1.2 x' }] },
  { wire: '550 5.1.1x\r\n', replies: [{ enhanced: '', text: '5.1.1x' }] },
  {
    wire: '550-5.7.26 Not authenticated,\r\n550-5.7.26 see\r\n550 5.7.26  https://example.org/\r\n',
    replies: [{ code: 550, enhanced: '5.7.26', text: 'Not authenticated, see https://example.org/' }],
  },
  {
    wire: '250-mx.example.org\r\n250-SIZE 1000\r\n250 HELP\r\n',
    replies: [{ code: 250, enhanced: '', lines: ['mx.example.org', 'SIZE 1000', 'HELP'] }],
  },
  { wire: '250-a\r\n250\r\n', replies: [{ code: 250, lines: ['a', ''] }] },
  { wire: '250-\r\n250 b\r\n', replies: [{ lines: ['', 'b'] }] },
  { wire: '250 1\r\n354 2\r\n550-3\r\n550 4\r\n', replies: [{ code: 250 }, { code: 354 }, { code: 550, text: '3 4' }] },
  { wire: '250 gr\u00fc\u00df\r\n', replies: [{ text: 'grüß' }] },
  { wire: '250 OK\n250 again\n', replies: [{ text: 'OK' }, { text: 'again' }] },
  { wire: '421 4.3.2 bye', replies: [] },
  { wire: '', replies: [] },
  { wire: 'hello\r\n', replies: [/not an SMTP reply: hello/] },
  { wire: '\r\n', replies: [/not an SMTP reply/] },
  { wire: '25\r\n', replies: [/not an SMTP reply/] },
  { wire: '2500 OK\r\n', replies: [/not an SMTP reply/] },
  { wire: '150 x\r\n', replies: [/not an SMTP reply/] },
  { wire: '650 x\r\n', replies: [/not an SMTP reply/] },
  // Outside of the RFC's 0 to 5, but in use.
  { wire: '571 x\r\n', replies: [{ code: 571, enhanced: '', text: 'x' }] },
  { wire: '25a x\r\n', replies: [/not an SMTP reply/] },
  { wire: '250:x\r\n', replies: [/not an SMTP reply/] },
  { wire: 'HTTP/1.1 400 Bad Request\r\n', replies: [/not an SMTP reply: HTTP\/1.1 400/] },
  { wire: '\x16\x03\x01\r\n', replies: [/not an SMTP reply: \?\?\?/] },
  { wire: '250-a\r\n251 b\r\n', replies: [/code changes/] },
  { wire: '250 a\r\n250-b\r\n550 c\r\n', replies: [{ text: 'a' }, /code changes/] },
  { wire: '250-a\r\nbye\r\n', replies: [/not an SMTP reply: bye/] },
  { wire: `250 ${'x'.repeat(506)}\r\n`, replies: [{ text: 'x'.repeat(506) }] },
  { wire: `250 ${'x'.repeat(507)}\r\n`, replies: [/too long/] },
  { wire: 'x'.repeat(512), replies: [/too long/] },
  { wire: '250-a\r\n'.repeat(4) + '250 b\r\n', replies: [{ lines: ['a', 'a', 'a', 'a', 'b'] }] },
  { wire: '250-a\r\n'.repeat(5) + '250 b\r\n', replies: [/too many lines/] },
]

test('replies are read alike at every split', () => {
  for (const { wire, replies } of TABLE) {
    for (const chunks of cuttings(Buffer.from(wire, 'utf8'))) {
      const got = parse(chunks)
      const where = `${JSON.stringify(wire.slice(0, 60))} in ${chunks.length} chunks: ${JSON.stringify(got)}`
      assert.equal(got.length, replies.length, where)
      for (const [i, want] of replies.entries()) {
        const reply = got[i] as Read | string
        if (want instanceof RegExp) assert.match(reply as string, want, where)
        else assert.deepEqual(reply, { ...(reply as Read), ...want }, where)
      }
    }
  }
})

test('after an error nothing more is read', () => {
  const parser = new ReplyParser(LIMITS)
  const bytes = Buffer.from('nonsense\r\n250 OK\r\n')
  const at = parser.feed(bytes, 0, bytes.length)
  assert.equal(parser.status, 'error')
  assert.equal(parser.feed(bytes, at, bytes.length), bytes.length)
  assert.equal(parser.status, 'error')
})

test('replies are written line by line, with their enhanced code on each', () => {
  const rows: readonly (readonly [code: number, enhanced: string, text: string, wire: string])[] = [
    [250, '2.0.0', 'OK', '250 2.0.0 OK\r\n'],
    [354, '', 'Go', '354 Go\r\n'],
    [250, '', 'a\nb\nc', '250-a\r\n250-b\r\n250 c\r\n'],
    [550, '5.7.1', 'a\nb', '550-5.7.1 a\r\n550 5.7.1 b\r\n'],
    [550, '5.7.1', 'x\r250 OK\t\u0085', '550 5.7.1 x?250 OK??\r\n'],
    [250, '', '', '250 \r\n'],
  ]
  for (const [code, enhanced, text, wire] of rows) assert.equal(encodeReply({ code, enhanced, text }).toString(), wire)
})

test('no line written is longer than 512 octets, and none is cut within a character', () => {
  for (const text of ['x'.repeat(2000), 'ü'.repeat(1000), '😀'.repeat(500), `${'x'.repeat(499)}ü`]) {
    const wire = encodeReply({ code: 550, enhanced: '5.7.1', text })
    assert.ok(wire.length <= 512 && wire.length > 500)
    assert.doesNotMatch(wire.toString(), /\ufffd/)
  }
})

test('what is written is read', () => {
  const line = fc.string({ maxLength: 40 }).map((text) => text.replace(/[^ -~]/g, 'x'))
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(60), { maxLength: 4 }), (lines, points) => {
      const wire = encodeReply({ code: 451, enhanced: '', text: lines.join('\n') })
      const chunks = cut(
        wire,
        points.filter((point) => point < wire.length).toSorted((a, b) => a - b),
      )
      const [reply] = parse(chunks)
      assert.ok(typeof reply === 'object')
      assert.deepEqual(reply.lines, lines)
    }),
    { numRuns: 1000, seed: runSeed() },
  )
})

test('any octets are replies, or one error', () => {
  const letters = fc.constantFrom('250', ' ', '-', '\r\n', '\n', '\r', '5.1.1', 'text', '\0', '\u00ff', '4', '99')
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 30 }), fc.array(fc.nat(60), { maxLength: 4 }), (parts, points) => {
      const wire = Buffer.from(parts.join(''), 'latin1')
      const chunks = cut(
        wire,
        points.filter((point) => point < wire.length).toSorted((a, b) => a - b),
      )
      assert.deepEqual(parse(chunks), parse([wire]))
    }),
    { numRuns: 3000, seed: runSeed() },
  )
})
