import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Dialogue } from '../../src/cli/send/dialogue.ts'
import { composeMessage, encodeForData } from '../../src/cli/send/message.ts'
import { TempFolder } from '../support/process.ts'
import { DROP, SmtpSink } from '../support/smtp-sink.ts'
import type { Question } from '../support/smtp-sink.ts'
import { run } from './run.ts'

const to = (sink: SmtpSink, ...words: string[]): string[] => [
  'send',
  '--server',
  `localhost:${sink.port}`,
  '--from',
  'a@x',
  '--to',
  'b@x',
  ...words,
]

/** Offers AUTH PLAIN in the answer to EHLO. */
const withAuth = ({ verb }: Question): string | undefined =>
  verb === 'EHLO' ? '250-sink\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n' : verb === 'AUTH' ? '235 2.7.0 Ok\r\n' : undefined

test('a composed message has the fields that RFC 5322 asks for', () => {
  const now = Date.UTC(2026, 10, 24, 6, 50)
  const text = composeMessage({ from: 'a@x', to: ['b@x', 'c@x'], subject: 'S', body: 'B', now }).toString()
  assert.match(text, /^Date: Tue, 24 Nov 2026 06:50:00 \+0000\r\nFrom: a@x\r\nTo: b@x,\r\n\tc@x\r\nSubject: S\r\nMessage-ID: <[^>]+@x>\r\n/)
  assert.ok(text.endsWith('\r\n\r\nB'))
})

test('the null sender has a From all the same', () => {
  assert.match(composeMessage({ from: '', to: ['b@x'], subject: 'S', body: 'B', now: 0 }).toString(), /From: postmaster@localhost\r\n/)
})

test('line ends become CRLF, dots are stuffed, the end is a dot', () => {
  const rows: [text: string, wire: string][] = [
    ['', '.\r\n'],
    ['a', 'a\r\n.\r\n'],
    ['a\nb\rc\r\nd\r\n', 'a\r\nb\r\nc\r\nd\r\n.\r\n'],
    ['.\n..\na.\n', '..\r\n...\r\na.\r\n.\r\n'],
    ['\n\n', '\r\n\r\n.\r\n'],
  ]
  for (const [text, wire] of rows) assert.equal(encodeForData(Buffer.from(text)).toString(), wire, JSON.stringify(text))
})

test('every byte of a file goes over as it is', () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter((byte) => byte !== 10 && byte !== 13))
  assert.deepEqual(encodeForData(bytes).subarray(0, -5), bytes)
})

test('--file - reads a whole message from standard input', async () => {
  await using sink = await SmtpSink.start({})
  const { code, out } = await run(to(sink, '--file', '-'), { input: 'Subject: x\n\n.dot\n' })
  assert.deepEqual([code, out], [0, 'b@x: 250 2.0.0 kept\n'])
  assert.equal(sink.messages[0]?.data.toString(), 'Subject: x\r\n\r\n.dot\r\n')
})

test('SIZE counted the line ends of a file from Unix as one octet', async () => {
  await using sink = await SmtpSink.start({ script: ({ verb }) => (verb === 'EHLO' ? '250-sink\r\n250 SIZE\r\n' : undefined) })
  await run(to(sink, '--file', '-'), { input: 'Subject: x\n\n.dot' })
  const { data, mailParameters } = sink.messages[0] ?? assert.fail('nothing came')
  assert.equal(mailParameters, `SIZE=${data.length}`)
})

test('--file reads a file, and --json tells the queue id', async () => {
  using folder = new TempFolder('send')
  const file = join(folder.path, 'message.eml')
  writeFileSync(file, 'Subject: x\r\n\r\nx')
  await using sink = await SmtpSink.start({ script: ({ verb }) => (verb === 'content' ? '250 2.0.0 queued as 0abc\r\n' : undefined) })
  const { out } = await run(to(sink, '--file', file, '--json'))
  assert.deepEqual(JSON.parse(out), { recipients: 'b@x', code: 250, reply: '2.0.0 queued as 0abc', id: '0abc' })
})

test('refused recipients are told, the others get the message, and the command ends with 1', async () => {
  const script = ({ line }: Question): string | undefined => (line.includes('<b@x>') ? '550 5.1.1 No such user\r\n' : undefined)
  await using sink = await SmtpSink.start({ script })
  const { code, out } = await run(to(sink, '--to', 'c@x'))
  assert.deepEqual([code, out], [1, 'b@x: 550 5.1.1 No such user\nc@x: 250 2.0.0 kept\n'])
  assert.deepEqual(sink.messages[0]?.to, ['c@x'])
})

test('a refusal at any step ends with 1 and says what was refused', async () => {
  for (const [verb, what] of [
    ['banner', 'the greeting'],
    ['EHLO', 'EHLO'],
    ['MAIL', 'MAIL'],
    ['DATA', 'DATA'],
  ] as const) {
    await using sink = await SmtpSink.start({ script: (question) => (question.verb === verb ? '554 5.0.0 no\u0007\r\n' : undefined) })
    const { code, err } = await run(to(sink))
    assert.deepEqual([code, err], [1, `rohrpost: ${what} was answered 554 5.0.0 no?\n`])
  }
})

test('a server that goes away, or talks without end, ends with 69', async () => {
  for (const [answer, said] of [
    [DROP, 'the server closed the connection'],
    ['250-x\r\n'.repeat(20_000), 'the reply is too long'],
  ] as const) {
    await using sink = await SmtpSink.start({ script: ({ verb }) => (verb === 'MAIL' ? answer : undefined) })
    const { code, err } = await run(to(sink))
    assert.deepEqual([code, err], [69, `rohrpost: ${said}\n`])
  }
})

test('nobody there ends with 69', async () => {
  const sink = await SmtpSink.start({})
  const words = to(sink)
  await sink[Symbol.asyncDispose]()
  const { code, err } = await run(words)
  assert.equal(code, 69)
  assert.match(err, /^rohrpost: cannot connect to localhost:\d+: /)
})

test('STARTTLS is used when offered, and its certificate matters only when TLS was asked for', async () => {
  await using sink = await SmtpSink.start({ tls: 'starttls' })
  assert.equal((await run(to(sink))).code, 0)
  assert.match(sink.messages[0]?.tls ?? '', /^TLSv1/)
  const strict = await run(to(sink, '--tls', 'starttls'))
  assert.equal(strict.code, 69)
  assert.match(strict.err, /cannot connect to localhost:\d+: its certificate is refused \(\w+\); --insecure takes any\n$/)
  assert.equal((await run(to(sink, '--tls', 'starttls', '--insecure'))).code, 0)
  assert.equal((await run(to(sink, '--tls', 'off'))).code, 0)
  assert.equal(sink.messages[2]?.tls, '')
})

test('--tls starttls ends with 1 where it is not offered, and --tls implicit with 69 where no TLS is spoken', async () => {
  await using sink = await SmtpSink.start({})
  assert.deepEqual(await run(to(sink, '--tls', 'starttls')), { code: 1, out: '', err: 'rohrpost: the server does not offer STARTTLS\n' })
  assert.equal((await run(to(sink, '--tls', 'implicit'))).code, 69)
})

test('a password goes over TLS only, unless told otherwise', async () => {
  const lines: string[] = []
  const script = (question: Question): string | undefined => {
    lines.push(question.line)
    return withAuth(question)
  }
  await using sink = await SmtpSink.start({ script, tls: 'starttls' })
  const plain = await run(to(sink, '--tls', 'off', '--auth', 'anna:geheim'))
  assert.equal(plain.code, 1)
  assert.ok(!lines.some((line) => line.startsWith('AUTH')))
  assert.equal((await run(to(sink, '--tls', 'off', '--auth', 'anna:geheim', '--insecure'))).code, 0)
  assert.ok(lines.includes(`AUTH PLAIN ${Buffer.from('\0anna\0geheim').toString('base64')}`))
  assert.equal((await run(to(sink, '--auth', 'anna:geheim'))).code, 0)
})

test('addresses and content beyond ASCII are announced', async () => {
  await using sink = await SmtpSink.start({})
  await run(['send', '--server', `localhost:${sink.port}`, '--from', 'ä@x', '--to', 'b@x', '--body', 'ö', '--subject', 'Grüße'])
  assert.match(sink.messages[0]?.mailParameters ?? '', /^SIZE=\d+ BODY=8BITMIME SMTPUTF8$/)
  assert.match(sink.messages[0]?.data.toString() ?? '', /^Subject: =\?utf-8\?Q\?Gr=C3=BC=C3=9Fe\?=\r$/im)
})

test('a server that does not greet is not waited for without end', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const dialogue = await Dialogue.open({ host: '127.0.0.1', port, verifies: false }, false, 20)
  await assert.rejects(dialogue.greeting(), { code: 69, message: 'no greeting within 20ms; does the server expect --tls implicit?' })
  silent.close()
})
