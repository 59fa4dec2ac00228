// A whole transaction through SmtpSession with a host that does nothing: MAIL, RCPT, DATA, content, one commit.
// Prints µs a message; the scan of the content is part of it and also shown by wire/smtp/data.bench.ts.
//
//   node bench/micro/session/smtp/session.bench.ts

import { performance } from 'node:perf_hooks'
import { defaultLimits } from '../../../../src/config/limits.ts'
import { CidrSet } from '../../../../src/lib/address.ts'
import { RelayPolicy } from '../../../../src/policy/relay.ts'
import { SmtpSession } from '../../../../src/session/smtp/session.ts'
import type { SmtpSessionConfig } from '../../../../src/session/smtp/config.ts'
import type { AcceptedRecipient, Intake, SmtpHost, SpoolError } from '../../../../src/session/smtp/ports.ts'
import { messageId } from '../../../../src/spool/ids.ts'
import type { Envelope } from '../../../../src/spool/types.ts'

class NullIntake implements Intake {
  id = 0
  bytes = 0
  write(_buf: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }
  backlogBytes(): number {
    return 0
  }
  onDrain(): void {}
  abort(): void {}
  commit(_envelope: Envelope, _recipients: readonly AcceptedRecipient[], done: (error: SpoolError | undefined) => void): void {
    done(undefined)
  }
}

class NullHost implements SmtpHost {
  readonly intake = new NullIntake()
  messages = 0
  written = 0
  write(bytes: Buffer): void {
    this.written += bytes.length
  }
  openMessage(): Intake {
    this.intake.id = messageId(0, ++this.messages)
    return this.intake
  }
  startTls(): void {}
  close(): void {}
  resume(): void {}
  askRecipient(): void {}
  auth(): void {}
}

function config(): SmtpSessionConfig {
  const relayFrom = CidrSet.parse(['127.0.0.0/8'])
  if (!relayFrom.ok) throw new Error(relayFrom.error)
  const relay = new RelayPolicy({
    hostname: 'mx.example.org',
    domains: [],
    relayFrom: relayFrom.value,
  })
  return {
    kind: 'smtp',
    hostname: 'mx.example.org',
    banner: 'bench',
    startTls: false,
    tlsRequired: false,
    authRequired: false,
    mechanisms: () => [],
    tlsMechanisms: [],
    extensions: {
      chunking: true,
      binaryMime: true,
      smtpUtf8: true,
      dsn: true,
      mtPriority: true,
      deliverBySeconds: 0,
      futureReleaseSeconds: 0,
    },
    bareLf: 'normalize',
    limits: { ...defaultLimits, messagesPerConnectionMax: Infinity, idleCommandsMax: Infinity },
    mayRelay: (address) => relay.mayRelay(address),
    mayXclient: () => false,
    mayUse: () => true,
    tenantOf: () => '',
    decideRecipient: (facts) => relay.decide(facts),
  }
}

/** Header as smtp-source sends it, and lines of text. */
function message(bytes: number): Buffer {
  let text =
    'From: <a@example.org>\r\nTo: <b@example.net>\r\nDate: Tue, 24 Nov 2026 07:00:00 +0000\r\nMessage-Id: <1.a@example.org>\r\n\r\n'
  while (text.length < bytes) text += `${'X'.repeat(78)}\r\n`
  return Buffer.from(text)
}

function bench(name: string, bytes: number, pieces: readonly Buffer[]): void {
  const host = new NullHost()
  const client = { address: '127.0.0.1', port: 40_000, unknown: false, localAddress: '127.0.0.1', localPort: 25 }
  const session = new SmtpSession(config(), client, host, 1_700_000_000_000)
  session.greet(1_700_000_000_000)
  const hello = Buffer.from('EHLO client.example.org\r\n')
  session.ingest(hello, 0, hello.length, 1_700_000_000_000)
  const run = (count: number): void => {
    for (let i = 0; i < count; i++) for (const piece of pieces) session.ingest(piece, 0, piece.length, 1_700_000_000_000 + i)
  }
  run(30_000)
  const before = host.messages
  const from = performance.now()
  run(50_000)
  const micros = ((performance.now() - from) * 1000) / (host.messages - before)
  process.stdout.write(`${name.padEnd(32)} ${micros.toFixed(2)} µs a message of ${bytes} bytes\n`)
}

for (const bytes of [100, 4096]) {
  const envelope = ['MAIL FROM:<sender@example.org>\r\n', 'RCPT TO:<recipient@example.net>\r\n', 'DATA\r\n'].map((line) =>
    Buffer.from(line),
  )
  const content = Buffer.concat([message(bytes), Buffer.from('.\r\n')])
  bench('lock step', content.length, [...envelope, content])
  bench('pipelined', content.length, [Buffer.concat(envelope), content])
}
