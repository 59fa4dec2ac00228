// BINARYMIME and CHUNKING (RFC 3030), 8BITMIME (RFC 6152): what was taken byte by byte arrives so, or is converted to
// what the next hop can take and decodes to the same bytes.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted, handInBy, handInChunk } from '../support/mail.ts'
import { decodedBody, entityOf, partsOf } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink, type Received } from '../support/smtp-sink.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sinks = {
  binary: stack.use(await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME', 'CHUNKING', 'BINARYMIME'] })),
  eight: stack.use(await SmtpSink.start({ extensions: ['PIPELINING', '8BITMIME', 'CHUNKING'] })),
  seven: stack.use(await SmtpSink.start({ extensions: ['SIZE'] })),
}
const routes = Object.entries(sinks).map(([name, sink]) => ({ domain: `${name}.test`, to: `smtp://127.0.0.1:${sink.port}` }))
const server = stack.use(await startServer({ routes }))

/** Every byte, with bare CR and LF, NUL, dots at line starts, a line longer than 1000, and no line end at the end. */
const EVERY_BYTE = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  Buffer.from('\r\n.\r\n..\r\n\r\r\n\n'),
  Buffer.alloc(3000, 0xe4),
  Buffer.from('\r'),
])
const BINARY = Buffer.concat([
  Buffer.from('From: <anna@home.test>\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n'),
  Buffer.from('Content-Transfer-Encoding: binary\r\n\r\n'),
  EVERY_BYTE,
])
const MIXED = Buffer.concat([
  Buffer.from('From: <anna@home.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="xyz"\r\n'),
  Buffer.from('Content-Transfer-Encoding: binary\r\n\r\n--xyz\r\nContent-Type: text/plain; charset=utf-8\r\n'),
  Buffer.from('Content-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe\r\n--xyz\r\nContent-Type: image/png\r\n'),
  Buffer.from('Content-Transfer-Encoding: binary\r\n\r\n'),
  EVERY_BYTE,
  Buffer.from('\r\n--xyz--\r\n'),
])

/** Hands in a content for each of the hops, and resolves with what each got. */
async function toEach(content: Buffer): Promise<Record<keyof typeof sinks, Received>> {
  using client = await greeted(server.port())
  const counts = Object.entries(sinks).map(([name, sink]) => [name, sink.count] as const)
  for (const [name] of counts) await handInChunk(client, { to: `b@${name}.test`, mail: 'BODY=BINARYMIME' }, content)
  const got = counts.map(async ([name, count]) => {
    const { messages } = sinks[name as keyof typeof sinks]
    await sinks[name as keyof typeof sinks].received(count + 1)
    return [name, messages[count] as Received] as const
  })
  return Object.fromEntries(await Promise.all(got)) as Record<keyof typeof sinks, Received>
}

function assertSevenBit({ data, mailParameters }: Received): void {
  assert.doesNotMatch(mailParameters, /BODY/)
  assert.ok(data.every((byte) => byte > 0 && byte < 0x80))
  assert.ok(
    data
      .toString('latin1')
      .split('\r\n')
      .every((line) => line.length <= 998 && !/[\r\n]/.test(line)),
  )
}

test('a binary message arrives byte by byte where BINARYMIME is offered', async () => {
  const { binary } = await toEach(BINARY)
  assert.match(binary.mailParameters, /BODY=BINARYMIME/)
  assert.deepEqual(binary.data.subarray(-BINARY.length), BINARY)
  assert.match(binary.data.subarray(0, -BINARY.length).toString(), /^Received: [^]*\r\n$/)
})

test('a binary message is converted where it is not, and decodes to the same bytes', async () => {
  const { eight, seven } = await toEach(BINARY)
  for (const received of [eight, seven]) {
    assertSevenBit(received)
    assert.deepEqual(decodedBody(entityOf(received.data)), EVERY_BYTE)
  }
})

test('each part of a multipart is converted by itself', async () => {
  const { binary, eight, seven } = await toEach(MIXED)
  assert.deepEqual(binary.data.subarray(-MIXED.length), MIXED)
  for (const received of [eight, seven]) {
    assertSevenBit(received)
    const [text, image] = partsOf(entityOf(received.data)).map(decodedBody)
    assert.equal(text?.toString('utf8'), 'Gr\u00fc\u00dfe')
    assert.deepEqual(image, EVERY_BYTE)
  }
})

test('8-bit text goes on as it is with 8BITMIME, and encoded without', async () => {
  using client = await greeted(server.port())
  const counts = { eight: sinks.eight.count, seven: sinks.seven.count }
  const body = 'Gr\u00fc\u00dfe \u2603\r\n.dot\r\n'
  const header =
    'From: <anna@home.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
  for (const name of ['eight', 'seven']) {
    await handInBy(client, { to: `b@${name}.test`, mail: 'BODY=8BITMIME', content: header + body.replace('.dot', '..dot') })
  }
  await sinks.eight.received(counts.eight + 1)
  const eight = sinks.eight.messages[counts.eight] as Received
  assert.match(eight.mailParameters, /BODY=8BITMIME/)
  assert.ok(eight.data.toString('utf8').endsWith(header + body))
  await sinks.seven.received(counts.seven + 1)
  const seven = sinks.seven.messages[counts.seven] as Received
  assertSevenBit(seven)
  assert.equal(decodedBody(entityOf(seven.data)).toString('utf8'), body)
})

test('BINARYMIME is not for DATA', async () => {
  using client = await greeted(server.port())
  await client.expect(250, 'MAIL FROM:<a@home.test> BODY=BINARYMIME')
  await client.expect(250, 'RCPT TO:<b@binary.test>')
  await client.expect(503, 'DATA')
})
