import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createTransport } from 'nodemailer'
import { SmtpClient } from '../support/smtp-client.ts'
import { run } from './run.ts'
import { startSink } from './sink-runner.ts'

interface Line {
  readonly time: string
  readonly from: string
  readonly to: string[]
  readonly bytes: number
  readonly id: string
  readonly messageId: string
  readonly subject: string
  readonly tls?: string
  readonly hello?: string
  readonly mailParameters?: string
  readonly rcptParameters?: string[]
  readonly headers?: [string, string][]
}

const parsed = (line: string | undefined): Line => JSON.parse(line ?? '') as Line

test('one message a line, as JSON', async () => {
  await using sink = await startSink('--json')
  const transport = createTransport({ host: '127.0.0.1', port: sink.port, secure: false, ignoreTLS: true })
  await transport.sendMail({
    from: 'a@example.org',
    to: ['b@example.org', 'c@example.org'],
    subject: 'Größe',
    text: '.\n..\nend',
    messageId: '<1@x>',
  })
  const [line] = await sink.lines(1)
  const { time, bytes, ...rest } = parsed(line)
  assert.deepEqual(rest, {
    from: 'a@example.org',
    to: ['b@example.org', 'c@example.org'],
    id: '',
    messageId: '<1@x>',
    subject: '=?UTF-8?Q?Gr=C3=B6=C3=9Fe?=',
  })
  assert.ok(bytes > 100)
  assert.equal(new Date(time).toISOString(), time)
  const { code, err } = await sink.stop()
  assert.equal(code, 0)
  assert.match(err, /\nsink: 1 messages \(.*\/s\), 2 recipients, \d+ bytes, 0 refused, 1 connections\n$/)
})

test('a line of text names sender, recipients, size and subject, without what a terminal would act on', async () => {
  await using sink = await startSink()
  await run([
    'send',
    '--server',
    `127.0.0.1:${sink.port}`,
    '--from',
    'a@x',
    '--to',
    'b@x',
    '--to',
    'c@x',
    '--to',
    'd@x',
    '--to',
    'e@x',
    '--subject',
    'red\u001b[31m',
  ])
  const [line] = await sink.lines(1)
  assert.match(line ?? '', /^\d\d:\d\d:\d\d\.\d{3} {2}- {2}<a@x> to b@x, c@x, d@x and 1 more {2}\d+ bytes {2}red\?\[31m$/)
})

test('--full adds what was said around the message', async () => {
  await using sink = await startSink('--json', '--full', '--tls', 'starttls')
  await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x', '--body', 'ä'])
  const line = parsed((await sink.lines(1))[0])
  assert.equal(line.tls, 'TLSv1.3')
  assert.equal(line.hello, 'localhost')
  assert.match(line.mailParameters ?? '', /^SIZE=\d+ BODY=8BITMIME$/)
  assert.deepEqual(line.rcptParameters, [''])
  assert.ok(line.headers?.some(([name, value]) => name === 'To' && value === 'b@x'))
})

test('--count ends it, with the last answer sent', async () => {
  await using sink = await startSink('--json', '--count', '2')
  for (let i = 0; i < 2; i++) {
    const { code } = await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x'])
    assert.equal(code, 0)
  }
  const { code, out } = await sink.ended
  assert.equal(code, 0)
  assert.equal(out.trim().split('\n').length, 2)
})

test('--quiet prints no messages', async () => {
  await using sink = await startSink('--quiet')
  await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x'])
  const { out, err } = await sink.stop()
  assert.equal(out, '')
  assert.match(err, /1 messages/)
})

for (const mode of ['starttls', 'implicit'] as const) {
  test(`--tls ${mode} takes messages under TLS`, async () => {
    await using sink = await startSink('--json', '--full', '--tls', mode)
    const transport = createTransport({
      host: '127.0.0.1',
      port: sink.port,
      secure: mode === 'implicit',
      requireTLS: true,
      tls: { rejectUnauthorized: false },
    })
    await transport.sendMail({ from: 'a@x.example', to: 'b@x.example', text: 'x' })
    assert.match(parsed((await sink.lines(1))[0]).tls ?? '', /^TLSv1\.[23]$/)
  })
}

test('--tls broken offers STARTTLS and then speaks no TLS', async () => {
  await using sink = await startSink('--tls', 'broken')
  const ran = await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x', '--tls', 'starttls', '--insecure'])
  assert.equal(ran.code, 69)
  assert.match(ran.err, /^rohrpost: cannot connect to 127\.0\.0\.1:\d+: the server does not speak TLS here\n$/)
})

test('commands pipelined behind STARTTLS are discarded', async () => {
  await using sink = await startSink('--tls', 'starttls')
  const socket = connect(sink.port, '127.0.0.1')
  await once(socket, 'data')
  socket.write('STARTTLS\r\nMAIL FROM:<>\r\n')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.equal(String(answer), '220 2.0.0 Ready to start TLS\r\n')
  socket.destroy()
})

test('--reply and --stage script the answers', async () => {
  await using sink = await startSink('--reply', '550:100%', '--stage', 'rcpt')
  const ran = await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x'])
  assert.deepEqual([ran.code, ran.out], [1, 'b@x: 550 5.0.0 scripted answer\n'])
  assert.match((await sink.stop()).err, /0 messages.* 1 refused/)
})

test('a scripted 251 takes the recipient', async () => {
  await using sink = await startSink('--json', '--reply', '251', '--stage', 'rcpt')
  const ran = await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x'])
  assert.equal(ran.code, 0)
  assert.deepEqual(parsed((await sink.lines(1))[0]).to, ['b@x'])
})

test('--delay holds the answer back', async () => {
  await using sink = await startSink('--delay', '150', '--stage', 'mail')
  using client = await SmtpClient.connect(sink.port)
  const before = performance.now()
  assert.equal((await client.command('MAIL FROM:<>')).code, 250)
  assert.ok(performance.now() - before >= 145)
})

test('--slow-read takes everything, slowly', async () => {
  await using sink = await startSink('--json', '--slow-read')
  const before = performance.now()
  await run(['send', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x', '--body', 'x'.repeat(3000)])
  assert.ok(performance.now() - before >= 600)
  assert.ok(parsed((await sink.lines(1))[0]).bytes > 3000)
})

test('--lmtp speaks LMTP', async () => {
  await using sink = await startSink('--json', '--lmtp')
  const ran = await run(['send', '--lmtp', '--server', `127.0.0.1:${sink.port}`, '--from', '', '--to', 'b@x', '--to', 'c@x'])
  assert.deepEqual([ran.code, ran.out], [0, 'b@x: 250 2.0.0 Ok\nc@x: 250 2.0.0 Ok\n'])
})

test('a client that does not read its replies is not read from', async () => {
  await using sink = await startSink('--quiet')
  const socket = connect(sink.port, '127.0.0.1')
  socket.pause()
  await once(socket, 'connect')
  const noops = Buffer.from('NOOP\r\n'.repeat(100_000))
  let accepted = 0
  // What the kernel and both processes buffer is some MB; a sink that read on would take it all.
  while (accepted < 400 && socket.write(noops)) accepted++
  assert.ok(socket.writableLength > 0)
  socket.destroy()
})

test('a port that is taken is said so', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const { code, err } = await run(['sink', '--port', String(port)])
  taken.close()
  assert.equal(code, 75)
  assert.equal(err, `rohrpost: cannot listen on 127.0.0.1:${port}: the port is in use by another process\n`)
})
