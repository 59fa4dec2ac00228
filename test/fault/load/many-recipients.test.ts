// One message to 10,000 recipients over 2,000 domains: by a static route, and by MX to 2,000 sites. Everybody has it once,
// and memory does not grow with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer, type ServerConfig } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { anonymousMb, queueEmpties } from '../support/watch.ts'
import { ScriptedDns } from '../support/scripted-dns.ts'
import { Wire } from '../support/wire.ts'

const RECIPIENTS = 10_000
const DOMAINS = 2000
const LAB = '127.0.52.1'
/** 2,000 connections cost some; the rows of the recipients next to nothing. */
const MEMORY_MB_MAX = 250

const addresses: readonly string[] = Array.from({ length: RECIPIENTS }, (_, n) => `r${n}@d${n % DOMAINS}.many.test`)

/** Counts who was reached and how often. */
class Reached {
  readonly times = new Map<string, number>()

  note(recipients: readonly string[]): void {
    for (const recipient of recipients) this.times.set(recipient, (this.times.get(recipient) ?? 0) + 1)
  }

  get isComplete(): boolean {
    return this.times.size >= RECIPIENTS
  }

  assertOnce(): void {
    assert.equal(this.times.size, RECIPIENTS)
    assert.deepEqual(
      [...this.times].filter(([, times]) => times !== 1),
      [],
    )
    for (const address of addresses) assert.ok(this.times.has(address), address)
  }
}

async function submit(port: number): Promise<void> {
  using wire = await Wire.open({ port })
  await wire.greet()
  const lines = addresses.map((address) => `RCPT TO:<${address}>\r\n`).join('')
  const replies = await wire.exchange(`MAIL FROM:<a@example.org>\r\n${lines}DATA\r\n`, RECIPIENTS + 2, 60_000)
  assert.match(replies.at(-1) ?? '', /^354 /)
  assert.match((await wire.exchange('Subject: many\r\n\r\nx\r\n.\r\n', 1, 60_000))[0] ?? '', /^250 /)
}

async function reachesAll(sink: SmtpSink, reached: Reached, config: ServerConfig): Promise<void> {
  await using server = await startServer({ smtp: { recipientsMax: RECIPIENTS }, limits: { idleReuseMs: '1s' }, ...config })
  const before = anonymousMb(server.pid)
  let most = 0
  const timer = setInterval(() => (most = Math.max(most, anonymousMb(server.pid))), 100)
  try {
    await submit(server.port())
    await sink.until(60_000, `all are reached (now ${reached.times.size})`, () => reached.isComplete)
    await queueEmpties(server)
  } finally {
    clearInterval(timer)
  }
  reached.assertOnce()
  assert.ok(most - before < MEMORY_MB_MAX, `${(most - before).toFixed(0)} MB`)
}

test('by a static route', async () => {
  const reached = new Reached()
  await using sink = await SmtpSink.start({ keep: false, onMessage: ({ to }) => reached.note(to) })
  await reachesAll(sink, reached, { routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }] })
})

test(`by MX to ${DOMAINS} sites`, async () => {
  const reached = new Reached()
  await using dns = await ScriptedDns.start(({ name, type }) => {
    if (name.startsWith('mx.')) return type === 'A' ? { answers: [{ name, type, ttl: 300, data: LAB }] } : {}
    return { answers: [{ name, type: 'MX', ttl: 300, data: { preference: 10, exchange: `mx.${name}` } }] }
  })
  await using sink = await SmtpSink.start({ host: LAB, keep: false, onMessage: ({ to }) => reached.note(to) })
  await reachesAll(sink, reached, {
    dns: { servers: [dns.address] },
    mxPort: sink.port,
    allowHosts: [LAB],
    routes: [{ domain: '*', to: 'mx' }],
  })
})
