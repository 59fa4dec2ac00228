import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProtocolSession } from '../../../src/net/connection.ts'
import { TestHost, testConfig } from './host.ts'
import type { TestSettings } from './host.ts'

const HELLO = 'EHLO client.example.com\r\n'
const ENVELOPE = 'MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n'

function greeted(settings: TestSettings = {}): TestHost {
  const host = new TestHost(testConfig(settings))
  host.greet()
  host.send(HELLO)
  return host
}

test('a session is what a connection takes', () => {
  const session: ProtocolSession = new TestHost(testConfig()).session
  assert.equal(session.secretInput, false)
})

test('EHLO is composed once a listener and state', () => {
  const config = testConfig({ plainMechanisms: ['PLAIN'], mechanisms: ['PLAIN'] })
  const written: Buffer[] = []
  for (let i = 0; i < 2; i++) {
    const host = new TestHost(config)
    host.greet()
    const write = host.write.bind(host)
    host.write = (bytes) => {
      written.push(bytes)
      write(bytes)
    }
    host.send(HELLO)
  }
  assert.equal(written.length, 2)
  assert.equal(written[0], written[1])
})

test('nothing is consumed while policy, AUTH or the spool is asked, and all of it afterwards', () => {
  const host = greeted({ ask: ['slow@example.org'] })
  const said = host.send('MAIL FROM:<a@example.com>\r\nRCPT TO:<slow@example.org>\r\nRSET\r\nNOOP\r\n')
  assert.equal(said, '250 2.1.0 Sender OK\r\n')
  assert.equal(host.unread, 'RSET\r\nNOOP\r\n'.length)
  host.session.onRecipient(
    host.asked[0]?.ticket ?? -1,
    { kind: 'accept', domain: 'x.example', address: 'slow@example.org' },
    host.clock.now(),
  )
  assert.equal(host.said(), '250 2.1.5 Recipient OK\r\n250 2.0.0 Flushed\r\n250 2.0.0 OK\r\n')
  assert.equal(host.unread, 0)
})

test('an answer with an old ticket is ignored', () => {
  const host = greeted({ ask: ['one@example.org', 'two@example.org'] })
  host.send('MAIL FROM:<a@example.com>\r\nRCPT TO:<one@example.org>\r\n')
  const old = host.asked[0]?.ticket ?? -1
  const refuse = { kind: 'refuse', rule: 'x', reply: { code: 550, enhanced: '5.1.1', text: 'no' } } as const
  host.session.onRecipient(old, refuse, host.clock.now())
  host.said()
  host.send('RCPT TO:<two@example.org>\r\n')
  host.session.onRecipient(old, refuse, host.clock.now())
  assert.equal(host.said(), '')
  host.session.onAuth(host.asked[1]?.ticket ?? -1, { kind: 'success', account: 'evil' }, host.clock.now())
  assert.equal(host.said(), '')
  host.session.onRecipient(host.asked[1]?.ticket ?? -1, refuse, host.clock.now())
  assert.equal(host.said(), '550 5.1.1 no\r\n')
})

test('the facts for policy are those of the client, its login and the parsed path', () => {
  const host = greeted({ ask: ['"b c"@example.net'], relayFrom: ['198.51.100.7'] })
  host.send('MAIL FROM:<a@example.com>\r\nRCPT TO:<"b\\ c"@EXAMPLE.net>\r\n')
  assert.deepEqual(host.asked[0]?.facts, {
    sender: 'a@example.com',
    account: '',
    tenant: '',
    client: '198.51.100.7',
    recipient: '"b c"@example.net',
    local: 'b c',
    domain: 'example.net',
    localAddress: '192.0.2.25',
    mayRelay: true,
  })
})

test('input is secret from the reply to AUTH to its end, and ingest stops where that changes', () => {
  const host = greeted({ plainMechanisms: ['LOGIN'] })
  const { session } = host
  host.authAnswer = (_, response) =>
    response === 'c2VjcmV0' ? { kind: 'success', account: 'anna' } : { kind: 'challenge', data: Buffer.from('eA==') }
  const bytes = Buffer.from('AUTH LOGIN\r\nYW5uYQ==\r\nc2VjcmV0\r\nNOOP\r\n')
  const parts: (readonly [text: string, secret: boolean])[] = []
  for (let at = 0; at < bytes.length;) {
    const secret = session.secretInput
    const used = session.ingest(bytes, at, bytes.length, host.clock.now())
    assert.ok(used > at)
    parts.push([bytes.toString('latin1', at, used), secret])
    at = used
  }
  assert.deepEqual(parts, [
    ['AUTH LOGIN\r\n', false],
    ['YW5uYQ==\r\nc2VjcmV0\r\n', true],
    ['NOOP\r\n', false],
  ])
  assert.equal(session.secretInput, false)
})

test('content is told apart from commands, for traces', () => {
  const { session, clock } = greeted()
  const bytes = Buffer.from(`${ENVELOPE}DATA\r\nA: b\r\n\r\n.\r\n${ENVELOPE}BDAT 2 LAST\r\n\r\nNOOP\r\n`)
  const parts: (readonly [text: string, body: boolean])[] = []
  for (let at = 0; at < bytes.length;) {
    const body = session.bodyInput
    const used = session.ingest(bytes, at, bytes.length, clock.now())
    parts.push([bytes.toString('latin1', at, used), body])
    at = used
  }
  assert.deepEqual(parts, [
    [`${ENVELOPE}DATA\r\n`, false],
    ['A: b\r\n\r\n.\r\n', true],
    [`${ENVELOPE}BDAT 2 LAST\r\n`, false],
    ['\r\n', true],
    ['NOOP\r\n', false],
  ])
})

test('the deadline stands still while it is not the client’s turn', () => {
  const host = greeted({ ask: ['slow@example.org'] })
  const start = host.clock.now()
  assert.equal(host.session.deadline, start + 300_000)
  host.send('MAIL FROM:<a@example.com>\r\nRCPT TO:<slow@example.org>\r\n')
  assert.equal(host.session.deadline, Infinity)
  host.clock.advance(1_000_000)
  host.session.onTimeout(host.clock.now())
  assert.equal(host.said(), '')
  host.session.onRecipient(
    host.asked[0]?.ticket ?? -1,
    { kind: 'accept', domain: 'x.example', address: 'slow@example.org' },
    host.clock.now(),
  )
  assert.equal(host.session.deadline, start + 1_300_000)
})

test('a timeout that comes too early is none', () => {
  const host = greeted()
  host.session.onTimeout(host.session.deadline - 1)
  assert.equal(host.closed, false)
})

test('a slow disk stops reading, and reading goes on when it has drained', () => {
  const host = greeted({ limits: { intakeBacklogBytes: 1000 } })
  host.send(`${ENVELOPE}DATA\r\n`)
  host.slowDisk = true
  host.send(`Subject: x\r\n\r\n${'x'.repeat(2000)}\r\n`)
  const [intake] = host.intakes
  assert.ok(intake?.drained)
  host.send('more\r\n.\r\nNOOP\r\n')
  assert.equal(host.unread, 'more\r\n.\r\nNOOP\r\n'.length)
  assert.equal(host.session.deadline, Infinity)
  intake.backlog = 0
  intake.drained()
  assert.equal(host.said(), '250 2.0.0 queued as 00000000001\r\n250 2.0.0 OK\r\n')
  assert.match(String(host.messages[0]?.body), /more\r\n$/)
})

test('a client that goes away while the disk is slow leaves nothing', () => {
  const host = greeted({ limits: { intakeBacklogBytes: 10 } })
  host.send(`${ENVELOPE}DATA\r\n`)
  host.slowDisk = true
  host.send(`Subject: x\r\n\r\n${'x'.repeat(2000)}`)
  host.session.onEnd(host.clock.now())
  assert.equal(host.intakes[0]?.aborted, true)
  host.intakes[0]?.drained?.()
  assert.equal(host.closed, true)
})

test('a message that is refused early reaches the spool no more', () => {
  const host = greeted({ limits: { messageBytesMax: 1000 } })
  host.send(`${ENVELOPE}DATA\r\n`)
  host.send(`Subject: x\r\n\r\n${'x'.repeat(1200)}`)
  assert.equal(host.intakes[0]?.aborted, true)
  assert.equal(host.said(), '')
  assert.equal(host.send('\r\n.\r\n'), '552 5.3.4 Message size exceeds fixed limit\r\n')
})

test('content goes to the spool in the chunk’s own memory, in one piece', () => {
  const host = greeted()
  host.send(`${ENVELOPE}DATA\r\nSubject: x\r\n\r\n`)
  const chunk = Buffer.from('line\r\n'.repeat(100))
  const seen: (readonly [buf: Buffer, start: number, end: number])[] = []
  const [intake] = host.intakes
  assert.ok(intake)
  intake.write = (buf, start, end) => void seen.push([buf, start, end])
  host.send(chunk)
  assert.deepEqual(
    seen.map(([, start, end]) => [start, end]),
    [[0, chunk.length]],
  )
  assert.equal(seen[0]?.[0].buffer, chunk.buffer)
})

test('the time of acceptance, of MAIL and of the last byte are told apart', () => {
  const host = greeted()
  const start = host.clock.now()
  host.send(ENVELOPE)
  host.clock.advance(1000)
  host.send('DATA\r\nA: b\r\n\r\n')
  host.clock.advance(1000)
  host.send('.\r\n')
  const event = host.events.find(({ kind }) => kind === 'accepted')
  assert.ok(event?.kind === 'accepted')
  assert.equal(event.startedAt, start)
  assert.equal(event.receivedAt, start + 2000)
  assert.equal(host.messages[0]?.envelope.acceptedAt, start + 2000)
})

test('a recipient named many times is delivered once', () => {
  const host = greeted()
  host.send('MAIL FROM:<a@example.com>\r\n')
  for (const name of ['a', 'b', 'a', 'A', 'b', 'a']) host.send(`RCPT TO:<${name}@example.org>\r\n`)
  host.send('DATA\r\n\r\n.\r\n')
  assert.deepEqual(
    host.messages[0]?.recipients.map(({ address }) => address),
    ['a@example.org', 'b@example.org', 'A@example.org'],
  )
})

test('a transaction leaves nothing to the next one', () => {
  const host = greeted({ relayFrom: ['198.51.100.7'] })
  host.send('MAIL FROM:<ü@example.com> SMTPUTF8 BODY=BINARYMIME RET=HDRS ENVID=x BY=60;RT MT-PRIORITY=5\r\n')
  host.send('RCPT TO:<x@example.org> NOTIFY=NEVER\r\nBDAT 4 LAST\r\n\r\n\n\u0001')
  host.send(`${ENVELOPE}DATA\r\n\r\n.\r\n`)
  const [first, second] = host.messages
  assert.notEqual(first?.envelope.flags, 0)
  const { flags, envid, priority, deliverBy, releaseAt } = second?.envelope ?? {}
  assert.deepEqual({ flags, envid, priority, deliverBy, releaseAt }, { flags: 0, envid: '', priority: 0, deliverBy: 0, releaseAt: 0 })
  assert.deepEqual(second?.recipients, [{ address: 'b@example.org', notify: 0, orcpt: '', domain: 'example.org' }])
})

test('implicit TLS is known from the start', () => {
  const host = new TestHost(testConfig({ startTls: true, mechanisms: ['PLAIN'] }))
  host.tls()
  assert.equal(host.greet(), '220 mx.example.org ESMTP test\r\n')
  const hello = host.send(HELLO)
  assert.match(hello, /AUTH PLAIN/)
  assert.doesNotMatch(hello, /STARTTLS/)
  host.send(`${ENVELOPE}DATA\r\n\r\n.\r\n`)
  assert.match(String(host.messages[0]?.body), /with ESMTPS \(TLSv1\.3 TLS_AES_256_GCM_SHA384\)/)
})

test('what is sent between STARTTLS and the handshake is never read', () => {
  const host = greeted({ startTls: true })
  const bytes = Buffer.from('STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n')
  assert.equal(host.session.ingest(bytes, 0, bytes.length, host.clock.now()), bytes.length)
  assert.equal(host.session.ingest(bytes, 0, bytes.length, host.clock.now()), bytes.length)
  assert.equal(host.said(), '220 2.0.0 Ready to start TLS\r\n')
})

test('an account may relay, and its rights end with STARTTLS', () => {
  const host = greeted({ startTls: true, plainMechanisms: ['PLAIN'], mechanisms: ['PLAIN'], accounts: { anna: ['*@example.org'] } })
  host.authAnswer = () => ({ kind: 'success', account: 'anna' })
  host.send('AUTH PLAIN AGEAYg==\r\n')
  assert.match(host.send('MAIL FROM:<a@example.org>\r\nRCPT TO:<x@example.net>\r\nRSET\r\n'), /^250 .*\r\n250 /)
  host.send('STARTTLS\r\n')
  host.tls()
  assert.match(host.send(`${HELLO}MAIL FROM:<z@example.com>\r\nRCPT TO:<x@example.net>\r\n`), /550 5\.7\.1 Relaying denied\r\n$/)
  assert.match(host.send('RSET\r\nAUTH PLAIN AGEAYg==\r\n'), /235 2\.7\.0 Authentication successful\r\n$/)
})

test('a chunk of an unreadable size ends the session: its octets must not be taken for commands', () => {
  for (const size of [
    '',
    ' ',
    ' abc',
    ' -1',
    ' +6',
    ' 6.0',
    ' 0x6',
    ' 6 FIRST',
    ' 6 LAST LAST',
    ' 99999999999999999999 LAST',
    ' 6\t LAST',
  ]) {
    const host = greeted()
    host.send(ENVELOPE)
    const said = host.send(`BDAT${size}\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n`)
    assert.match(said, /^501 5\.5\.4 Syntax: BDAT size \[LAST\]\r\n421 4\.7\.0 [^\n]*\n$/, `BDAT${size}`)
    assert.ok(host.closed)
  }
})
