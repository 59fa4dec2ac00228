// Line ends that some servers take for the end of the content and others do not (SMTP smuggling): however the octets are
// cut into segments, what comes behind is content of the same message, or the message is refused. Never does a second
// message come into being, here or at the next hop.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink, type Received } from '../../support/smtp-sink.ts'
import { queueEmpties } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const SEQUENCES: readonly string[] = [
  '\n.\n',
  '\n.\r\n',
  '\r.\r',
  '\r\n.\n',
  '\r\n.\r',
  '\n.\r',
  '\r.\n',
  '\r.\r\n',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\r\n.\r\0\n',
  '\r\r\n.\r\n',
  '\r\n.\r\r\n',
  '\n\n.\n\n',
  '\r\n.\n\r\n',
  '\r\n..\r\n',
  '\r\n. \r\n',
  '\r\n .\r\n',
  '\u0085.\u0085',
]
/** CR CR LF is a bare CR and then the true end: what follows are commands again, of a message that was refused. */
const ENDS_THERE = new Set(['\r\r\n.\r\n'])

const BEFORE = 'Subject: x\r\n\r\nhi'
const BEHIND = 'MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n'
const AT_ONCE = 40

interface Case {
  readonly sequence: string
  /** Where the octets are cut in two. */
  readonly split: number
}

function cases(): Case[] {
  const around = BEFORE.length
  return SEQUENCES.flatMap((sequence) => {
    const length = BEFORE.length + sequence.length + BEHIND.length
    // Every place from a little before the sequence on; the header in front of it is cut elsewhere.
    return Array.from({ length: length - around + 2 }, (_, n) => ({ sequence, split: around - 2 + n }))
  })
}

/** Sends one case; resolves with the reply to the content. */
async function send(wire: Wire, { sequence, split }: Case, recipient: string): Promise<string> {
  await wire.openData('a@example.org', recipient)
  const octets = Buffer.from(BEFORE + sequence + BEHIND, 'latin1')
  wire.write(octets.subarray(0, split))
  await new Promise((resolve) => setImmediate(resolve))
  const [reply] = await wire.exchange(octets.subarray(split))
  return reply as string
}

/** Runs its share of the cases on one connection; counts what was taken. */
async function worker(server: Server, share: readonly Case[], name: string): Promise<string[]> {
  const taken: string[] = []
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  for (const [n, one] of share.entries()) {
    const recipient = `${name}.${n}@example.net`
    const reply = await send(wire, one, recipient)
    const title = `${JSON.stringify(one.sequence)} cut at ${one.split}: ${reply}`
    assert.match(reply, /^250 2\.0\.0 queued as |^550 5\.6\.\d+ /, title)
    if (ENDS_THERE.has(one.sequence)) assert.match(reply, /^550 /, title)
    if (reply.startsWith('250')) taken.push(recipient)
    await inStep(wire, title)
  }
  return taken
}

/** Whatever the server took for commands, it has answered; the next command is in step again. */
async function inStep(wire: Wire, title: string): Promise<void> {
  const [reply] = await wire.exchange('RSET\r\n')
  assert.match(reply ?? '', /^250 2\.0\.0 Flushed/, `${title}, then RSET: ${reply}`)
}

function assertWhole(message: Received): void {
  const data = message.data.toString('latin1')
  assert.notEqual(message.from, 'evil@example.org', 'a smuggled message')
  assert.deepEqual(message.to.length, 1)
  assert.notEqual(message.to[0], 'victim@example.net')
  assert.match(data, /Subject: smuggled/, 'what came behind is content')
  assert.doesNotMatch(data, /(?<!\r)\n|\r(?!\n)|\0/, 'no bare line end goes on')
}

for (const bareLf of ['normalize', 'refuse'] as const) {
  test(`no sequence at any split makes a second message (bareLf: ${bareLf})`, async (t) => {
    await using sink = await SmtpSink.start()
    await using server = await startServer({
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
      smtp: { bareLf },
      limits: { errorsPerConnectionMax: 100_000, idleCommandsMax: 100_000 },
    })
    const all = cases().filter((one) => !ENDS_THERE.has(one.sequence))
    const shares = Array.from({ length: AT_ONCE }, (_, k) => all.filter((_one, n) => n % AT_ONCE === k))
    const taken = (await Promise.all(shares.map((share, k) => worker(server, share, `${bareLf}.${k}`)))).flat()
    await queueEmpties(server)
    t.diagnostic(`${all.length} cases, ${taken.length} taken, ${all.length - taken.length} refused`)
    for (const message of sink.messages) assertWhole(message)
    assert.deepEqual(sink.messages.map((message) => message.to[0] ?? '').toSorted(), taken.toSorted(), 'one message for each 250')
  })
}

test("a bare CR in front of the true end refuses the message; what follows is the client's next transaction", async () => {
  await using sink = await SmtpSink.start()
  await using server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] })
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await wire.openData('a@example.org', 'b@example.net')
  const replies = await wire.exchange('Subject: x\r\n\r\nhi\r\r\n.\r\nNOOP\r\n', 2)
  assert.match(replies[0] ?? '', /^550 5\.6\.\d+ .*bare <CR>/)
  assert.match(replies[1] ?? '', /^250 /)
  await queueEmpties(server)
  assert.equal(sink.count, 0)
})
