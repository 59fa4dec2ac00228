import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTarget } from '../../src/config/target.ts'

const smtp = (host: string, port: number, more: object = {}): object => {
  const where = host.includes(':') ? `[${host}]` : host
  return { kind: 'host', protocol: 'smtp', host, port, tls: 'opportunistic', implicitTls: false, key: `smtp://${where}:${port}`, ...more }
}
const auth = { user: 'anna@example.org', password: 'p:w@/ä', allowPlaintext: false }

const GOOD: readonly [text: string, want: object][] = [
  ['mx', { kind: 'mx', key: 'mx' }],
  ['discard:', { kind: 'discard', key: 'discard:' }],
  ['capture:./mail', { kind: 'capture', dir: './mail', key: 'capture:./mail' }],
  ['capture:/var/odd dir?x#y', { kind: 'capture', dir: '/var/odd dir?x#y', key: 'capture:/var/odd dir?x#y' }],
  ['smtp://127.0.0.1:2526', smtp('127.0.0.1', 2526)],
  ['SMTP://Mail.Example.ORG', smtp('mail.example.org', 25)],
  ['smtp://mail.example.org./', smtp('mail.example.org', 25)],
  ['smtp://bücher.example', smtp('xn--bcher-kva.example', 25)],
  ['smtp://[2001:DB8::1]:25', smtp('2001:db8::1', 25)],
  ['smtp://[::ffff:192.0.2.1]', smtp('192.0.2.1', 25)],
  ['smtp://mail.example.org?tls=off', smtp('mail.example.org', 25, { tls: 'off', key: 'smtp://mail.example.org:25?tls=off' })],
  ['smtp://mail.example.org?tls=opportunistic', smtp('mail.example.org', 25)],
  [
    'smtp://mail.example.org:587/?tls=verify',
    smtp('mail.example.org', 587, { tls: 'verify', key: 'smtp://mail.example.org:587?tls=verify' }),
  ],
  [
    'smtp://anna%40example.org:p%3Aw%40%2F%C3%A4@mail.example.org:587?tls=required',
    smtp('mail.example.org', 587, { tls: 'required', auth, key: 'smtp://anna%40example.org@mail.example.org:587?tls=required' }),
  ],
  [
    'smtp://a:b@127.0.0.1?tls=off&plaintextAuth=allow',
    smtp('127.0.0.1', 25, { tls: 'off', auth: { user: 'a', password: 'b', allowPlaintext: true }, key: 'smtp://a@127.0.0.1:25?tls=off' }),
  ],
  ['smtps://mail.example.org', smtp('mail.example.org', 465, { tls: 'verify', implicitTls: true, key: 'smtps://mail.example.org:465' })],
  [
    'smtps://mail.example.org?tls=required',
    smtp('mail.example.org', 465, { tls: 'required', implicitTls: true, key: 'smtps://mail.example.org:465?tls=required' }),
  ],
  ['lmtp://127.0.0.1:2003', smtp('127.0.0.1', 2003, { protocol: 'lmtp', key: 'lmtp://127.0.0.1:2003' })],
  ['lmtp:/run/dovecot/lmtp', smtp('/run/dovecot/lmtp', 0, { protocol: 'lmtp', key: 'lmtp:/run/dovecot/lmtp' })],
  ['LMTP:/srv/odd dir?x#y', smtp('/srv/odd dir?x#y', 0, { protocol: 'lmtp', key: 'lmtp:/srv/odd dir?x#y' })],
  ['lmtp://localhost', smtp('localhost', 24, { protocol: 'lmtp', key: 'lmtp://localhost:24' })],
]

for (const [text, want] of GOOD) {
  test(`a target is read: ${text}`, () => assert.deepEqual(parseTarget(text), { ok: true, value: want }))
}

test('the key of a target is a target of the same key, unless it needs a password', () => {
  for (const [text] of GOOD) {
    const target = parseTarget(text)
    assert(target.ok)
    if ('auth' in target.value) continue
    const again = parseTarget(target.value.key)
    assert.deepEqual(again, target)
  }
})

const BAD: readonly [text: string, error: RegExp][] = [
  ['', /unknown kind/],
  ['MX', /unknown kind/],
  ['mail.example.org', /unknown kind/],
  ['http://mail.example.org', /unknown kind/],
  ['discard:x', /unknown kind/],
  ['capture:', /needs a directory/],
  ['smtp:', /expected smtp:\/\/HOST/],
  ['smtp://', /expected smtp:\/\/HOST/],
  ['smtp:mail.example.org', /expected smtp:\/\/HOST/],
  ['smtp://a b', /expected smtp:\/\/HOST/],
  ['smtp://mail.example.org:99999', /expected smtp:\/\/HOST/],
  ['smtp://mail.example.org:x', /expected smtp:\/\/HOST/],
  ['smtp://mail.example.org:0', /port 0/],
  ['smtp://mail..example.org', /not a host name/],
  ['smtp://192.0.2.256', /not a host name/],
  ['smtp://%zz', /expected smtp:\/\/HOST|not a host name/],
  ['smtp://mail.example.org/path', /no path/],
  ['smtp://mail.example.org#x', /no path/],
  ['lmtp://unix:/run/lmtp.sock', /no path/],
  ['lmtp:///run/dovecot/lmtp', /or lmtp:\/PATH for a socket/],
  ['lmtp:', /absolute path of a socket/],
  ['lmtp:run/dovecot/lmtp', /absolute path of a socket/],
  ['lmtp:./lmtp', /absolute path of a socket/],
  ['lmtp:/', /not of a directory/],
  ['lmtp:/run/dovecot/', /not of a directory/],
  [`lmtp:/${'ä'.repeat(52)}`, /at most 103 bytes/],
  ['lmtp:/run/\0lmtp', /control characters/],
  ['smtp:/run/smtp', /expected smtp:\/\/HOST or smtp:\/\/HOST:PORT$/],
  ['smtp://mail.example.org?tls=maybe', /tls must be one of off, opportunistic, required, verify/],
  ['smtp://mail.example.org?tls=off&tls=verify', /given twice: tls/],
  ['smtp://mail.example.org?timeout=5', /unknown option: timeout/],
  ['smtp://a:b@h?plaintextAuth=yes', /can only be "allow"/],
  ['smtp://h?plaintextAuth=allow', /needs a user/],
  ['smtp://a@h', /must both be given/],
  ['smtp://:b@h', /must both be given/],
  ['smtp://a:b%zz@h', /must both be given/],
  ['smtp://a:b@h?tls=off', /without TLS needs/],
  ['lmtp://a:b@h', /takes no user/],
  ['smtps://h?tls=off', /TLS from the start/],
  ['smtps://h?tls=opportunistic', /TLS from the start/],
  ['smtp://h\r\n', /control characters/],
  [`smtp://${'a'.repeat(1100)}`, /longer than/],
]

for (const [text, error] of BAD) {
  test(`a target is refused: ${JSON.stringify(text.slice(0, 50))}`, () => {
    const target = parseTarget(text)
    assert(!target.ok)
    assert.match(target.error, error)
  })
}

test('neither keys nor errors show the password', () => {
  const texts = [
    'smtp://anna:sEcReT@h',
    'smtp://anna:sEcReT@h/path',
    'smtp://anna:sEcReT@h?x=1',
    'smtp://anna:sEcReT@a b',
    'xmtp://anna:sEcReT@h',
    'lmtp://anna:sEcReT@h',
  ]
  for (const text of texts) {
    const target = parseTarget(text)
    assert.doesNotMatch(target.ok ? target.value.key : target.error, /sEcReT/)
  }
})

test('no text makes the parser throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl()), (text) => {
      parseTarget(text)
      parseTarget(`smtp://${text}`)
    }),
    { numRuns: 3000 },
  )
})
