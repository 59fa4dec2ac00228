// Dovecot takes our domains' mail by LMTP: each recipient gets an answer of its own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Dovecot } from '../support/peers/dovecot.ts'
import { withoutRootOr } from '../support/peers/installed.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { startRelay } from './relay.ts'

const skip = withoutRootOr('dovecot')
const USERS = ['anna@example.org', 'bert@example.org']

test('a message lands in the Maildir of each recipient', { skip }, async () => {
  await using dovecot = await Dovecot.start(USERS)
  await using relay = await startRelay({ domains: { 'example.org': { deliverTo: `lmtp://127.0.0.1:${dovecot.port}` } } })
  using client = await SmtpClient.connect(relay.server.port())
  await client.expect(250, 'EHLO client.test')
  assert.equal((await client.send('x@example.net', USERS, 'Subject: lmtp\r\n\r\n..dot\r\nhello\r\n')).code, 250)
  for (const user of USERS) {
    const [message] = await dovecot.mailbox(user, 1)
    assert.match(message ?? '', /^Return-Path: <x@example\.net>/m)
    assert.match(message ?? '', /\r?\n\r?\n\.dot\r?\nhello\r?\n$/)
  }
})

test('one unknown recipient is reported, the others get their mail', { skip }, async () => {
  await using dovecot = await Dovecot.start(USERS)
  await using relay = await startRelay({ domains: { 'example.org': { deliverTo: `lmtp://127.0.0.1:${dovecot.port}` } } })
  using client = await SmtpClient.connect(relay.server.port())
  await client.expect(250, 'EHLO client.test')
  assert.equal((await client.send('x@example.net', ['nobody@example.org', 'anna@example.org'], 'Subject: half\r\n\r\nhello\r\n')).code, 250)
  assert.equal((await dovecot.mailbox('anna@example.org', 1)).length, 1)
  const [report] = await relay.sink.received(1)
  assert.deepEqual([report?.from, report?.to], ['', ['x@example.net']])
  const text = report?.data.toString('latin1') ?? ''
  assert.match(text, /Final-Recipient: rfc822;\s*nobody@example\.org/i)
  assert.doesNotMatch(text, /Final-Recipient: rfc822;\s*anna@example\.org/i)
})

test('over its socket on this machine too, with a large message and dots', { skip }, async () => {
  await using dovecot = await Dovecot.start(USERS)
  await using relay = await startRelay({ domains: { 'example.org': { deliverTo: `lmtp:${dovecot.path}` } } })
  using client = await SmtpClient.connect(relay.server.port())
  await client.expect(250, 'EHLO client.test')
  const large = '..dots\r\n'.repeat(100_000)
  assert.equal((await client.send('x@example.net', ['nobody@example.org', ...USERS], `Subject: socket\r\n\r\n${large}`)).code, 250)
  for (const user of USERS) {
    const [message] = await dovecot.mailbox(user, 1)
    assert.equal(message?.replaceAll('\r\n', '\n').endsWith(`\n\n${'.dots\n'.repeat(100_000)}`), true)
  }
  const [report] = await relay.sink.received(1)
  assert.match(report?.data.toString('latin1') ?? '', /Final-Recipient: rfc822;\s*nobody@example\.org/i)
  const { stdout } = await relay.server.command('events', 'tail', '--json')
  const delivery = stdout.split('\n').find((line) => line.includes('"type":"delivery"'))
  assert.equal((JSON.parse(delivery ?? '{}') as { readonly site?: string }).site, `lmtp:${dovecot.path}`)
})

test('fifty messages on reused connections, each once', { skip }, async () => {
  await using dovecot = await Dovecot.start(USERS)
  await using relay = await startRelay({ domains: { 'example.org': { deliverTo: `lmtp://127.0.0.1:${dovecot.port}` } } })
  using client = await SmtpClient.connect(relay.server.port())
  await client.expect(250, 'EHLO client.test')
  for (let i = 0; i < 50; i++) await client.send('x@example.net', ['anna@example.org'], `Subject: number ${i}\r\n\r\nhello\r\n`)
  const subjects = (await dovecot.mailbox('anna@example.org', 50)).map((message) => /^Subject: (.*?)\r?$/m.exec(message)?.[1])
  assert.equal(new Set(subjects).size, 50)
})
