// DeliverCore over loopback sockets against a sink in another thread that answers at once and looks only for line ends:
// 4 KB messages over ten connections, settlements counted. Prints CPU a message of the delivering thread alone.
//
//   node bench/micro/deliver/dispatcher.bench.ts [seconds]

import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'
import { defaultLimits } from '../../../src/config/limits.ts'
import { DeliverCore } from '../../../src/deliver/dispatcher.ts'
import { deliverLimits } from '../../../src/deliver/limits.ts'
import type { ConnectionDown, DeliverHost, DeliverSite, MessageReader } from '../../../src/deliver/ports.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import type { SiteLimits } from '../../../src/queue/ports.ts'
import { QueueClass } from '../../../src/spool/types.ts'

const CONNECTIONS = 10
const LINE = 'The quick brown fox jumps over the lazy dog, again and again and again ....\r\n'
const BODY = Buffer.from(`Subject: hello\r\n\r\n${LINE.repeat(53)}`)

/** Answers each of our fixed groups of commands as a whole. */
function sink(): void {
  const ENVELOPE = '250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n'
  const server = createServer({ noDelay: true }, (socket) => {
    socket.write('220 sink\r\n')
    let tail = ''
    socket.on('data', (chunk: Buffer) => {
      const text = tail + chunk.toString('latin1')
      let reply = ''
      if (text.startsWith('EHLO')) reply += '250-sink\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250 8BITMIME\r\n'
      if (text.includes('\r\n.\r\n')) reply += '250 2.0.0 Ok: queued as 4XyZ1234567\r\n'
      if (text.endsWith('DATA\r\n')) reply += ENVELOPE
      if (text.endsWith('QUIT\r\n')) reply += '221 bye\r\n'
      tail = reply === '' ? text.slice(-4) : ''
      if (reply !== '') socket.write(reply)
    })
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port))
}

function memoryReader(): MessageReader {
  const envelope = {
    acceptedAt: 0,
    flags: 0,
    bytes: BODY.length,
    envid: '',
    tenant: 't',
    account: '',
    client: '',
    priority: 0,
    deliverBy: 0,
  }
  const row = {
    domain: 'd',
    tenant: 't',
    class: QueueClass.bulk,
    priority: 0,
    due: 0,
    expires: 1e15,
    warnAt: 0,
    attempts: 0,
    recipients: 1,
  }
  return {
    refresh: () => undefined,
    message: (id) => ({ envelope: { ...envelope, id, sender: 'newsletter@sender.example' }, inline: BODY }),
    openBody: () => Promise.reject(new Error('bodies are inline')),
    group: (id) => ({
      ...row,
      id,
      group: 0,
      bytes: BODY.length,
      held: false,
      pending: [{ address: `person${id}@recipient.example`, notify: 0, orcpt: '' }],
      lastReply: '',
      lastAttemptAt: 0,
    }),
  }
}

const LIMITS: SiteLimits = {
  connections: CONNECTIONS,
  messagesPerConnection: 1_000_000,
  recipientsPerTransaction: 100,
  connectionRate: undefined,
  messageRate: undefined,
  idleReuseMs: 60_000,
  tlsRequired: false,
  reactions: [],
  origins: {},
}

/** A scheduler that has always as much as is asked for, and answers at the end of the turn. */
class Feeder implements DeliverHost {
  core: DeliverCore | undefined
  settledCount = 0
  batches = 0
  pulls = 0
  #next = 1
  connectionUp(): void {}
  pull(conn: number, want: number): void {
    this.pulls++
    setImmediate(() => {
      const notAfter = systemClock.now() + 5000
      const items = Array.from({ length: want }, () => ({ id: this.#next++, groups: [0], attempt: 1, notAfter }))
      this.core?.grant(conn, items)
    })
  }
  returned(): void {}
  connectionDown(_conn: number, down: ConnectionDown): void {
    if (down.kind !== 'closed') throw new Error(down.reply.text)
  }
  settle(settlements: readonly unknown[]): void {
    this.settledCount += settlements.length
    this.batches++
  }
}

async function main(seconds: number): Promise<void> {
  const worker = new Worker(new URL(import.meta.url))
  const port = await new Promise<number>((resolve) => void worker.once('message', resolve))
  const feeder = new Feeder()
  const settings = {
    sources: [{ name: 'default', hello: 'relay' }],
    limits: deliverLimits(defaultLimits),
    allowHosts: [],
    ownAddresses: [],
  }
  const core = new DeliverCore({ ...settings, host: feeder, reader: memoryReader(), clock: systemClock })
  feeder.core = core
  const hosts = [{ name: '127.0.0.1', port, addresses: ['127.0.0.1'], preference: 0 }]
  const site: DeliverSite = { key: 'sink', limits: LIMITS, route: { kind: 'hosts', protocol: 'smtp', hosts, tls: 'off', fromMx: false } }
  for (let conn = 1; conn <= CONNECTIONS; conn++) core.open(conn, site, 'default')
  await new Promise((resolve) => setTimeout(resolve, 500))
  const count = feeder.settledCount
  const cpu = process.threadCpuUsage()
  const begun = performance.now()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const used = process.threadCpuUsage(cpu)
  const messages = feeder.settledCount - count
  const elapsed = (performance.now() - begun) / 1000
  const perMessage = (used.user + used.system) / messages
  console.log(
    `${(messages / elapsed).toFixed(0)} messages/s, ${perMessage.toFixed(1)} µs CPU a message, ${(messages / feeder.batches).toFixed(1)} a batch`,
  )
  core.abort()
  await worker.terminate()
}

if (isMainThread) await main(Number(process.argv[2] ?? 3))
else sink()
