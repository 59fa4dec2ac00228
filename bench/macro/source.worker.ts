// The load source, one worker thread: connections that hand in one prepared message again and again, over bytes alone.
// The number of messages left is shared by all workers; latencies go into a histogram that travels at the end.

import { connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'
import { parentPort, workerData } from 'node:worker_threads'
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js'
import type { SourceJob, SourceReport } from './source.ts'

const job = workerData as SourceJob
const left = new Int32Array(job.left)
const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: 3 })
const secureContext = createSecureContext()

const EHLO = Buffer.from('EHLO bench.test\r\n')
const STARTTLS = Buffer.from('STARTTLS\r\n')
const MAIL = Buffer.from(`MAIL FROM:<${job.sender}>\r\n`)
const DATA = Buffer.from('DATA\r\n')
const QUIT = Buffer.from('QUIT\r\n')
const MESSAGE = Buffer.from(job.message)

const Step = { banner: 0, hello: 1, tls: 2, mail: 3, rcpt: 4, data: 5, dot: 6, quit: 7 } as const
type Step = (typeof Step)[keyof typeof Step]

let sent = 0
let handshakes = 0
let open = 0
let next = 0
const problems = new Map<string, number>()

/** After so many problems the rest is not worth sending. */
const PROBLEMS_MAX = 50
let failures = 0

function fail(what: string): void {
  problems.set(what, (problems.get(what) ?? 0) + 1)
  if (++failures >= PROBLEMS_MAX) Atomics.store(left, 0, 0)
}

/** Takes one of the messages that are left to send; false when there is none. */
function take(): boolean {
  return Atomics.sub(left, 0, 1) > 0
}

class Connection {
  #socket: Socket
  #step: Step = Step.banner
  #secured = false
  /** Bytes of the current reply line seen so far, capped at 4: the fourth tells whether it is the last line. */
  #column = 0
  #last = false
  #digit = 0
  /** Replies of a pipelined transaction that have not come yet. */
  #replies = 0
  #count = 0
  #recipient: Buffer = Buffer.alloc(0)
  #startedAt = 0

  constructor() {
    this.#socket = connect(job.port, job.host)
    this.#attach(this.#socket)
    this.#socket.on('close', () => this.#closed())
    open++
  }

  #attach(socket: Socket): void {
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#ingest(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message))
  }

  #closed(): void {
    open--
    if (this.#step !== Step.quit && this.#step !== Step.banner) fail('connection lost')
    if (Atomics.load(left, 0) > 0) void new Connection()
    else if (open === 0) finish()
  }

  #ingest(chunk: Buffer): void {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number
      if (byte === 0x0a) {
        this.#column = 0
        if (this.#last) this.#reply(this.#digit)
        continue
      }
      if (this.#column === 0) this.#digit = byte
      if (this.#column === 3) this.#last = byte !== 0x2d
      if (this.#column < 4) this.#column++
    }
  }

  #reply(digit: number): void {
    const expected = this.#step === Step.data ? 0x33 : 0x32
    if (this.#replies > 1) {
      this.#replies--
      if (digit !== 0x32) this.#refused(digit)
      return
    }
    if (digit !== expected) return this.#refused(digit)
    this.#advance()
  }

  #refused(digit: number): void {
    fail(`reply ${String.fromCharCode(digit)}xx at step ${this.#step}`)
    this.#socket.destroy()
  }

  #advance(): void {
    switch (this.#step) {
      case Step.banner:
        this.#step = Step.hello
        this.#socket.write(EHLO)
        return
      case Step.hello:
        if (job.tls && !this.#secured) {
          this.#step = Step.tls
          this.#socket.write(STARTTLS)
          return
        }
        return this.#begin()
      case Step.tls:
        return this.#secure()
      case Step.mail:
        this.#step = Step.rcpt
        this.#socket.write(this.#recipient)
        return
      case Step.rcpt:
        this.#step = Step.data
        this.#socket.write(DATA)
        return
      case Step.data:
        this.#replies = 0
        this.#step = Step.dot
        this.#startedAt = performance.now()
        this.#socket.write(MESSAGE)
        return
      case Step.dot:
        histogram.recordValue(Math.round((performance.now() - this.#startedAt) * 1000))
        sent++
        this.#count++
        return this.#begin()
      case Step.quit:
        this.#socket.end()
    }
  }

  #secure(): void {
    const plain = this.#socket
    plain.removeAllListeners('data')
    this.#secured = true
    handshakes++
    this.#socket = connectTls({ socket: plain, secureContext, rejectUnauthorized: false }, () => {
      this.#step = Step.hello
      this.#socket.write(EHLO)
    })
    this.#attach(this.#socket)
  }

  #begin(): void {
    if (this.#count >= job.perConnection || !take()) {
      this.#step = Step.quit
      this.#socket.write(QUIT)
      return
    }
    this.#recipient = recipients[next++ % recipients.length] as Buffer
    if (job.pipelining) {
      this.#replies = 3
      this.#step = Step.data
      this.#socket.write(Buffer.concat([MAIL, this.#recipient, DATA]))
      return
    }
    this.#step = Step.mail
    this.#socket.write(MAIL)
  }
}

const recipients = job.recipients.map((recipient) => Buffer.from(`RCPT TO:<${recipient}>\r\n`))

function finish(): void {
  const report: SourceReport = {
    sent,
    handshakes,
    problems: [...problems],
    histogram: encodeIntoCompressedBase64(histogram),
    endedAt: performance.timeOrigin + performance.now(),
  }
  parentPort?.postMessage(report)
}

for (let i = 0; i < job.connections; i++) void new Connection()
