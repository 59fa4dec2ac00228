import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseXclient } from '../../../src/wire/smtp/xclient.ts'

function parse(text: string): unknown {
  const buf = Buffer.from(text)
  const got = parseXclient({ buf, start: 0, end: buf.length })
  return got.ok ? got.value : got.error
}

test('attributes are decoded, and unavailable ones are empty', () => {
  assert.deepEqual(parse('NAME=spike.example.org ADDR=168.100.189.2'), { NAME: 'spike.example.org', ADDR: '168.100.189.2' })
  assert.deepEqual(parse('addr=IPV6:2001:DB8:0::1  port=25'), { ADDR: '2001:db8::1', PORT: '25' })
  assert.deepEqual(parse('NAME=[UNAVAILABLE] HELO=[tempunavail]'), { NAME: '', HELO: '' })
  assert.deepEqual(parse('LOGIN=anna+40example.org PROTO=esmtp'), { LOGIN: 'anna@example.org', PROTO: 'ESMTP' })
  assert.deepEqual(parse('DESTADDR=192.0.2.1 DESTPORT=587'), { DESTADDR: '192.0.2.1', DESTPORT: '587' })
})

test('what is unknown or malformed is an error', () => {
  const rows = [
    '',
    'FOO=1',
    'NAME',
    'NAME=',
    'ADDR=300.1.1.1',
    'PORT=70000',
    'PORT=x',
    'PROTO=LMTP',
    'HELO=a+0Db',
    'HELO=a+20b',
    'HELO=a=b',
  ]
  for (const text of rows) assert.equal(typeof parse(text), 'string', text)
})
