import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CommandLine, Verb, isLabelled, pathStart } from '../../../src/wire/smtp/command.ts'
import { bdatLine, parseBdat } from '../../../src/wire/smtp/bdat.ts'
import { runSeed } from '../../support/seed.ts'

/** Reads a line, without its LF, in the middle of other bytes. */
function read(text: string): CommandLine {
  const buf = Buffer.from(`..${text}\nMAIL`, 'latin1')
  const line = new CommandLine()
  line.read(buf, 2, buf.length - 5)
  return line
}

function argument(line: CommandLine): string {
  return line.buf.toString('latin1', line.start, line.end)
}

test('verbs are known in any case, with their arguments and without', () => {
  const rows: readonly (readonly [line: string, verb: number, argument: string])[] = [
    ['NOOP\r', Verb.noop, ''],
    ['noop', Verb.noop, ''],
    ['NoOp\r', Verb.noop, ''],
    ['NOOP x y\r', Verb.noop, 'x y'],
    ['NOOP   x  \r', Verb.noop, 'x'],
    ['NOOP\tx\t\r', Verb.noop, 'x'],
    ['EHLO client.example.org\r', Verb.ehlo, 'client.example.org'],
    ['helo a\r', Verb.helo, 'a'],
    ['LHLO a\r', Verb.lhlo, 'a'],
    ['mail from:<a@b.example>\r', Verb.mail, 'from:<a@b.example>'],
    ['RCPT TO:<a@b.example>\r', Verb.rcpt, 'TO:<a@b.example>'],
    ['DATA\r', Verb.data, ''],
    ['BDAT 10 LAST\r', Verb.bdat, '10 LAST'],
    ['RSET\r', Verb.rset, ''],
    ['QUIT\r', Verb.quit, ''],
    ['VRFY a\r', Verb.vrfy, 'a'],
    ['EXPN a\r', Verb.expn, 'a'],
    ['HELP\r', Verb.help, ''],
    ['STARTTLS\r', Verb.starttls, ''],
    ['starttls x\r', Verb.starttls, 'x'],
    ['AUTH PLAIN AGEAYg==\r', Verb.auth, 'PLAIN AGEAYg=='],
    ['XCLIENT NAME=x\r', Verb.xclient, 'NAME=x'],
    ['GET / HTTP/1.1\r', Verb.get, '/ HTTP/1.1'],
    ['POST / HTTP/1.1\r', Verb.post, '/ HTTP/1.1'],
    ['CONNECT a:25 HTTP/1.1\r', Verb.connect, 'a:25 HTTP/1.1'],
    ['\r', Verb.none, ''],
    ['', Verb.none, ''],
    ['   \r', Verb.none, ''],
    [' NOOP\r', Verb.none, ''],
    ['NOO\r', Verb.none, ''],
    ['NOOPX\r', Verb.none, ''],
    ['STAR\r', Verb.none, ''],
    ['STARTTLSX\r', Verb.none, ''],
    ['XCLI\r', Verb.none, ''],
    ['MAIL\rFROM:<a@b.example>\r', Verb.none, ''],
    ['MAIL\0\r', Verb.none, ''],
    // One bit off in each letter: clearing bit 5 must not make other characters letters.
    ['NO/P\r', 0x4e4f0f50, ''],
    ['\x0eOOP\r', 0x0e4f4f50, ''],
    ['@AIL\r', 0x4041494c, ''],
  ]
  const known = new Set<number>(Object.values(Verb))
  for (const [text, verb, rest] of rows) {
    const line = read(text)
    assert.equal(known.has(line.verb) ? line.verb : Verb.none, known.has(verb) ? verb : Verb.none, JSON.stringify(text))
    if (line.verb !== Verb.none) assert.equal(argument(line), rest, JSON.stringify(text))
    assert.equal(line.hasArgument, rest !== '', JSON.stringify(text))
  }
})

test('a line that begins like a header field is told from commands', () => {
  const labelled = (text: string): boolean => isLabelled(Buffer.from(`x:${text}:`), 2, 2 + text.length)
  for (const text of ['Host: a', 'X:', 'Subject:hi', 'Content-Length: 5', 'a:b']) assert.ok(labelled(text), text)
  for (const text of ['', ':', ': a', 'MAIL FROM:<a>', 'NOOP', ' Host: a', '\tHost: a', 'Host : a']) assert.ok(!labelled(text), text)
})

test('the path begins behind the keyword and its colon, spaces tolerated', () => {
  const rows: readonly (readonly [argument: string, keyword: 'FROM' | 'TO', rest: string | undefined])[] = [
    ['FROM:<a>', 'FROM', '<a>'],
    ['from:<a>', 'FROM', '<a>'],
    ['From: <a>', 'FROM', '<a>'],
    ['FROM : <a>', 'FROM', '<a>'],
    ['TO:<a>', 'TO', '<a>'],
    ['TO:', 'TO', ''],
    ['FROM<a>', 'FROM', undefined],
    ['FROM', 'FROM', undefined],
    ['FROMX:<a>', 'FROM', undefined],
    ['TO:<a>', 'FROM', undefined],
    ['', 'TO', undefined],
    ['T', 'TO', undefined],
  ]
  for (const [text, keyword, rest] of rows) {
    const buf = Buffer.from(`${text}:`)
    const at = pathStart({ buf, start: 0, end: text.length }, keyword)
    assert.equal(at < 0 ? undefined : text.slice(at), rest, text)
  }
})

test('any octets are read as some line, and the argument lies within it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const buf = Buffer.from(bytes)
      const line = new CommandLine()
      line.read(buf, 0, buf.length)
      assert.ok(0 <= line.start && line.start <= line.end && line.end <= buf.length)
    }),
    { numRuns: 2000, seed: runSeed() },
  )
})

test('BDAT takes a size and LAST, and nothing else', () => {
  const rows: readonly (readonly [text: string, octets: number, last: boolean] | readonly [text: string])[] = [
    ['0', 0, false],
    ['0 LAST', 0, true],
    ['1000000 last', 1_000_000, true],
    ['86   LAST', 86, true],
    ['007', 7, false],
    [''],
    ['LAST'],
    ['-1'],
    ['1.5'],
    ['0x10'],
    ['10 FIRST'],
    ['10 LAST 1'],
    ['10LAST'],
    ['99999999999999999'],
  ]
  for (const [text, octets, last] of rows) {
    const buf = Buffer.from(text)
    const want = octets === undefined ? undefined : { octets, last }
    assert.deepEqual(parseBdat({ buf, start: 0, end: buf.length }), want, text)
  }
  assert.equal(bdatLine(10, false) + bdatLine(0, true), 'BDAT 10\r\nBDAT 0 LAST\r\n')
})
