import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseForwardPath, parseMailbox, parseReversePath } from '../../../src/wire/smtp/path.ts'
import type { ParsedPath } from '../../../src/wire/smtp/path.ts'
import { runSeed } from '../../support/seed.ts'

function parse(text: string, which: 'forward' | 'reverse' = 'forward'): ParsedPath | string {
  const buf = Buffer.from(`TO:${text} NEXT>`, 'utf8')
  const path = (which === 'forward' ? parseForwardPath : parseReversePath)(buf, 3, buf.length - 6)
  return path.ok ? path.value : path.error
}

interface Row {
  readonly path: string
  readonly address: string
  readonly local: string
  readonly domain: string
  readonly nonAscii?: boolean
}

const GOOD: readonly Row[] = [
  { path: '<a@b.example>', address: 'a@b.example', local: 'a', domain: 'b.example' },
  { path: '<A.B+c@Example.ORG>', address: 'A.B+c@example.org', local: 'A.B+c', domain: 'example.org' },
  { path: '<a@localhost>', address: 'a@localhost', local: 'a', domain: 'localhost' },
  { path: '<a@3com.example>', address: 'a@3com.example', local: 'a', domain: '3com.example' },
  { path: '<a@1.2.3.4.example>', address: 'a@1.2.3.4.example', local: 'a', domain: '1.2.3.4.example' },
  { path: '<a@a-b--c.example>', address: 'a@a-b--c.example', local: 'a', domain: 'a-b--c.example' },
  { path: "<!#$%&'*+-/=?^_`{|}~@b.example>", address: "!#$%&'*+-/=?^_`{|}~@b.example", local: "!#$%&'*+-/=?^_`{|}~", domain: 'b.example' },
  { path: '<"a"@b.example>', address: 'a@b.example', local: 'a', domain: 'b.example' },
  { path: '<"a b"@b.example>', address: '"a b"@b.example', local: 'a b', domain: 'b.example' },
  { path: '<"a\\b"@b.example>', address: 'ab@b.example', local: 'ab', domain: 'b.example' },
  { path: '<"a\\"\\\\b"@B.example>', address: '"a\\"\\\\b"@b.example', local: 'a"\\b', domain: 'b.example' },
  { path: '<"a@b"@b.example>', address: '"a@b"@b.example', local: 'a@b', domain: 'b.example' },
  { path: '<"a..b"@b.example>', address: '"a..b"@b.example', local: 'a..b', domain: 'b.example' },
  { path: '<".a"@b.example>', address: '".a"@b.example', local: '.a', domain: 'b.example' },
  { path: '<""@b.example>', address: '""@b.example', local: '', domain: 'b.example' },
  { path: '<">"@b.example>', address: '">"@b.example', local: '>', domain: 'b.example' },
  { path: '<@c.example:a@b.example>', address: 'a@b.example', local: 'a', domain: 'b.example' },
  { path: '<@c.example,@D.example:a@b.example>', address: 'a@b.example', local: 'a', domain: 'b.example' },
  { path: '<a@[192.0.2.1]>', address: 'a@[192.0.2.1]', local: 'a', domain: '[192.0.2.1]' },
  { path: '<a@[IPv6:2001:DB8:0:0::1]>', address: 'a@[ipv6:2001:db8::1]', local: 'a', domain: '[ipv6:2001:db8::1]' },
  { path: '<a@[IPv6:::1]>', address: 'a@[ipv6:::1]', local: 'a', domain: '[ipv6:::1]' },
  { path: '<a@[IPv6:::ffff:192.0.2.1]>', address: 'a@[192.0.2.1]', local: 'a', domain: '[192.0.2.1]' },
  { path: '<postmaster>', address: 'postmaster', local: 'postmaster', domain: '' },
  { path: '<PostMaster>', address: 'postmaster', local: 'postmaster', domain: '' },
  { path: '<jürgen@b.example>', address: 'jürgen@b.example', local: 'jürgen', domain: 'b.example', nonAscii: true },
  { path: '<"jü rgen"@b.example>', address: '"jü rgen"@b.example', local: 'jü rgen', domain: 'b.example', nonAscii: true },
  { path: '<"jürgen"@b.example>', address: 'jürgen@b.example', local: 'jürgen', domain: 'b.example', nonAscii: true },
  { path: '<a@Bücher.Example>', address: 'a@xn--bcher-kva.example', local: 'a', domain: 'xn--bcher-kva.example', nonAscii: true },
  { path: '<用户@例子.广告>', address: '用户@xn--fsqu00a.xn--4rr70v', local: '用户', domain: 'xn--fsqu00a.xn--4rr70v', nonAscii: true },
  { path: '<@bücher.example:a@b.example>', address: 'a@b.example', local: 'a', domain: 'b.example' },
  { path: `<${'a'.repeat(100)}@b.example>`, address: `${'a'.repeat(100)}@b.example`, local: 'a'.repeat(100), domain: 'b.example' },
  { path: `<a@${'b'.repeat(63)}.example>`, address: `a@${'b'.repeat(63)}.example`, local: 'a', domain: `${'b'.repeat(63)}.example` },
]

test('paths become canonical addresses', () => {
  for (const { path, address, local, domain, nonAscii = false } of GOOD) {
    const want = { address, local, domain, nonAscii, end: 3 + Buffer.byteLength(path) }
    assert.deepEqual(parse(path), want, path)
    if (domain !== '') assert.deepEqual(parse(path, 'reverse'), want, path)
  }
})

test('the canonical form of a canonical form is itself', () => {
  for (const { path, address, domain } of GOOD) {
    if (domain === '') continue
    const again = parse(`<${address}>`)
    assert.ok(typeof again === 'object', path)
    assert.equal(again.address, address)
  }
})

test('the null path is a reverse path only', () => {
  assert.deepEqual(parse('<>', 'reverse'), { address: '', local: '', domain: '', nonAscii: false, end: 5 })
  assert.equal(typeof parse('<>'), 'string')
})

const BAD: readonly (readonly [path: string, error: RegExp])[] = [
  ['', /expected <address>/],
  ['a@b.example', /expected <address>/],
  ['<a@b.example', /expected >/],
  ['<a@b.example x>', /expected >/],
  ['<a@b.example@c.example>', /expected >/],
  ['<a>', /no domain/],
  ['<"postmaster">', /no domain/],
  ['<@b.example>', /source route/],
  ['<@b.example:>', /no local part/],
  ['<@b.example,c.example:a@d.example>', /source route/],
  ['<@:a@d.example>', /empty label/],
  ['<a@>', /empty label/],
  ['<a@b..example>', /empty label/],
  ['<a@b.example.>', /empty label/],
  ['<a@.b.example>', /empty label/],
  ['<a@-b.example>', /hyphen/],
  ['<a@b-.example>', /hyphen/],
  ['<a@b_c.example>', /expected >/],
  ['<a@1.2.3.4>', /domain is not valid/],
  ['<a@b.123>', /domain is not valid/],
  [`<a@${'b'.repeat(64)}.example>`, /domain is not valid/],
  [`<a@${'b.'.repeat(128)}example>`, /domain is too long/],
  [`<${'a'.repeat(245)}@b.example>`, /address too long/],
  ['<a b@c.example>', /no domain/],
  ['<.a@b.example>', /empty word/],
  ['<a.@b.example>', /empty word/],
  ['<a..b@b.example>', /empty word/],
  ['<a\x00b@b.example>', /no domain/],
  ['<"a@b.example>', /no end/],
  ['<"a\\"@b.example>', /no end/],
  ['<"a\x01"@b.example>', /control character/],
  ['<"a\\\x01"@b.example>', /backslash/],
  ['<"a"b@b.example>', /no domain/],
  ['<a@[192.0.2.1>', /no end/],
  ['<a@[192.0.2]>', /literal is not valid/],
  ['<a@[192.0.2.256]>', /literal is not valid/],
  ['<a@[192.0.2.01]>', /literal is not valid/],
  ['<a@[::1]>', /literal is not valid/],
  ['<a@[IPv6:192.0.2.1]>', /literal is not valid/],
  ['<a@[IPv6:1:2:3]>', /literal is not valid/],
  ['<a@[IPv6:fe80::1%eth0]>', /literal is not valid/],
  ['<a@[]>', /literal is not valid/],
  ['<a@[tag:]>', /literal is not valid/],
  ['<a@[tag-:x]>', /literal is not valid/],
  ['<a@[tag:a b]>', /literal is not valid/],
  ['<a@[X-Tag:some.thing]>', /literal is not valid/],
  ['<a@[2001:db8::1]>', /literal is not valid/],
  ['<a@[192.0.2.1]x>', /expected >/],
  ['<a\u0085@b.example>', /not valid UTF-8/],
  ['<a@b\u200b\u0000.example>', /expected >|not valid/],
]

test('what the grammar does not give is refused with a sentence', () => {
  for (const [path, error] of BAD) {
    const got = parse(path)
    assert.ok(typeof got === 'string', `${path} was taken`)
    assert.match(got, error, JSON.stringify(path))
  }
})

test('octets that are not UTF-8 are refused', () => {
  for (const octets of ['\xff', '\xc3', '\xc0\xaf', '\xed\xa0\x80', '\xf8\x88\x80\x80\x80']) {
    for (const text of [`<a${octets}@b.example>`, `<"a${octets}"@b.example>`, `<a@b${octets}.example>`]) {
      const buf = Buffer.from(text, 'latin1')
      assert.equal(parseForwardPath(buf, 0, buf.length).ok, false, JSON.stringify(text))
    }
  }
})

test('a mailbox without brackets fills its range', () => {
  const mailbox = (text: string): string | undefined => {
    const buf = Buffer.from(text)
    const parsed = parseMailbox({ buf, start: 0, end: buf.length })
    return parsed.ok ? parsed.value.address : undefined
  }
  assert.equal(mailbox('a@B.example'), 'a@b.example')
  assert.equal(mailbox('a@b.example>'), undefined)
  assert.equal(mailbox('postmaster'), undefined)
  assert.equal(mailbox(''), undefined)
})

test('any octets give an address that parses to itself, or an error', () => {
  const piece = fc.constantFrom('<', '>', '@', '"', '\\', '.', ':', ',', '[', ']', 'a', 'B', '1', '-', ' ', 'ü', 'IPv6:', '\0', 'example')
  const text = fc.oneof(
    fc.array(piece, { maxLength: 14 }).map((pieces) => `<${pieces.join('')}>`),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  fc.assert(
    fc.property(text, (path) => {
      const got = parse(path)
      if (typeof got === 'string') return assert.notEqual(got, '')
      assert.doesNotMatch(got.address, /[\r\n\0]/)
      if (got.domain === '') return assert.equal(got.address, 'postmaster')
      const again = parse(`<${got.address}>`)
      assert.ok(typeof again === 'object' && again.address === got.address && again.domain === got.domain, `${path} -> ${got.address}`)
    }),
    { numRuns: 5000, seed: runSeed() },
  )
})
