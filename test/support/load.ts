// A load generator for tests: connections that hand in small messages as fast as they are taken, reconnect whenever the
// server goes away, and remember exactly which messages were answered 250.

import { connect, type Socket } from 'node:net'

const RECONNECT_MS = 25

/** The header by which a sink recognises a message. */
export const LOAD_HEADER = 'X-Load-Id'

export interface LoadOptions {
  readonly port: number
  readonly connections: number
  /** Bytes of a message's body. */
  readonly bodyBytes: number
  readonly sender?: string
  readonly recipient?: string
}

const State = { greeting: 0, hello: 1, mail: 2, rcpt: 3, data: 4, content: 5 } as const
type State = (typeof State)[keyof typeof State]

/** One connection after the other; MAIL, RCPT and DATA go in one write (RFC 2920). */
class Worker {
  readonly #load: Load
  readonly #name: string
  #socket: Socket | undefined
  #state: State = State.greeting
  #input = ''
  #sent = 0
  #current = ''

  constructor(load: Load, name: string) {
    this.#load = load
    this.#name = name
    this.#connect()
  }

  #connect(): void {
    if (this.#load.stopped) return
    this.#state = State.greeting
    this.#input = ''
    const socket = connect(this.#load.options.port, '127.0.0.1')
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#ingest(text))
    socket.on('error', () => undefined)
    socket.on('close', () => setTimeout(() => this.#connect(), RECONNECT_MS))
  }

  #ingest(text: string): void {
    this.#input += text
    for (let end = this.#input.indexOf('\n'); end >= 0; end = this.#input.indexOf('\n')) {
      const line = this.#input.slice(0, end)
      this.#input = this.#input.slice(end + 1)
      if (line[3] !== '-') this.#reply(line)
    }
  }

  #reply(line: string): void {
    const good = line[0] === '2' || line[0] === '3'
    if (this.#state === State.content) {
      if (line.startsWith('250')) this.#load.acknowledge(this.#current)
      else this.#load.refused++
      this.#next()
    } else if (!good) {
      this.#load.refused++
      this.#socket?.destroy()
    } else if (this.#state === State.greeting) {
      this.#state = State.hello
      this.#socket?.write('EHLO load.test\r\n')
    } else if (this.#state === State.hello) {
      this.#next()
    } else {
      this.#state = (this.#state + 1) as State
      if (this.#state === State.content) this.#socket?.write(this.#content())
    }
  }

  #next(): void {
    if (this.#load.stopped) return void this.#socket?.end('QUIT\r\n')
    const { sender = 'a@example.org', recipient = 'b@example.net' } = this.#load.options
    this.#current = `${this.#name}.${++this.#sent}`
    this.#state = State.mail
    this.#socket?.write(`MAIL FROM:<${sender}>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`)
  }

  #content(): string {
    return `From: a@example.org\r\n${LOAD_HEADER}: ${this.#current}\r\nSubject: load\r\n\r\n${this.#load.body}\r\n.\r\n`
  }

  destroy(): void {
    this.#socket?.destroy()
  }
}

export class Load {
  readonly options: LoadOptions
  readonly body: string
  /** Ids of the messages that were answered 250. */
  readonly acknowledged: Set<string> = new Set()
  /** Answers 4xx and 5xx. */
  refused = 0
  stopped = false
  readonly #workers: Worker[]

  constructor(options: LoadOptions) {
    this.options = options
    this.body = 'the quick brown fox jumps over the lazy dog. 0123456789 abcdefghijklm\r\n'
      .repeat(Math.ceil(options.bodyBytes / 72))
      .slice(0, options.bodyBytes)
    this.#workers = Array.from({ length: options.connections }, (_, index) => new Worker(this, `w${index}`))
  }

  acknowledge(id: string): void {
    this.acknowledged.add(id)
  }

  /** Ends after the messages in hand: each worker quits at its next reply. */
  stop(): void {
    this.stopped = true
  }

  [Symbol.dispose](): void {
    this.stop()
    for (const worker of this.#workers) worker.destroy()
  }
}

/** The id of a load message, or undefined. */
export function loadId(data: Buffer): string | undefined {
  const at = data.indexOf(`${LOAD_HEADER}: `)
  return at < 0 ? undefined : data.toString('latin1', at + LOAD_HEADER.length + 2, data.indexOf('\r\n', at))
}
