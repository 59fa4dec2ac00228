import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LineReader } from '../../../src/session/smtp/lines.ts'
import { cuttings } from '../../wire/smtp/splits.ts'

/** Lines without CRLF; `!` and the status for what is none. */
function linesOf(chunks: readonly Buffer[], max: number): string[] {
  const reader = new LineReader()
  const lines: string[] = []
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const status = reader.read(chunk, at, chunk.length, max)
      assert.ok(reader.at > at)
      at = reader.at
      if (status === 'line') lines.push(reader.buf.toString('latin1', reader.start, reader.end - 1))
      else if (status !== 'more') lines.push(`!${status}`)
    }
    reader.release()
  }
  return lines
}

test('lines are found alike at every split', () => {
  const rows: readonly (readonly [text: string, lines: readonly string[]])[] = [
    ['', []],
    ['a\r\n', ['a']],
    ['\r\n\r\n', ['', '']],
    ['a\r\nbc\r\nd', ['a', 'bc']],
    ['a\nb\r\n', ['!bareLf', 'b']],
    ['\n', ['!bareLf']],
    ['a\rb\r\r\n', ['a\rb\r']],
    ['12345678\r\n', ['12345678']],
    ['123456789\r\nx\r\n', ['!tooLong', 'x']],
    [`${'x'.repeat(100)}\r\ny\r\n${'z'.repeat(100)}\n\r\n`, ['!tooLong', 'y', '!tooLong', '']],
    ['x'.repeat(100), []],
  ]
  for (const [text, lines] of rows) {
    for (const chunks of cuttings(Buffer.from(text))) assert.deepEqual(linesOf(chunks, 10), lines, JSON.stringify(text))
  }
})

test('a whole line is not copied', () => {
  const reader = new LineReader()
  const chunk = Buffer.from('NOOP\r\n')
  assert.equal(reader.read(chunk, 0, chunk.length, 100), 'line')
  assert.equal(reader.buf, chunk)
})

test('what was begun is forgotten on demand', () => {
  const reader = new LineReader()
  const begun = Buffer.from('MAIL FROM')
  reader.read(begun, 0, begun.length, 100)
  reader.clear()
  assert.deepEqual(reader.read(Buffer.from('NOOP\r\n'), 0, 6, 100), 'line')
  assert.equal(reader.buf.toString('latin1', reader.start, reader.end), 'NOOP\r')
})
