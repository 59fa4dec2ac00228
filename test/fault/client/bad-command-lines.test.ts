// Command lines that are too long, hold NULs or bare line ends, or have parameters that make no sense: each gets one clear
// refusal, and the session stays in step.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { anonymousMb } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const ENDLESS_MB = 256

let sink: SmtpSink
let server: Server

before(async () => {
  sink = await SmtpSink.start()
  server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { errorsPerConnectionMax: 1000, idleCommandsMax: 1000 },
  })
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

/** Bad lines that a greeted session answers, without their CRLF, and how their reply begins. */
const BAD_LINES: readonly (readonly [line: string, reply: RegExp])[] = [
  [`NOOP ${'x'.repeat(3000)}`, /^500 5\.5\.2 Line too long/],
  [`AUTH PLAIN ${'x'.repeat(20_000)}`, /^500 5\.5\.2 Line too long/],
  ['x'.repeat(1024 * 1024), /^500 5\.5\.2 Line too long/],
  ['NO\0OP', /^500 /],
  ['\0', /^500 /],
  ['', /^500 /],
  ['MAIL FROM:<a\0b@example.org>', /^501 5\.1\.7 /],
  ['MAIL FROM:<a@example.org>\0', /^50[15] /],
  ['MAIL FROM:<a\rb@example.org>', /^50[01] /],
  ['NOOP one\nNOOP two', /^500 5\.5\.2 Lines end/],
  ['MAIL', /^501 /],
  ['MAIL FROM', /^501 /],
  ['MAIL FROM:a@example.org', /^501 /],
  ['MAIL FROM:<a@example.org', /^501 5\.1\.7 /],
  ['MAIL FROM:<@>', /^501 5\.1\.7 /],
  [`MAIL FROM:<${'a'.repeat(300)}@example.org>`, /^501 5\.1\.7 /],
  ['MAIL FROM:<a@example.org> SIZE', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> SIZE=', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> SIZE=many', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> SIZE=-1', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> SIZE=1 SIZE=1', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> SIZE=99999999999999999999', /^50[15]|^552 /],
  ['MAIL FROM:<a@example.org> BODY=9BIT', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> RET=SOME', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> ENVID=+ZZ', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> BY=soon', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> MT-PRIORITY=99', /^501 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> MAYBE=1', /^555 5\.5\.4 /],
  ['MAIL FROM:<a@example.org> =', /^50[15]|^555 /],
  ['MAIL FROM:<\xc3\xa4@example.org>', /^550 5\.6\.7 /],
  ['RCPT TO:<b@example.net>', /^503 5\.5\.1 /],
  ['DATA', /^503 5\.5\.1 /],
  ['DATA now', /^501 5\.5\.4 /],
  ['STARTTLS now', /^501 5\.5\.4 /],
  ['EHLO', /^501 5\.5\.4 /],
]

const BAD_RECIPIENTS: readonly (readonly [line: string, reply: RegExp])[] = [
  ['RCPT', /^501 /],
  ['RCPT TO:', /^501 /],
  ['RCPT TO:<>', /^501 5\.1\.3 /],
  ['RCPT TO:<b@example.net> NOTIFY=NEVER,FAILURE', /^501 5\.5\.4 /],
  ['RCPT TO:<b@example.net> NOTIFY=', /^501 5\.5\.4 /],
  ['RCPT TO:<b@example.net> ORCPT=rfc822', /^501 5\.5\.4 /],
  ['RCPT TO:<b@example.net> SIZE=1', /^555 5\.5\.4 /],
  ['RCPT TO:<b@ex\0ample.net>', /^501 5\.1\.3 /],
  ['RCPT TO:<b@-example-.net->', /^501 5\.1\.3 /],
]

function assertReplies(replies: readonly string[], table: typeof BAD_LINES): void {
  for (const [i, [line, expected]] of table.entries()) assert.match(replies[i] ?? '', expected, JSON.stringify(line.slice(0, 60)))
}

test('every bad line gets one refusal when all of them are pipelined', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  const lines = BAD_LINES.map(([line]) => `${line}\r\n`).join('')
  // The bare LF makes two commands of one line: the second is good.
  const replies = await wire.exchange(lines, BAD_LINES.length + 1)
  const second = BAD_LINES.findIndex(([line]) => line.includes('\n')) + 1
  assert.match(replies[second] ?? '', /^250 /)
  assertReplies(replies.toSpliced(second, 1), BAD_LINES)
})

test('every bad line gets one refusal when it comes octet by octet', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  const short = BAD_LINES.filter(([line]) => line.length < 400 && !line.includes('\n'))
  for (const [line, expected] of short) {
    for (const octet of line) wire.write(octet)
    const [reply] = await wire.exchange('\r\n')
    assert.match(reply ?? '', expected, JSON.stringify(line))
  }
})

test('bad recipients do not spoil the transaction of good ones', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  const lines = BAD_RECIPIENTS.map(([line]) => `${line}\r\n`).join('')
  const all = `MAIL FROM:<a@example.org>\r\n${lines}RCPT TO:<good@example.net>\r\nDATA\r\n`
  const replies = await wire.exchange(all, BAD_RECIPIENTS.length + 3)
  assertReplies(replies.slice(1), BAD_RECIPIENTS)
  assert.match(replies.at(-1) ?? '', /^354 /)
  assert.match((await wire.exchange('Subject: good\r\n\r\nx\r\n.\r\n'))[0] ?? '', /^250 2\.0\.0 queued as /)
  const [message] = await sink.received(1)
  assert.deepEqual(message?.to, ['good@example.net'])
})

test('an endless line costs the server no memory and is refused once it ends', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  const before = anonymousMb(server.pid)
  const piece = Buffer.alloc(256 * 1024, 'y')
  for (let n = 0; n < ENDLESS_MB * 4; n++) wire.write(piece)
  const replies = await wire.exchange('\r\nNOOP\r\n', 2, 60_000)
  assert.match(replies[0] ?? '', /^500 5\.5\.2 Line too long/)
  assert.match(replies[1] ?? '', /^250 /)
  const grown = anonymousMb(server.pid) - before
  assert.ok(grown < ENDLESS_MB / 2, `${grown.toFixed(0)} MB for a line of ${ENDLESS_MB} MB`)
})
