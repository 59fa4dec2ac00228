// nodemailer hands in: TLS, AUTH, 8-bit, SMTPUTF8, DSN parameters, a pool, big and many.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTransport } from 'nodemailer'
import type { Server, ServerConfig } from '../support/server.ts'
import { caPem } from '../support/tls.ts'
import { newestReceived, startRelay } from './relay.ts'

const config: ServerConfig = {
  listeners: [
    { protocol: 'smtp', port: 0, tls: 'starttls' },
    { protocol: 'submission', port: 0, tls: 'starttls' },
    { protocol: 'submission', name: 'submissions', port: 0, tls: 'implicit' },
  ],
  accounts: [{ name: 'anna@example.org', password: 'correct horse' }],
}

const user = { user: 'anna@example.org', pass: 'correct horse' }
const message = { from: 'anna@example.org', to: 'b@example.net', subject: 'x', text: 'hello' }

function transport(server: Server, listener: string, more: Readonly<Record<string, unknown>> = {}): ReturnType<typeof createTransport> {
  const tls = { ca: caPem, servername: 'localhost' }
  return createTransport({ host: '127.0.0.1', port: server.port(listener), tls, name: 'client.test', ...more })
}

test('STARTTLS with a checked certificate', async () => {
  await using relay = await startRelay(config)
  const info = await transport(relay.server, 'smtp', { requireTLS: true }).sendMail(message)
  assert.match(info.response, /^250 2\.0\.0 queued as [0-9a-z]+$/)
  assert.match(newestReceived((await relay.sink.received(1))[0]?.data ?? Buffer.alloc(0)), /with ESMTPS/)
})

for (const method of ['PLAIN', 'LOGIN']) {
  test(`TLS from the start and AUTH ${method}`, async () => {
    await using relay = await startRelay(config)
    const auth = { ...user }
    await transport(relay.server, 'submissions', { secure: true, authMethod: method, auth }).sendMail(message)
    assert.equal((await relay.sink.received(1))[0]?.from, 'anna@example.org')
    const wrong = transport(relay.server, 'submissions', { secure: true, authMethod: method, auth: { ...user, pass: 'wrong' } })
    await assert.rejects(wrong.sendMail(message), /535/)
  })
}

test('8-bit text and attachments arrive as they were', async () => {
  await using relay = await startRelay(config)
  await transport(relay.server, 'smtp').sendMail({ ...message, raw: Buffer.from('Subject: 8bit\r\n\r\nGr\u00fc\u00dfe \u2603\r\n') })
  const [received] = await relay.sink.received(1)
  assert.match(received?.data.toString('utf8') ?? '', /\r\n\r\nGrüße ☃\r\n$/)
})

test('SMTPUTF8 addresses keep their characters', async () => {
  await using relay = await startRelay(config)
  const envelope = { from: 'anna@example.org', to: ['jürgen@example.net'] }
  await transport(relay.server, 'smtp').sendMail({ ...message, envelope })
  const [received] = await relay.sink.received(1)
  assert.deepEqual(received?.to, ['jürgen@example.net'])
  assert.match(received?.mailParameters ?? '', /SMTPUTF8/)
})

test('DSN parameters are passed on', async () => {
  await using relay = await startRelay(config)
  const dsn = { id: 'env-42', return: 'headers', notify: ['success', 'failure'], recipient: 'b@example.net' }
  await transport(relay.server, 'smtp').sendMail({ ...message, dsn })
  const [received] = await relay.sink.received(1)
  assert.match(received?.mailParameters ?? '', /RET=HDRS/)
  assert.match(received?.mailParameters ?? '', /ENVID=env-42/)
  assert.match(received?.rcptParameters[0] ?? '', /NOTIFY=SUCCESS,FAILURE/)
  assert.match(received?.rcptParameters[0] ?? '', /ORCPT=rfc822;b@example\.net/i)
})

test('a message of 5 MB, and two hundred recipients', async () => {
  await using relay = await startRelay(config)
  const text = `${'0123456789'.repeat(7)}\r\n`.repeat(70_000)
  await transport(relay.server, 'smtp').sendMail({ ...message, raw: `Subject: big\r\n\r\n${text}` })
  assert.ok((await relay.sink.received(1))[0]?.data.toString('latin1').endsWith(text))
  const to = Array.from({ length: 200 }, (_, index) => `r${index}@example.net`)
  await transport(relay.server, 'smtp').sendMail({ ...message, to })
  // They may come in several transactions.
  const recipients = (): string[] => relay.sink.messages.slice(1).flatMap((received) => received.to)
  await relay.sink.until(30_000, 'two hundred recipients', () => recipients().length >= to.length)
  assert.deepEqual(recipients().toSorted(), to.toSorted())
})

test('a pool of connections sends five hundred messages, each once', async () => {
  await using relay = await startRelay(config)
  const pool = transport(relay.server, 'smtp', { pool: true, maxConnections: 5, maxMessages: 50 })
  await Promise.all(Array.from({ length: 500 }, (_, index) => pool.sendMail({ ...message, subject: `number ${index}` })))
  pool.close()
  const subjects = (await relay.sink.received(500)).map(({ data }) => /^Subject: (.*)\r$/m.exec(data.toString('latin1'))?.[1])
  assert.equal(new Set(subjects).size, 500)
  assert.equal(subjects.length, 500)
})
