// 8-bit and binary content as 7-bit MIME: a table of what becomes of what, and random messages that must decode to the same.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { SevenBitConverter } from '../../src/deliver/downgrade.ts'
import { Prng } from '../../src/lib/prng.ts'
import { runSeed } from '../support/seed.ts'

function convert(text: string, split: (start: number, end: number) => number): string {
  const bytes = Buffer.from(text, 'latin1')
  const converter = new SevenBitConverter()
  let out = ''
  for (let start = 0; start < bytes.length;) {
    const end = split(start, bytes.length)
    out += converter.convert(bytes, start, end).toString('latin1')
    start = end
  }
  return out + converter.finish().toString('latin1')
}

const whole = (_: number, end: number): number => end

function atRandom(seed: number, most: number): (start: number, end: number) => number {
  const random = new Prng(seed)
  return (start, end) => Math.min(end, start + 1 + random.below(most))
}

const lines = (...all: string[]): string => all.map((line) => `${line}\r\n`).join('')

interface Row {
  readonly name: string
  readonly from: string
  readonly to: string
}

const ROWS: readonly Row[] = [
  {
    name: 'text declared 8bit becomes quoted-printable',
    from: lines(
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: 8bit',
      '',
      'gr\xc3\xbc\xc3\x9fe = gut ',
      '\t',
      '.',
    ),
    to: lines(
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'gr=C3=BC=C3=9Fe =3D gut=20',
      '=09',
      '.',
    ),
  },
  {
    name: 'a message without MIME gets what it needs',
    from: lines('Subject: hello', '', 'gr\xfc\xdfe'),
    to: lines(
      'Subject: hello',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=unknown-8bit',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'gr=FC=DFe',
    ),
  },
  {
    name: 'a quoted parameter that looks like a boundary is none',
    from: lines(
      'Content-Type: multipart/mixed; x="; boundary=bad"; boundary=ok',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      '',
      '\xc3\xbc',
      '--ok--',
    ),
    to: lines(
      'Content-Type: multipart/mixed; x="; boundary=bad"; boundary=ok',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=C3=BC',
      '--ok--',
    ),
  },
  {
    name: 'a quotation that is not closed goes on to the end of the field',
    from: lines('Content-Type: multipart/mixed; x="; boundary=bad', '', '--bad', '', '\xc3\xbc', '--bad--'),
    to: lines('Content-Type: multipart/mixed; x="; boundary=bad', '', '--bad', '', '??', '--bad--'),
  },
  {
    name: 'a comment that looks like a boundary is none',
    from: lines(
      'Content-Type: multipart/mixed (x; boundary=bad); boundary = (why) "ok"',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      '',
      '\xc3\xbc',
      '--ok--',
    ),
    to: lines(
      'Content-Type: multipart/mixed (x; boundary=bad); boundary = (why) "ok"',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=C3=BC',
      '--ok--',
    ),
  },
  {
    name: 'a boundary in pieces',
    from: lines(
      'Content-Type: multipart/mixed; boundary*0="o"; boundary*1=k',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      '',
      '\xc3\xbc',
      '--ok--',
    ),
    to: lines(
      'Content-Type: multipart/mixed; boundary*0="o"; boundary*1=k',
      '',
      '--ok',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=C3=BC',
      '--ok--',
    ),
  },
  {
    name: 'a part that is 7-bit stays, its sibling that only claims to be does not',
    from: lines(
      'Content-Type: multipart/mixed; boundary="a b"',
      '',
      'pre\xe4mble',
      '--a b',
      '',
      'plain = text',
      '--a b',
      'Content-Type: text/html',
      '',
      '<p>\xe4</p>',
      '--a b--',
      'epilogue',
    ),
    to: lines(
      'Content-Type: multipart/mixed; boundary="a b"',
      '',
      'pre?mble',
      '--a b',
      '',
      'plain = text',
      '--a b',
      'Content-Type: text/html',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '<p>=E4</p>',
      '--a b--',
      'epilogue',
    ),
  },
  {
    name: 'an encoding of a multipart is told as 7bit, and other types become base64',
    from: lines(
      'Content-Type: multipart/mixed;',
      '\tboundary=xyz',
      'Content-Transfer-Encoding: 8bit',
      '',
      '--xyz',
      'Content-Type: image/png',
      'Content-Transfer-Encoding: 8bit',
      '',
      '\x89PNG',
      'x',
      '--xyz--',
    ),
    to: lines(
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed;',
      '\tboundary=xyz',
      'Content-Transfer-Encoding: 7bit',
      '',
      '--xyz',
      'Content-Type: image/png',
      'Content-Transfer-Encoding: base64',
      '',
      'iVBORw0KeA==',
      '--xyz--',
    ),
  },
  {
    name: 'binary content keeps its bare line ends, and the last CRLF is the boundary’s',
    from: lines(
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      'Content-Type: text/plain',
      'Content-Transfer-Encoding: binary',
      '',
      'a\nb\rc\x00',
      '--b--',
    ),
    to: lines(
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      'Content-Type: text/plain',
      'Content-Transfer-Encoding: base64',
      '',
      'YQpiDWMA',
      '--b--',
    ),
  },
  {
    name: 'a message within is walked into, not encoded',
    from: lines('Content-Type: message/rfc822', 'Content-Transfer-Encoding: 8bit', '', 'Subject: inner', '', '\xe4'),
    to: lines(
      'MIME-Version: 1.0',
      'Content-Type: message/rfc822',
      'Content-Transfer-Encoding: 7bit',
      '',
      'Subject: inner',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=unknown-8bit',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=E4',
    ),
  },
  {
    name: 'parts of a digest are messages',
    from: lines('Content-Type: multipart/digest; boundary=d', '', '--d', '', 'Subject: one', '', '\xe4', '--d--'),
    to: lines(
      'Content-Type: multipart/digest; boundary=d',
      '',
      '--d',
      '',
      'Subject: one',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=unknown-8bit',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=E4',
      '--d--',
    ),
  },
  {
    name: 'what is encoded already is not encoded again',
    from: lines('Content-Type: text/plain', 'Content-Transfer-Encoding: Quoted-Printable', '', 'gr=FC=DFe'),
    to: lines('Content-Type: text/plain', 'Content-Transfer-Encoding: Quoted-Printable', '', 'gr=FC=DFe'),
  },
  {
    name: 'bytes that were left in quoted-printable are quoted too',
    from: lines('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable', '', 'gr=FC\xdfe =', `${'\xe4=E4'.repeat(13)}.`),
    to: lines('Content-Type: text/plain', 'Content-Transfer-Encoding: quoted-printable', '', 'gr=FC=DFe =', `${'=E4'.repeat(25)}=`, '=E4.'),
  },
  {
    name: 'the boundary of an outer multipart ends the inner one',
    from: lines(
      'Content-Type: multipart/mixed; boundary=o',
      '',
      '--o',
      'Content-Type: multipart/alternative; boundary=i',
      '',
      '--i',
      '',
      'x',
      '--o',
      '',
      '\xe4',
      '--o--',
    ),
    to: lines(
      'Content-Type: multipart/mixed; boundary=o',
      '',
      '--o',
      'Content-Type: multipart/alternative; boundary=i',
      '',
      '--i',
      '',
      'x',
      '--o',
      'Content-Type: text/plain; charset=unknown-8bit',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      '=E4',
      '--o--',
    ),
  },
  {
    name: 'raw header text becomes encoded words, blanks between them included',
    from: lines('Subject: gr\xc3\xbc\xc3\x9fe an \xc3\xbc \xc3\xb6', 'X-Raw: \xfc', '', 'x'),
    to: lines('Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?= an =?utf-8?Q?=C3=BC_=C3=B6?=', 'X-Raw: =?unknown-8bit?Q?=FC?=', '', 'x'),
  },
  {
    name: 'a last line without its end stays without',
    from: 'Content-Transfer-Encoding: 8bit\r\n\r\n\xe4',
    to: 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E4=\r\n',
  },
  { name: 'a header and nothing else', from: lines('Subject: x'), to: lines('Subject: x', '') },
  { name: 'nothing at all', from: '', to: '\r\n' },
]

suite('conversion to 7-bit', () => {
  for (const { name, from, to } of ROWS) {
    test(name, () => {
      assert.equal(convert(from, whole), to)
      assert.equal(
        convert(from, (start) => start + 1),
        to,
      )
      for (let seed = 1; seed <= 10; seed++) assert.equal(convert(from, atRandom(seed, 20)), to)
    })
  }

  test('long lines of quoted-printable are broken softly', () => {
    const out = convert(`Content-Transfer-Encoding: 8bit\r\n\r\n${'\xe4'.repeat(100)}x\r\n`, whole)
    const body = out.slice(out.indexOf('\r\n\r\n') + 4)
    assert(body.split('\r\n').every((line) => line.length <= 76))
    assert.equal(body.replaceAll('=\r\n', ''), `${'=E4'.repeat(100)}x\r\n`)
  })

  test('a part that claims to be 7-bit is encoded when it is too long to look at', () => {
    const text = 'plain text\r\n'.repeat(10_000)
    const out = convert(`Content-Type: text/plain\r\n\r\n${text}`, atRandom(1, 9000))
    assert(out.startsWith('MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'))
    assert.equal(out.slice(out.indexOf('\r\n\r\n') + 4), text)
  })

  test('endless lines are handled in pieces of bounded size', () => {
    const line = 'x\xe4'.repeat(100_000)
    const out = convert(`X-Long: ${line}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${line}\r\n`, atRandom(2, 50_000))
    assert(isSevenBit(out))
    assert.equal(quotedPrintable(out.slice(out.indexOf('\r\n\r\n') + 4)), `${line}\r\n`)
  })
})

// ---- Random messages ----

type Part =
  | { readonly kind: 'leaf'; readonly type: string; readonly encoding: string; readonly body: string }
  | { readonly kind: 'multi'; readonly boundary: string; readonly parts: readonly Part[] }

function someBytes(random: Prng, binary: boolean): string {
  const alphabet = binary
    ? ['\0', '\n', '\r', '\r\n', '\xff', 'a', '--', '=', ' ']
    : ['a', 'bc', ' ', '\t', '=', '\r\n', '\xe4', '\xc3\xbc', '.', '--']
  return Array.from({ length: random.below(200) }, () => alphabet[random.below(alphabet.length)]).join('')
}

function somePart(random: Prng, depth: number): Part {
  if (depth < 3 && random.below(3) === 0) {
    const parts = Array.from({ length: 1 + random.below(3) }, () => somePart(random, depth + 1))
    return { kind: 'multi', boundary: `=_b${random.u32()}`, parts }
  }
  const encoding = ['', '7bit', '8bit', 'binary'][random.below(4)] as string
  const type = ['text/plain', 'text/html; charset=latin1', 'application/octet-stream'][random.below(3)] as string
  return { kind: 'leaf', type, encoding, body: someBytes(random, encoding === 'binary') }
}

function write(part: Part): string {
  if (part.kind === 'multi') {
    const inner = part.parts.map((inside) => `--${part.boundary}\r\n${write(inside)}\r\n`).join('')
    return `Content-Type: multipart/mixed; boundary="${part.boundary}"\r\n\r\n${inner}--${part.boundary}--`
  }
  const encoding = part.encoding === '' ? '' : `Content-Transfer-Encoding: ${part.encoding}\r\n`
  return `Content-Type: ${part.type}\r\n${encoding}\r\n${part.body}`
}

function quotedPrintable(text: string): string {
  return text.replaceAll('=\r\n', '').replace(/=([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
}

/** Reads what `write` wrote, after conversion: the bodies of all leaves. */
function leaves(text: string, part: Part): string[] {
  const cut = text.indexOf('\r\n\r\n')
  const [header, body] = [text.slice(0, cut), text.slice(cut + 4)]
  if (part.kind === 'multi') {
    const inner = body.split(`--${part.boundary}\r\n`).slice(1)
    return inner.flatMap((inside, i) => {
      const end = i + 1 < inner.length ? inside.length - 2 : inside.lastIndexOf(`\r\n--${part.boundary}--`)
      return leaves(inside.slice(0, end), part.parts[i] as Part)
    })
  }
  const encoding = /Content-Transfer-Encoding: (\S+)/.exec(header)?.[1]
  if (encoding === 'base64') return [Buffer.from(body, 'base64').toString('latin1')]
  return [encoding === 'quoted-printable' ? quotedPrintable(body) : body]
}

function bodies(part: Part): string[] {
  return part.kind === 'leaf' ? [part.body] : part.parts.flatMap(bodies)
}

/** No NUL, no bare CR or LF, nothing above 127 (RFC 2045 §2.7). */
function isSevenBit(text: string): boolean {
  const rest = text.replaceAll('\r\n', '')
  return ![...rest].some((character) => character === '\0' || character === '\r' || character === '\n' || character > '\x7f')
}

test('random messages are 7-bit afterwards and decode to what they were', () => {
  for (let i = 0; i < 500; i++) {
    const seed = (runSeed() + i) >>> 0
    const random = new Prng(seed)
    const part = somePart(random, 0)
    const text = `MIME-Version: 1.0\r\n${write(part)}`
    const out = convert(text, whole)
    assert.equal(convert(text, atRandom(seed, 30)), out, `seed ${seed}: splits`)
    assert(isSevenBit(out), `seed ${seed}: 7-bit with whole line ends`)
    assert.deepEqual(leaves(out, part), bodies(part), `seed ${seed}: content`)
  }
})
