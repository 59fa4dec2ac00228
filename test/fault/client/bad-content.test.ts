// Content that is not what was announced, or not mail: NULs, 8-bit octets without 8BITMIME, SIZE that lies. Nothing bad is
// queued, nothing good is changed, and the session goes on.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { queueEmpties, queued } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const MESSAGE_BYTES_MAX = 64 * 1024

let sink: SmtpSink
let server: Server

before(async () => {
  sink = await SmtpSink.start()
  server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    smtp: { maxMessageBytes: MESSAGE_BYTES_MAX },
  })
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

async function greeted(): Promise<Wire> {
  const wire = await Wire.open({ port: server.port() })
  await wire.greet()
  return wire
}

/** The session goes on: a good message passes. */
async function sendsGood(wire: Wire, name: string): Promise<void> {
  await wire.openData('a@example.org', `${name}@example.net`)
  assert.match((await wire.exchange(`Subject: ${name}\r\n\r\nx\r\n.\r\n`))[0] ?? '', /^250 /)
  await sink.until(20_000, `${name} arrives`, () => sink.messages.some((message) => message.to[0] === `${name}@example.net`))
}

const lines = (bytes: number): string => `${'x'.repeat(70)}\r\n`.repeat(Math.ceil(bytes / 72))

test('a NUL anywhere in the content refuses the message', async () => {
  using wire = await greeted()
  for (const content of ['\0', 'Subject: a\0b\r\n\r\nx\r\n', 'Subject: x\r\n\r\nbody\0\r\n', 'Subject: x\r\n\r\n\r\n\0.\r\n']) {
    await wire.openData('a@example.org', 'nul@example.net')
    assert.match((await wire.exchange(`${content}\r\n.\r\n`))[0] ?? '', /^550 5\.6\.0 .*NUL/, JSON.stringify(content))
  }
  await sendsGood(wire, 'after-nul')
  assert.deepEqual(
    sink.messages.filter((message) => message.to[0] === 'nul@example.net'),
    [],
  )
})

test('8-bit content that was not announced goes on octet by octet, announced', async () => {
  using wire = await greeted()
  await wire.openData('a@example.org', 'eight@example.net')
  const body = `Subject: x\r\n\r\n${Array.from({ length: 128 }, (_, n) => String.fromCharCode(128 + n)).join('')}\r\n`
  assert.match((await wire.exchange(`${body}.\r\n`))[0] ?? '', /^250 /)
  await sink.until(20_000, 'it arrives', () => sink.messages.some((message) => message.to[0] === 'eight@example.net'))
  const message = sink.messages.find(({ to }) => to[0] === 'eight@example.net')
  assert.match(message?.mailParameters ?? '', /\bBODY=8BITMIME\b/)
  assert.ok(message?.data.toString('latin1').endsWith(body), 'the content is the same')
})

test('a SIZE above the limit is refused at MAIL', async () => {
  using wire = await greeted()
  const [reply] = await wire.exchange(`MAIL FROM:<a@example.org> SIZE=${MESSAGE_BYTES_MAX + 1}\r\n`)
  assert.match(reply ?? '', /^552 5\.3\.4 /)
  await sendsGood(wire, 'after-size')
})

test('content above the limit is refused behind its dot, whatever SIZE said', async () => {
  using wire = await greeted()
  const replies = await wire.exchange('MAIL FROM:<a@example.org> SIZE=10\r\nRCPT TO:<liar@example.net>\r\nDATA\r\n', 3)
  assert.match(replies[2] ?? '', /^354 /)
  assert.match((await wire.exchange(`${lines(MESSAGE_BYTES_MAX + 1000)}.\r\n`))[0] ?? '', /^552 5\.3\.4 /)
  await sendsGood(wire, 'after-lie')
})

test('content that is larger than announced but within the limit is taken', async () => {
  using wire = await greeted()
  const replies = await wire.exchange('MAIL FROM:<a@example.org> SIZE=10\r\nRCPT TO:<more@example.net>\r\nDATA\r\n', 3)
  assert.match(replies[2] ?? '', /^354 /)
  assert.match((await wire.exchange(`Subject: more\r\n\r\n${lines(20_000)}.\r\n`))[0] ?? '', /^250 /)
})

test('who goes on and on behind the limit is cut off', async () => {
  using wire = await greeted()
  await wire.openData('a@example.org', 'flood@example.net')
  wire.write(lines(20 * MESSAGE_BYTES_MAX))
  await wire.ends()
  assert.match(wire.text, /\r\n421 4\.7\.0 .*too much data/)
  await queueEmpties(server)
  assert.deepEqual(
    sink.messages.filter((message) => message.to[0] === 'flood@example.net'),
    [],
  )
})

test('nothing that was refused is in the queue', async () => {
  await queueEmpties(server)
  assert.deepEqual(await queued(server), [])
})
