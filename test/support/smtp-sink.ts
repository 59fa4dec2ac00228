// A small receiving server for tests: SMTP or LMTP, plain, STARTTLS or TLS, with answers that a test may script.
// It keeps what it was given, byte by byte, and says so by promises.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { peerTls, type KeyPair } from './tls.ts'
import { within } from './wait.ts'

export interface Received {
  /** Reverse path without brackets, and the parameters behind it. */
  readonly from: string
  readonly mailParameters: string
  readonly to: readonly string[]
  readonly rcptParameters: readonly string[]
  /** The content with CRLF line ends, dots unstuffed, without the final dot. */
  readonly data: Buffer
  /** `TLSv1.3` and the like, '' for plain. */
  readonly tls: string
  readonly helo: string
  /** Number of the connection, from 1, in order of arrival. */
  readonly connection: number
}

/** What a script is asked about. `verb` is upper case; `banner` stands for the greeting, `content` for the final dot. */
export interface Question {
  readonly verb: string
  readonly line: string
  readonly connection: number
}

/** As an answer of a script: cut the connection. */
export const DROP = 'drop'

/** A whole reply with its line ends, DROP, or undefined for the usual answer. */
export type Script = (question: Question) => string | undefined

export interface SinkOptions {
  readonly protocol?: 'smtp' | 'lmtp'
  readonly tls?: 'off' | 'starttls' | 'implicit'
  readonly certificate?: KeyPair
  /** EHLO keywords besides STARTTLS. */
  readonly extensions?: readonly string[]
  readonly script?: Script
  readonly host?: string
  readonly port?: number
  /** Listens on a socket of this path instead of a port. */
  readonly path?: string
  /** Holds back the reply to a content, and everything behind it, until the promise resolves. */
  readonly wait?: (question: Question) => Promise<void> | undefined
  /** Called for each message before its 250 is written. */
  readonly onMessage?: (message: Received) => void
  /** Whether `messages` keeps them. Off for load. */
  readonly keep?: boolean
}

interface Transaction {
  from: string | undefined
  mailParameters: string
  to: string[]
  rcptParameters: string[]
  chunks: Buffer[]
}

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'SIZE 104857600', 'ENHANCEDSTATUSCODES', 'DSN', 'CHUNKING']

function blank(): Transaction {
  return { from: undefined, mailParameters: '', to: [], rcptParameters: [], chunks: [] }
}

/** Undoes dot stuffing (RFC 5321 §4.5.2) in a content that ends before its final dot. */
function unstuff(data: Buffer): Buffer {
  if (data[0] !== 0x2e && data.indexOf('\r\n.') < 0) return data
  return Buffer.from(data.toString('latin1').replace(/^\./, '').replaceAll('\r\n.', '\r\n'), 'latin1')
}

class Connection {
  readonly #sink: SmtpSink
  readonly #number: number
  #socket: Socket
  #input: Buffer = Buffer.alloc(0)
  #mode: 'command' | 'data' | 'chunk' | 'held' | 'dead' = 'command'
  #chunkLeft = 0
  #chunkLast = false
  #helo = ''
  #tls = ''
  #mail = blank()

  constructor(sink: SmtpSink, socket: Socket, number: number) {
    this.#sink = sink
    this.#socket = socket
    this.#number = number
    this.#attach(socket)
    if (sink.options.tls === 'implicit') this.#secure()
    else this.#greet()
  }

  #attach(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => this.#ingest(chunk))
    socket.on('error', () => undefined)
  }

  #greet(): void {
    this.#answer('banner', '', '220 sink.test ESMTP\r\n')
  }

  /** Writes what the script says, else `usual`. Returns false when the connection is gone. */
  #answer(verb: string, line: string, usual: string): boolean {
    const reply = this.#sink.options.script?.({ verb, line, connection: this.#number }) ?? usual
    if (reply === DROP) {
      this.#mode = 'dead'
      this.#socket.destroy()
      return false
    }
    this.#socket.write(reply, 'utf8')
    if (!reply.startsWith('421')) return true
    this.#mode = 'dead'
    this.#socket.end()
    return false
  }

  #secure(): void {
    const { certPem, keyPem } = this.#sink.options.certificate ?? peerTls
    this.#socket.removeAllListeners('data')
    const secured = new TLSSocket(this.#socket, { isServer: true, secureContext: createSecureContext({ cert: certPem, key: keyPem }) })
    this.#socket = secured
    this.#input = Buffer.alloc(0)
    this.#attach(secured)
    secured.on('secure', () => {
      this.#tls = secured.getProtocol() ?? ''
      if (this.#sink.options.tls === 'implicit') this.#greet()
    })
  }

  #ingest(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    while (this.#mode !== 'dead' && this.#mode !== 'held' && this.#step()) continue
  }

  /** Consumes one command, or what there is of a content; false when more bytes are needed. */
  #step(): boolean {
    if (this.#mode === 'data') return this.#content()
    if (this.#mode === 'chunk') return this.#chunk()
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#input.toString('utf8', 0, end)
    this.#input = this.#input.subarray(end + 2)
    this.#command(line)
    return true
  }

  #content(): boolean {
    const empty = this.#input.indexOf('.\r\n') === 0
    const end = empty ? 0 : this.#input.indexOf('\r\n.\r\n')
    if (end < 0) return false
    const data = unstuff(Buffer.from(this.#input.subarray(0, empty ? 0 : end + 2)))
    this.#input = this.#input.subarray(end + (empty ? 3 : 5))
    this.#mode = 'command'
    this.#finish(data)
    return true
  }

  #chunk(): boolean {
    const part = this.#input.subarray(0, this.#chunkLeft)
    this.#mail.chunks.push(Buffer.from(part))
    this.#chunkLeft -= part.length
    this.#input = this.#input.subarray(part.length)
    if (this.#chunkLeft > 0) return false
    this.#mode = 'command'
    if (this.#chunkLast) this.#finish(Buffer.concat(this.#mail.chunks))
    else this.#answer('BDAT', '', '250 2.0.0 more\r\n')
    return true
  }

  #finish(data: Buffer): void {
    const { from, to, mailParameters, rcptParameters } = this.#mail
    const message = {
      from: from ?? '',
      to,
      mailParameters,
      rcptParameters,
      data,
      tls: this.#tls,
      helo: this.#helo,
      connection: this.#number,
    }
    this.#mail = blank()
    const question = { verb: 'content', line: '', connection: this.#number }
    const wait = this.#sink.options.wait?.(question)
    if (!wait) return this.#answerContent(message, question)
    this.#mode = 'held'
    void wait.then(() => {
      this.#mode = 'command'
      this.#answerContent(message, question)
      this.#ingest(Buffer.alloc(0))
    })
  }

  #answerContent(message: Received, question: Question): void {
    const refused = this.#sink.options.script?.(question)
    if (refused === undefined || refused.startsWith('2')) this.#sink.take(message)
    const usual = this.#sink.options.protocol === 'lmtp' ? message.to.map(() => '250 2.0.0 kept\r\n').join('') : '250 2.0.0 kept\r\n'
    if (refused === DROP) {
      this.#mode = 'dead'
      this.#socket.destroy()
    } else this.#socket.write(refused ?? usual)
  }

  #command(line: string): void {
    const verb = (/^[A-Za-z0-9]+/.exec(line)?.[0] ?? '').toUpperCase()
    switch (verb) {
      case 'HELO':
      case 'EHLO':
      case 'LHLO':
        return this.#hello(verb, line)
      case 'MAIL':
        return this.#path(verb, line)
      case 'RCPT':
        return this.#path(verb, line)
      case 'DATA':
        if (this.#answer(verb, line, this.#mail.to.length > 0 ? '354 go\r\n' : '503 5.5.1 no recipient\r\n') && this.#mail.to.length > 0)
          this.#mode = 'data'
        return
      case 'BDAT':
        return this.#bdat(line)
      case 'STARTTLS':
        if (this.#answer(verb, line, '220 2.0.0 ready\r\n')) this.#secure()
        return
      case 'QUIT':
        this.#answer(verb, line, '221 2.0.0 bye\r\n')
        this.#socket.end()
        return
      case 'RSET':
        this.#mail = blank()
        this.#answer(verb, line, '250 2.0.0 ok\r\n')
        return
      default:
        this.#answer(verb, line, verb === 'NOOP' ? '250 2.0.0 ok\r\n' : '502 5.5.1 unknown\r\n')
    }
  }

  #hello(verb: string, line: string): void {
    this.#helo = line.slice(5)
    const offersTls = this.#sink.options.tls === 'starttls' && this.#tls === ''
    const words = ['sink.test', ...(this.#sink.options.extensions ?? EXTENSIONS), ...(offersTls ? ['STARTTLS'] : [])]
    const lines = words.map((word, index) => `250${index < words.length - 1 ? '-' : ' '}${word}\r\n`).join('')
    this.#answer(verb, line, verb === 'HELO' ? '250 sink.test\r\n' : lines)
  }

  #path(verb: 'MAIL' | 'RCPT', line: string): void {
    const match = /^(?:MAIL FROM|RCPT TO): ?<((?:"(?:[^"\\]|\\.)*"|[^>])*)> ?(.*)$/i.exec(line)
    if (!match) return void this.#answer(verb, line, '501 5.5.4 syntax\r\n')
    const reply = this.#sink.options.script?.({ verb, line, connection: this.#number })
    const accepted = reply === undefined || reply.startsWith('2')
    if (accepted && verb === 'MAIL') {
      this.#mail.from = match[1] as string
      this.#mail.mailParameters = match[2] as string
    } else if (accepted) {
      this.#mail.to.push(match[1] as string)
      this.#mail.rcptParameters.push(match[2] as string)
    }
    if (reply === DROP) {
      this.#mode = 'dead'
      this.#socket.destroy()
    } else this.#socket.write(reply ?? '250 2.1.0 ok\r\n')
  }

  #bdat(line: string): void {
    const match = /^BDAT (\d+)( LAST)?$/i.exec(line)
    if (!match) return void this.#answer('BDAT', line, '501 5.5.4 syntax\r\n')
    this.#chunkLeft = Number(match[1])
    this.#chunkLast = match[2] !== undefined
    this.#mode = 'chunk'
  }
}

export class SmtpSink {
  readonly options: SinkOptions
  readonly messages: Received[] = []
  /** Messages taken, kept or not. */
  count = 0
  connections = 0
  readonly #server: NetServer
  readonly #sockets = new Set<Socket>()
  readonly #waiting = new Set<() => void>()

  constructor(options: SinkOptions = {}) {
    this.options = options
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        this.#wake()
      })
      socket.setNoDelay(true)
      new Connection(this, socket, ++this.connections)
    })
  }

  static async start(options: SinkOptions = {}): Promise<SmtpSink> {
    const sink = new SmtpSink(options)
    sink.#server.listen(
      options.path === undefined ? { port: options.port ?? 0, host: options.host ?? '127.0.0.1' } : { path: options.path },
    )
    await once(sink.#server, 'listening')
    return sink
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  take(message: Received): void {
    this.count++
    this.options.onMessage?.(message)
    if (this.options.keep !== false) this.messages.push(message)
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** Resolves once the condition holds; asked whenever a message arrives or a connection ends. */
  async until(ms: number, what: string, condition: () => boolean): Promise<void> {
    const met = new Promise<void>((resolve) => {
      const wake = (): void => {
        if (!condition()) return
        this.#waiting.delete(wake)
        resolve()
      }
      this.#waiting.add(wake)
      wake()
    })
    await within(ms, what, met)
  }

  /** Resolves once no connection is open: all that a dead client sent has been read by then. */
  idle(ms = 10_000): Promise<void> {
    return this.until(ms, 'the sink has no connections', () => this.#sockets.size === 0)
  }

  /** Resolves once `count` messages have arrived, with them. */
  async received(count: number, ms = 30_000): Promise<readonly Received[]> {
    await this.until(ms, `the sink receives ${count} messages (has ${this.count})`, () => this.count >= count)
    return this.messages
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
