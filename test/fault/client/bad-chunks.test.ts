// BDAT of the wrong length, out of place, or cut off inside: the octets that were announced are read whatever they are
// worth, so that commands are never taken for content nor content for commands.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { openSockets, queued } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const ENVELOPE = 'MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n'
const HEADER = 'Subject: chunks\r\n\r\n'

let sink: SmtpSink
let server: Server

before(async () => {
  sink = await SmtpSink.start()
  server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    smtp: { maxMessageBytes: '64 KiB' },
    limits: { dataTimeoutMs: '2s' },
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

const codes = (replies: readonly string[]): string[] => replies.map((reply) => reply.slice(0, 3))

test('a chunk with more octets than announced leaves the rest to be read as commands', async () => {
  using wire = await greeted()
  const replies = await wire.exchange(`${ENVELOPE}BDAT ${HEADER.length} LAST\r\n${HEADER}NOOP\r\njunk\r\n`, 5)
  assert.deepEqual(codes(replies), ['250', '250', '250', '250', '500'])
  const [message] = await sink.received(1)
  assert.ok(message?.data.toString('latin1').endsWith(HEADER))
})

test('octets of a chunk out of place are read and never taken for commands', async () => {
  using wire = await greeted()
  const inside = 'MAIL FROM:<evil@example.org>\r\n'
  const replies = await wire.exchange(`BDAT ${inside.length} LAST\r\n${inside}NOOP\r\n`, 2)
  assert.deepEqual(codes(replies), ['503', '250'])
  const noRecipient = await wire.exchange(`MAIL FROM:<a@example.org>\r\nBDAT ${inside.length} LAST\r\n${inside}NOOP\r\n`, 3)
  assert.deepEqual(codes(noRecipient), ['250', '554', '250'])
})

test('chunks that cannot be counted are refused, and nothing behind them is read', async () => {
  for (const argument of ['', ' ', ' x', ' -5', ' 5 FIRST', ' 5LAST', ' 0x10', ' 1e3']) {
    using wire = await greeted()
    wire.write(`BDAT${argument}\r\nMAIL FROM:<a@example.org>\r\n`)
    await wire.ends()
    assert.match(wire.text, /\r\n501 5\.5\.4 [^\r]*\r\n421 4\.7\.0 [^\r]*\r\n$/, JSON.stringify(argument))
  }
})

test('a chunk beyond all limits ends the session', async () => {
  using wire = await greeted()
  wire.write(`${ENVELOPE}BDAT 99999999999\r\n`)
  await wire.ends()
  assert.match(wire.text, /\r\n552 5\.3\.4 .*\r\n421 4\.7\.0 /)
})

test('chunks that exceed the limit together are refused, each and the last one too', async () => {
  using wire = await greeted()
  const chunk = 'x'.repeat(40_000)
  const replies = await wire.exchange(`${ENVELOPE}BDAT 40000\r\n${chunk}BDAT 40000\r\n${chunk}BDAT 0 LAST\r\nNOOP\r\n`, 6)
  assert.deepEqual(codes(replies), ['250', '250', '250', '552', '552', '250'])
})

test('DATA, MAIL and RCPT have no place between chunks, RSET has', async () => {
  using wire = await greeted()
  const between = 'DATA\r\nMAIL FROM:<c@example.org>\r\nRCPT TO:<d@example.net>\r\nRSET\r\nNOOP\r\n'
  const replies = await wire.exchange(`${ENVELOPE}BDAT 3\r\nabc${between}`, 8)
  assert.deepEqual(codes(replies), ['250', '250', '250', '503', '503', '503', '250', '250'])
})

test('a connection cut inside a chunk queues nothing, and one that goes silent is ended', async () => {
  const before = sink.count
  const sockets = openSockets(server.pid)
  using cut = await greeted()
  await cut.exchange(ENVELOPE, 2)
  await cut.exchange(`BDAT 10\r\n${'x'.repeat(10)}`)
  cut.write('BDAT 1000 LAST\r\nhalf of it')
  cut.socket.resetAndDestroy()
  using silent = await greeted()
  silent.write(`${ENVELOPE}BDAT 1000 LAST\r\nhalf of it`)
  await silent.ends()
  assert.match(silent.text, /\r\n421 4\.4\.2 /)
  silent.socket.destroy()
  await eventually(10_000, 'both connections are gone', () => openSockets(server.pid) <= sockets || undefined)
  assert.deepEqual(await queued(server), [])
  assert.equal(sink.count, before)
})
