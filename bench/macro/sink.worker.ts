// The receiving end, one worker thread: takes everything, keeps nothing, counts in shared memory. Bytes only: a command
// is known by its first letter, a content by its last five bytes.

import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { parentPort, workerData } from 'node:worker_threads'
import { SinkCell, type SinkJob, type SinkNews } from './sink.ts'

const job = workerData as SinkJob
const cells = new Int32Array(job.cells)
const secureContext = job.tls ? createSecureContext({ cert: job.tls.cert, key: job.tls.key }) : undefined

const BANNER = Buffer.from('220 sink.test ESMTP\r\n')
const EHLO_PLAIN = Buffer.from('250-sink.test\r\n250-PIPELINING\r\n250-SIZE 1073741824\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n')
const EHLO_TLS = Buffer.from(
  '250-sink.test\r\n250-PIPELINING\r\n250-SIZE 1073741824\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n',
)
const OK = Buffer.from('250 2.0.0 ok\r\n')
const GO = Buffer.from('354 go\r\n')
const READY = Buffer.from('220 2.0.0 ready\r\n')
const BYE = Buffer.from('221 2.0.0 bye\r\n')
const END = Buffer.from('\r\n.\r\n')

function news(message: SinkNews): void {
  parentPort?.postMessage(message)
}

function count(): void {
  const now = Atomics.add(cells, SinkCell.messages, 1) + 1
  if (now === 1 || now === Atomics.load(cells, SinkCell.target))
    news({ kind: 'reached', count: now, at: performance.timeOrigin + performance.now() })
}

class Connection {
  #socket: Socket
  #content = false
  /** The last bytes of what came before, in which the end of the content may begin. */
  #tail: Buffer = Buffer.alloc(0)
  /** The start of a command whose end has not come. */
  #rest: Buffer | undefined
  #out: Buffer[] = []
  #secured = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.#attach(socket)
    socket.write(BANNER)
  }

  #attach(socket: Socket): void {
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#ingest(chunk))
    socket.on('error', () => undefined)
  }

  #ingest(chunk: Buffer): void {
    let input = chunk
    if (this.#rest) {
      input = Buffer.concat([this.#rest, chunk])
      this.#rest = undefined
    }
    let at = 0
    while (at < input.length && at >= 0) at = this.#content ? this.#skipContent(input, at) : this.#command(input, at)
    if (this.#out.length === 0) return
    this.#socket.write(this.#out.length === 1 ? (this.#out[0] as Buffer) : Buffer.concat(this.#out))
    this.#out = []
  }

  /** Where the next command begins, or -1 when the input is used up. */
  #skipContent(input: Buffer, from: number): number {
    if (this.#tail.length > 0) {
      const seam = Buffer.concat([this.#tail, input.subarray(from, from + 4)])
      const found = seam.indexOf(END)
      if (found >= 0) return this.#endContent(from + found + END.length - this.#tail.length)
    }
    const found = input.indexOf(END, from)
    if (found >= 0) return this.#endContent(found + END.length)
    const fresh = input.subarray(Math.max(from, input.length - 4))
    this.#tail = Buffer.from(fresh.length < 4 ? Buffer.concat([this.#tail, fresh]).subarray(-4) : fresh)
    return -1
  }

  #endContent(next: number): number {
    this.#content = false
    this.#tail = Buffer.alloc(0)
    this.#out.push(OK)
    count()
    return next
  }

  #command(input: Buffer, from: number): number {
    const end = input.indexOf(0x0a, from)
    if (end < 0) {
      this.#rest = Buffer.from(input.subarray(from))
      return -1
    }
    // ASCII letters in upper case.
    switch ((input[from] as number) & 0xdf) {
      case 0x45: // EHLO
        this.#out.push(secureContext && !this.#secured ? EHLO_TLS : EHLO_PLAIN)
        return end + 1
      case 0x44: // DATA: an empty content ends with its first line
        this.#out.push(GO)
        this.#content = true
        this.#tail = Buffer.from('\r\n')
        return end + 1
      case 0x51: // QUIT
        this.#socket.end(Buffer.concat([...this.#out, BYE]))
        this.#out = []
        return -1
      case 0x53: // STARTTLS
        this.#secure()
        return -1
      default:
        this.#out.push(OK)
        return end + 1
    }
  }

  #secure(): void {
    const plain = this.#socket
    plain.write(READY)
    plain.removeAllListeners('data')
    this.#secured = true
    Atomics.add(cells, SinkCell.handshakes, 1)
    this.#socket = new TLSSocket(plain, { isServer: true, ...(secureContext ? { secureContext } : {}) })
    this.#attach(this.#socket)
  }
}

const server = createServer((socket) => {
  // The suites with many sites listen on every address, for loopback's sake alone.
  if (!socket.localAddress?.includes('127.')) return void socket.destroy()
  Atomics.add(cells, SinkCell.connections, 1)
  void new Connection(socket)
})
server.listen({ port: job.port, host: job.host, backlog: 4096 }, () =>
  news({ kind: 'listening', port: (server.address() as AddressInfo).port }),
)
