import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Body, Extension, NO_MAIL_PARAMS, NO_RCPT_PARAMS, Ret, parseMailParams, parseRcptParams } from '../../../src/wire/smtp/params.ts'
import type { MailParams, ParamError, RcptParams } from '../../../src/wire/smtp/params.ts'
import { NULL_MAILBOX } from '../../../src/wire/smtp/path.ts'
import { runSeed } from '../../support/seed.ts'

const ALL = Object.values(Extension).reduce((bits, bit) => bits | bit, 0)

function mail(text: string, extensions = ALL): MailParams | ParamError {
  const buf = Buffer.from(`>${text}\r`)
  const got = parseMailParams(buf, 1, buf.length - 1, extensions)
  return got.ok ? got.value : got.error
}

function rcpt(text: string, extensions = ALL): RcptParams | ParamError {
  const buf = Buffer.from(`>${text}\r`)
  const got = parseRcptParams(buf, 1, buf.length - 1, extensions)
  return got.ok ? got.value : got.error
}

const MAIL: readonly (readonly [text: string, fields: Partial<MailParams>])[] = [
  ['', {}],
  [' SIZE=0', { size: 0 }],
  [' SIZE=1000000', { size: 1_000_000 }],
  [' size=18446744073709551615', { size: 2 ** 64 }],
  [' BODY=7BIT', { body: Body.sevenBit }],
  [' BODY=8bitmime', { body: Body.eightBitMime }],
  [' BODY=BINARYMIME', { body: Body.binaryMime }],
  [' SMTPUTF8', { smtpUtf8: true }],
  [' RET=FULL', { ret: Ret.full }],
  [' RET=hdrs', { ret: Ret.hdrs }],
  [' ENVID=QQ314159', { envid: 'QQ314159' }],
  [' ENVID=a+2Bb+20c+3D', { envid: 'a+b c=' }],
  [' AUTH=<>', { auth: NULL_MAILBOX }],
  [' AUTH=e+3Dmc2@example.com', { auth: { address: 'e=mc2@example.com', local: 'e=mc2', domain: 'example.com', nonAscii: false } }],
  [' AUTH=m+C3+BC@example.com', { auth: { address: 'mü@example.com', local: 'mü', domain: 'example.com', nonAscii: true } }],
  [' BY=120;R', { by: { seconds: 120, return: true, trace: false } }],
  [' BY=+120;NT', { by: { seconds: 120, return: false, trace: true } }],
  [' BY=-30;n', { by: { seconds: -30, return: false, trace: false } }],
  [' BY=0;N', { by: { seconds: 0, return: false, trace: false } }],
  [' HOLDFOR=86400', { holdFor: 86_400 }],
  [' HOLDUNTIL=2026-11-24T07:00:00Z', { holdUntil: Date.UTC(2026, 10, 24, 7) }],
  [' HOLDUNTIL=2026-11-24t07:00:00.5z', { holdUntil: Date.UTC(2026, 10, 24, 7, 0, 0, 500) }],
  [' MT-PRIORITY=0', { priority: 0 }],
  [' MT-PRIORITY=-9', { priority: -9 }],
  [' MT-PRIORITY=9', { priority: 9 }],
  ['  SIZE=1   BODY=8BITMIME  ', { size: 1, body: Body.eightBitMime }],
  [
    ' SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x AUTH=<> BY=9;N HOLDFOR=3 MT-PRIORITY=2',
    {
      size: 5,
      body: Body.eightBitMime,
      smtpUtf8: true,
      ret: Ret.hdrs,
      envid: 'x',
      auth: NULL_MAILBOX,
      by: { seconds: 9, return: false, trace: false },
      holdFor: 3,
      priority: 2,
    },
  ],
]

test('parameters of MAIL become fields', () => {
  for (const [text, fields] of MAIL) assert.deepEqual(mail(text), { ...NO_MAIL_PARAMS, ...fields }, text)
})

const MAIL_SYNTAX: readonly string[] = [
  'SIZE=1',
  ' SIZE',
  ' SIZE=',
  ' SIZE=-1',
  ' SIZE=1x',
  ' SIZE=123456789012345678901',
  ' SIZE=1 SIZE=1',
  ' SIZE=1 size=2',
  ' BODY',
  ' BODY=9BIT',
  ' SMTPUTF8=yes',
  ' RET=ALL',
  ' RET',
  ' ENVID=',
  ' ENVID=a+2b',
  ' ENVID=a+2',
  ' ENVID=a+0A',
  ` ENVID=${'x'.repeat(101)}`,
  ' AUTH=',
  ' AUTH=nobody',
  ' AUTH=a@b.example+0D+0A',
  ' AUTH=mü@example.com',
  ' AUTH=mü+2B@example.com',
  ' AUTH=a+2b@example.com',
  ' AUTH=<a@example.com>',
  ' BY=120',
  ' BY=120;X',
  ' BY=;R',
  ' BY=0;R',
  ' BY=-1;R',
  ' BY=1234567890;N',
  ' HOLDFOR=0',
  ' HOLDFOR=-1',
  ' HOLDFOR=1234567890',
  ' HOLDUNTIL=2026-11-24T07:00:00+01:00',
  ' HOLDUNTIL=2026-13-24T07:00:00Z',
  ' HOLDUNTIL=2026-11-31T07:00:00Z',
  ' HOLDUNTIL=2026-11-24T24:00:00Z',
  ' HOLDUNTIL=tomorrow',
  ' HOLDFOR=1 HOLDUNTIL=2026-11-24T07:00:00Z',
  ' MT-PRIORITY=10',
  ' MT-PRIORITY=+1',
  ' MT-PRIORITY=-0',
  ' MT-PRIORITY',
  ' =1',
  ' -X=1',
  ' A_B',
]

test('malformed, repeated and excluding parameters of MAIL are syntax errors', () => {
  for (const text of MAIL_SYNTAX) {
    const got = mail(text)
    assert.ok('kind' in got, text)
    assert.equal(got.kind, 'syntax', text)
  }
})

test('parameters of extensions that are not announced are unknown', () => {
  const rows: readonly (readonly [text: string, bit: number])[] = [
    [' SIZE=1', Extension.size],
    [' BODY=7BIT', Extension.eightBitMime],
    [' SMTPUTF8', Extension.smtpUtf8],
    [' RET=FULL', Extension.dsn],
    [' ENVID=x', Extension.dsn],
    [' AUTH=<>', Extension.auth],
    [' BY=1;R', Extension.deliverBy],
    [' HOLDFOR=1', Extension.futureRelease],
    [' HOLDUNTIL=2026-11-24T07:00:00Z', Extension.futureRelease],
    [' MT-PRIORITY=1', Extension.mtPriority],
  ]
  for (const [text, bit] of rows) {
    const got = mail(text, ALL & ~bit)
    assert.ok('kind' in got && got.kind === 'unknown', text)
    assert.ok(!('kind' in mail(text, bit)), text)
  }
  const unknown = mail(' X-FOO=1')
  assert.deepEqual(unknown, { kind: 'unknown', text: 'parameter not recognized: X-FOO' })
})

test('BINARYMIME is a value of BODY only where it is announced', () => {
  const got = mail(' BODY=BINARYMIME', ALL & ~Extension.binaryMime)
  assert.ok('kind' in got && got.kind === 'syntax')
})

const RCPT: readonly (readonly [text: string, fields: Partial<RcptParams>])[] = [
  ['', {}],
  [' NOTIFY=NEVER', { notify: 8 }],
  [' NOTIFY=success,Failure,DELAY', { notify: 7 }],
  [' NOTIFY=DELAY', { notify: 4 }],
  [' ORCPT=rfc822;Bob@example.net', { orcpt: 'rfc822;Bob@example.net' }],
  [' ORCPT=rfc822;a+2Bb@example.net', { orcpt: 'rfc822;a+b@example.net' }],
  [' ORCPT=utf-8;\\x{7528}\\x{6237}@example.net', { orcpt: 'utf-8;用户@example.net' }],
  [' ORCPT=UTF-8;用户@example.net', { orcpt: 'UTF-8;用户@example.net' }],
]

test('parameters of RCPT become fields', () => {
  for (const [text, fields] of RCPT) assert.deepEqual(rcpt(text), { ...NO_RCPT_PARAMS, ...fields }, text)
})

test('malformed parameters of RCPT are syntax errors', () => {
  const rows = [
    ' NOTIFY',
    ' NOTIFY=',
    ' NOTIFY=ALWAYS',
    ' NOTIFY=NEVER,DELAY',
    ' NOTIFY=SUCCESS,',
    ' NOTIFY=DELAY NOTIFY=DELAY',
    ' ORCPT=bob@example.net',
    ' ORCPT=rfc822;',
    ' ORCPT=;a@b.example',
    ' ORCPT=a b;c',
    ' ORCPT=rfc822;a+0Ab',
    ' ORCPT=rfc822;jürgen@example.net',
    ' ORCPT=x400;/C=de',
    ' ORCPT=utf-8;\\x{D800}@example.net',
    ' ORCPT=utf-8;a\\b@example.net',
    ` ORCPT=rfc822;${'a'.repeat(500)}`,
  ]
  for (const text of rows) {
    const got = rcpt(text)
    assert.ok('kind' in got && got.kind === 'syntax', text)
  }
  const foreign = rcpt(' SIZE=1')
  assert.ok('kind' in foreign && foreign.kind === 'unknown')
})

test('an ORCPT in plain UTF-8 needs SMTPUTF8, an encoded one does not', () => {
  const plain = rcpt(' ORCPT=utf-8;ü@example.net', Extension.dsn)
  assert.ok('kind' in plain && plain.kind === 'syntax')
  assert.deepEqual(rcpt(' ORCPT=utf-8;\\x{FC}@example.net', Extension.dsn), { ...NO_RCPT_PARAMS, orcpt: 'utf-8;ü@example.net' })
})

test('any text is parameters or an error', () => {
  const word = fc.constantFrom(' ', '=', 'SIZE', 'BODY', 'RET', 'BY', 'ENVID', 'AUTH', 'NOTIFY', 'ORCPT', ';', '+', '9', '\\x{', ',', 'é')
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      for (const got of [mail(` ${words.join('')}`), rcpt(` ${words.join('')}`)]) {
        if ('kind' in got) assert.notEqual(got.text, '')
      }
    }),
    { numRuns: 3000, seed: runSeed() },
  )
})
