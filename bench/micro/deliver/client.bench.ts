// The client's state machine over messages of 4 KB with pipelining, as it runs when work is at hand: each chunk holds the
// final reply of one message and the replies to the next envelope. No sockets, no spool. Prints µs a message.
//
//   node bench/micro/deliver/client.bench.ts

import { performance } from 'node:perf_hooks'
import { defaultLimits } from '../../../src/config/limits.ts'
import { SmtpClient } from '../../../src/deliver/client.ts'
import type { ClientHost } from '../../../src/deliver/client.ts'
import { deliverLimits } from '../../../src/deliver/limits.ts'
import { Output } from '../../../src/deliver/output.ts'
import type { MessageReader, StoredMessage } from '../../../src/deliver/ports.ts'
import { EnvelopeFlag, QueueClass } from '../../../src/spool/types.ts'
import type { Envelope, Group } from '../../../src/spool/types.ts'

const MESSAGES = 100_000
const ROUNDS = 5
const LINE = 'The quick brown fox jumps over the lazy dog, again and again and again ....\r\n'
const BODY = Buffer.from(`Subject: hello\r\n\r\n${LINE.repeat(53)}`)

function envelope(id: number, flags: number): Envelope {
  return {
    id,
    acceptedAt: 0,
    sender: 'newsletter@sender.example',
    flags,
    bytes: BODY.length,
    envid: '',
    tenant: 't',
    account: '',
    client: '192.0.2.1',
    priority: 0,
    deliverBy: 0,
  }
}

function group(id: number): Group {
  return {
    id,
    group: 0,
    domain: 'recipient.example',
    tenant: 't',
    class: QueueClass.bulk,
    priority: 0,
    due: 0,
    expires: 1e15,
    warnAt: 0,
    attempts: 0,
    recipients: 1,
    bytes: BODY.length,
    held: false,
    pending: [{ address: `person${id}@recipient.example`, notify: 0, orcpt: '' }],
    lastReply: '',
    lastAttemptAt: 0,
  }
}

function readerWith(flags: number): MessageReader {
  return {
    refresh: () => undefined,
    message: (id: number): StoredMessage => ({ envelope: envelope(id, flags), inline: BODY }),
    openBody: () => Promise.reject(new Error('bodies are inline')),
    group: (id) => group(id),
  }
}

class Host implements ClientHost {
  readonly reader: MessageReader
  settledCount = 0
  writtenBytes = 0
  want = 0
  constructor(reader: MessageReader) {
    this.reader = reader
  }
  write(bytes: Buffer): boolean {
    this.writtenBytes += bytes.length
    return true
  }
  startTls(): void {}
  hangUp(): void {}
  opened(): void {}
  ended(): void {}
  pull(want: number): void {
    this.want = want
  }
  settled(): void {
    this.settledCount++
  }
  returned(): void {}
  readBody(): void {}
  closeBody(): void {}
}

function newClient(host: Host): SmtpClient {
  const options = {
    protocol: 'smtp',
    hello: 'relay.example.org',
    tls: 'off',
    tlsFallback: '',
    auth: undefined,
    loopCheck: false,
    nonce: () => '',
    site: 'smtp://127.0.0.1:2526',
    source: 'default',
    peer: '127.0.0.1[127.0.0.1]:2526',
    limits: deliverLimits(defaultLimits),
    recipientsMost: 100,
    messagesMost: Infinity,
    idleMs: 60_000,
  } as const
  return new SmtpClient(options, host, new Output(), undefined)
}

function feed(client: SmtpClient, text: string): void {
  const bytes = Buffer.from(text)
  client.ingest(bytes, 0, bytes.length, 1)
}

function run(flags: number): number {
  const host = new Host(readerWith(flags))
  const client = newClient(host)
  client.start(1)
  feed(client, '220 mx ready\r\n')
  feed(client, '250-mx\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n')
  const envelopeReplies = Buffer.from('250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n')
  const replies = Buffer.from(`250 2.0.0 Ok: queued as 4XyZ1234567\r\n${envelopeReplies.toString('latin1')}`)
  let next = 1
  const begun = performance.now()
  client.grant([{ id: next++, groups: [0], attempt: 1, notAfter: 1e15 }], 1)
  client.ingest(envelopeReplies, 0, envelopeReplies.length, 1)
  while (host.settledCount < MESSAGES) {
    if (host.want > 0) {
      const items = Array.from({ length: 8 }, () => ({ id: next++, groups: [0], attempt: 1, notAfter: 1e15 }))
      host.want = 0
      client.grant(items, 1)
    }
    client.ingest(replies, 0, replies.length, 1)
  }
  return ((performance.now() - begun) * 1000) / MESSAGES
}

for (const [name, flags] of [
  ['as it lies', 0],
  ['with dots to stuff', EnvelopeFlag.dots],
] as const) {
  const times = Array.from({ length: ROUNDS }, () => run(flags)).toSorted((a, b) => a - b)
  console.log(`client, 4 KB, ${name}: ${(times[ROUNDS >> 1] as number).toFixed(2)} µs a message (best ${(times[0] as number).toFixed(2)})`)
}
