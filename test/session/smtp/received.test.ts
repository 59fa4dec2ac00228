import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dateTime, protocolName, traceEnd, traceStart } from '../../../src/session/smtp/received.ts'

const FACTS = { hostname: 'mx.example.org', helo: 'client.example.com', address: '192.0.2.7', protocol: 'ESMTP', tls: '' }

test('the WITH keyword tells of EHLO, TLS, AUTH and SMTPUTF8', () => {
  const none = { lmtp: false, esmtp: true, tls: false, auth: false, utf8: false }
  assert.equal(protocolName({ ...none, esmtp: false }), 'SMTP')
  assert.equal(protocolName(none), 'ESMTP')
  assert.equal(protocolName({ ...none, tls: true }), 'ESMTPS')
  assert.equal(protocolName({ ...none, auth: true }), 'ESMTPA')
  assert.equal(protocolName({ ...none, tls: true, auth: true }), 'ESMTPSA')
  assert.equal(protocolName({ ...none, lmtp: true }), 'LMTP')
  assert.equal(protocolName({ ...none, lmtp: true, tls: true, auth: true }), 'LMTPSA')
  assert.equal(protocolName({ ...none, utf8: true }), 'UTF8SMTP')
  assert.equal(protocolName({ ...none, utf8: true, tls: true, auth: true }), 'UTF8SMTPSA')
  assert.equal(protocolName({ ...none, utf8: true, lmtp: true, tls: true }), 'UTF8LMTPS')
})

test('a HELO argument cannot break the field', () => {
  const from = (helo: string, address = '192.0.2.7'): string => traceStart({ ...FACTS, helo, address }).split('\r\n')[0] as string
  assert.equal(from('client.example.com'), 'Received: from client.example.com ([192.0.2.7])')
  assert.equal(from('[192.0.2.9]'), 'Received: from [192.0.2.9] ([192.0.2.7])')
  assert.equal(from('x', '2001:db8::1'), 'Received: from x ([IPv6:2001:db8::1])')
  assert.equal(from('a (b) c\r\nX: y;'), 'Received: from a??b??c??X:?y? ([192.0.2.7])')
  assert.equal(from(''), 'Received: from unknown ([192.0.2.7])')
  assert.equal(from('client', ''), 'Received: from client')
  assert.equal(from('[192.0.2.9]', ''), 'Received: from unknown')
  // Without brackets it tells the client's address just the same.
  assert.equal(from('192.0.2.9', ''), 'Received: from unknown')
  assert.equal(from('2001:db8::9', ''), 'Received: from unknown')
})

test('the field names TLS, a single recipient and an asked priority', () => {
  const field = traceStart({ ...FACTS, tls: 'TLSv1.3 X' }) + traceEnd('abc', 'b@example.org', 3, 0)
  const want = [
    'Received: from client.example.com ([192.0.2.7])',
    '\tby mx.example.org with ESMTP (TLSv1.3 X)',
    '\tid abc',
    '\tfor <b@example.org> PRIORITY 3;',
    '\tThu, 1 Jan 1970 00:00:00 +0000',
    '',
  ]
  assert.equal(field, want.join('\r\n'))
  assert.equal(traceEnd('abc', '', 0, 0), 'abc;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n')
})

test('dates are those of RFC 5322 in UTC', () => {
  assert.equal(dateTime(Date.UTC(2026, 10, 24, 7, 5, 9, 999)), 'Tue, 24 Nov 2026 07:05:09 +0000')
  assert.equal(dateTime(Date.UTC(2026, 10, 24, 7, 5, 10)), 'Tue, 24 Nov 2026 07:05:10 +0000')
  assert.equal(dateTime(Date.UTC(2024, 1, 29)), 'Thu, 29 Feb 2024 00:00:00 +0000')
})
