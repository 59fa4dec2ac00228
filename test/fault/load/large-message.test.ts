// A message of 200 MB, in and out, by DATA and by BDAT: it streams, octet for octet, and is never held in memory.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { eventually, within } from '../../support/wait.ts'
import { anonymousMb, queued, queueEmpties } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const MB = 1024 * 1024
const BYTES = 200 * MB
/** What the collectors of two threads leave lying before they run is 64 MB each, whatever the size of the message. */
const MEMORY_MB_MAX = 150
const MS_MAX = 90_000
const HEADER = 'Subject: large\r\n\r\n'

/** 64 KB of lines that differ, without dots at their beginning. */
const block: Buffer = Buffer.from(Array.from({ length: 1024 }, (_, n) => `${String(n).padStart(62, 'x')}\r\n`).join(''))

const sent = createHash('sha256').update(HEADER)
for (let at = 0; at < BYTES; at += block.length) sent.update(block)
const SENT_SHA = sent.digest('hex')

/** A server that digests one message as it comes and keeps nothing of it. */
class Digester {
  readonly #server: NetServer
  readonly #chunking: boolean
  readonly arrived: Promise<string>
  #done: (sha: string) => void = () => undefined

  private constructor(chunking: boolean) {
    this.#chunking = chunking
    this.arrived = new Promise((resolve) => (this.#done = resolve))
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(chunking: boolean): Promise<Digester> {
    const digester = new Digester(chunking)
    digester.#server.listen(0, '127.0.0.1')
    await once(digester.#server, 'listening')
    return digester
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket): void {
    let content: Content | undefined
    socket.on('error', () => socket.destroy())
    socket.write('220 digester ESMTP\r\n')
    socket.on('data', (chunk: Buffer) => {
      if (!content || content.isWhole) content = this.#commands(socket, chunk)
      else content.take(chunk)
    })
  }

  /** The client waits for each reply before it sends the content, so that commands come in chunks of their own. */
  #commands(socket: Socket, chunk: Buffer): Content | undefined {
    let rest = chunk
    for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
      const line = rest.toString('latin1', 0, end)
      rest = rest.subarray(end + 2)
      const bdat = /^BDAT (\d+) LAST$/.exec(line)
      if (bdat || line === 'DATA') {
        if (!bdat) socket.write('354 go\r\n')
        const content = new Content(bdat ? Number(bdat[1]) : undefined, (sha) => {
          socket.write('250 2.0.0 kept\r\n')
          this.#done(sha)
        })
        content.take(rest)
        return content
      }
      socket.write(line.startsWith('EHLO') ? `250-digester\r\n${this.#chunking ? '250-CHUNKING\r\n' : ''}250 SIZE\r\n` : '250 2.0.0 ok\r\n')
    }
    return undefined
  }
}

/** Digests from our header on; what stands before it is the trace field of the relay. */
class Content {
  readonly #bytes: number | undefined
  readonly #done: (sha: string) => void
  readonly #hash = createHash('sha256')
  #seen = 0
  #begun = false
  #tail: Buffer = Buffer.alloc(0)
  isWhole = false

  constructor(bytes: number | undefined, done: (sha: string) => void) {
    this.#bytes = bytes
    this.#done = done
  }

  take(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#seen += chunk.length
    // The last octets wait: they may be the final dot.
    const all = Buffer.concat([this.#tail, chunk])
    const keep = this.#bytes === undefined ? Math.min(5, all.length) : 0
    this.#digest(all.subarray(0, all.length - keep))
    this.#tail = all.subarray(all.length - keep)
    if (this.#bytes === undefined ? this.#tail.equals(Buffer.from('\r\n.\r\n')) : this.#seen >= this.#bytes) this.#finish()
  }

  #digest(bytes: Buffer): void {
    const from = this.#begun ? 0 : bytes.indexOf(HEADER)
    if (from < 0) throw new Error('the first chunk does not hold the header')
    if (bytes.length > 0) this.#begun = true
    this.#hash.update(bytes.subarray(from))
  }

  #finish(): void {
    this.isWhole = true
    if (this.#bytes === undefined) this.#hash.update('\r\n')
    this.#done(this.#hash.digest('hex'))
  }
}

/** Writes the content as fast as it is read. */
async function stream(wire: Wire): Promise<void> {
  for (let at = 0; at < BYTES; at += block.length) {
    if (!wire.socket.write(block)) await once(wire.socket, 'drain')
  }
}

async function sendByData(wire: Wire): Promise<void> {
  await wire.openData('a@example.org', 'b@example.net')
  wire.write(HEADER)
  await stream(wire)
  assert.match((await wire.exchange('.\r\n', 1, MS_MAX))[0] ?? '', /^250 /)
}

async function sendByChunk(wire: Wire): Promise<void> {
  await wire.exchange('MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n', 2)
  wire.write(`BDAT ${HEADER.length + BYTES} LAST\r\n${HEADER}`)
  await stream(wire)
  const [, code] = await wire.reads(/\r\n(250 2\.0\.0 queued as|[45]\d\d) /, MS_MAX)
  assert.equal(code, '250 2.0.0 queued as')
}

for (const how of ['DATA', 'BDAT'] as const) {
  test(`200 MB pass in and out by ${how} without being held in memory`, async (t) => {
    await using digester = await Digester.start(how === 'BDAT')
    await using server = await startServer({
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${digester.port}` }],
      smtp: { maxMessageBytes: '300 MB' },
    })
    const before = anonymousMb(server.pid)
    let most = 0
    const timer = setInterval(() => (most = Math.max(most, anonymousMb(server.pid) - before)), 50)
    try {
      using wire = await Wire.open({ port: server.port() })
      await wire.greet()
      await (how === 'DATA' ? sendByData(wire) : sendByChunk(wire))
      assert.equal(await within(MS_MAX, 'the message arrives', digester.arrived), SENT_SHA)
    } finally {
      clearInterval(timer)
    }
    t.diagnostic(`${most.toFixed(0)} MB more at the most`)
    assert.ok(most < MEMORY_MB_MAX, `${most.toFixed(0)} MB more than before`)
    await queueEmpties(server)
  })
}

test('a large message that a peer takes slowly does not gather in memory', async () => {
  const sockets = new Set<Socket>()
  let read = 0
  const slow = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.write('220 slow\r\n')
    socket.on('data', (chunk: Buffer) => {
      read += chunk.length
      const text = chunk.toString('latin1', 0, 100)
      if (text.startsWith('EHLO')) socket.write('250 slow\r\n')
      else if (/^(MAIL|RCPT)/.test(text)) socket.write('250 ok\r\n')
      else if (text.startsWith('DATA')) {
        socket.write('354 go\r\n')
        socket.pause()
      }
    })
  })
  slow.listen(0, '127.0.0.1')
  await once(slow, 'listening')
  try {
    await using server = await startServer({
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${(slow.address() as AddressInfo).port}` }],
      smtp: { maxMessageBytes: '300 MB' },
      limits: { dataBlockTimeoutMs: '2s', finalDotTimeoutMs: '2s', drainDeliveriesMsMax: 0 },
    })
    const before = anonymousMb(server.pid)
    using wire = await Wire.open({ port: server.port() })
    await wire.greet()
    await sendByData(wire)
    let most = 0
    await eventually(20_000, 'the peer is given up', async () => {
      most = Math.max(most, anonymousMb(server.pid) - before)
      return (await queued(server)).some(({ lastReply }) => lastReply.includes('timed out while sending the content')) || undefined
    })
    assert.ok(most < MEMORY_MB_MAX, `${most.toFixed(0)} MB more than before`)
    assert.ok(read < MB, 'the peer has read next to nothing')
  } finally {
    for (const socket of sockets) socket.destroy()
    slow.close()
  }
})
