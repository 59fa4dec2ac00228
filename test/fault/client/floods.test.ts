// Floods of commands that bring no mail nearer: each ends with 421 4.7.0, wherever in the session it happens.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { Wire } from '../support/wire.ts'

const IDLE_MAX = 50
const ERRORS_MAX = 10
const FLOOD = 2000

let sink: SmtpSink
let server: Server

before(async () => {
  sink = await SmtpSink.start()
  server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { idleCommandsMax: IDLE_MAX, errorsPerConnectionMax: ERRORS_MAX },
  })
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

const FLOODS: readonly { readonly name: string; readonly first?: string; readonly lines: string; readonly repliesMax: number }[] = [
  { name: 'RSET', lines: 'RSET\r\n', repliesMax: IDLE_MAX + 3 },
  { name: 'NOOP', lines: 'NOOP\r\n', repliesMax: IDLE_MAX + 3 },
  { name: 'HELP', lines: 'HELP\r\n', repliesMax: IDLE_MAX + 3 },
  { name: 'EHLO', lines: 'EHLO again.test\r\n', repliesMax: IDLE_MAX + 3 },
  { name: 'VRFY', lines: 'VRFY postmaster\r\n', repliesMax: IDLE_MAX + 3 },
  { name: 'MAIL and RSET in turn', lines: 'MAIL FROM:<a@example.org>\r\nRSET\r\n', repliesMax: 2 * IDLE_MAX + 6 },
  { name: 'NOOP in a transaction', first: 'MAIL FROM:<a@example.org>\r\n', lines: 'NOOP\r\n', repliesMax: 2 * IDLE_MAX + 6 },
  { name: 'VRFY in a transaction', first: 'MAIL FROM:<a@example.org>\r\n', lines: 'VRFY postmaster\r\n', repliesMax: 2 * IDLE_MAX + 6 },
  { name: 'unknown commands', lines: 'WHAT\r\n', repliesMax: ERRORS_MAX + 3 },
  { name: 'empty lines', lines: '\r\n', repliesMax: ERRORS_MAX + 3 },
  { name: 'bad senders', lines: 'MAIL FROM:<@>\r\n', repliesMax: ERRORS_MAX + 3 },
  { name: 'bad recipients', first: 'MAIL FROM:<a@example.org>\r\n', lines: 'RCPT TO:<@>\r\n', repliesMax: ERRORS_MAX + 4 },
  { name: 'DATA without a transaction', lines: 'DATA\r\n', repliesMax: ERRORS_MAX + 3 },
]

for (const { name, first = '', lines, repliesMax } of FLOODS) {
  test(`a flood of ${name} ends with 421`, async () => {
    using wire = await Wire.open({ port: server.port() })
    await wire.greet()
    wire.write(first + lines.repeat(FLOOD))
    await wire.ends()
    assert.match(wire.text, /\r\n421 4\.7\.0 mx\.rohrpost\.test too many (?:commands without a message|errors), closing connection\r\n$/)
    assert.ok(wire.replies.length <= repliesMax, `${wire.replies.length} replies`)
  })
}

test('a browser is not spoken to', async () => {
  using wire = await Wire.open({ port: server.port() })
  wire.write('POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n')
  await wire.ends()
  assert.match(wire.text, /^220 [^\r]*\r\n421 4\.7\.0 [^\r]*\r\n$/)
})

test('many messages, each with a few idle commands before it, are no flood', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  for (let n = 0; n < 10; n++) {
    await wire.exchange('NOOP\r\nRSET\r\n'.repeat(IDLE_MAX / 5), (2 * IDLE_MAX) / 5)
    await wire.openData('a@example.org', `b${n}@example.net`)
    assert.match((await wire.exchange('Subject: x\r\n\r\nx\r\n.\r\n'))[0] ?? '', /^250 /)
  }
  await sink.received(10)
})
