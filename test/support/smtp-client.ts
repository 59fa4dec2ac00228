// A plain SMTP client for tests: it sends what it is told, right or wrong, and gives back replies.

import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { caPem } from './tls.ts'
import { within } from './wait.ts'

const REPLY_MS = 20_000

export interface Reply {
  readonly code: number
  /** Text of each line, codes removed. */
  readonly lines: readonly string[]
}

export class SmtpClient {
  #socket: Socket
  #input = ''
  #lines: string[] = []
  readonly #replies: Reply[] = []
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = []
  #ended: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#attach()
  }

  /** Connects and reads the banner. */
  static async connect(port: number, host = '127.0.0.1', implicitTls = false, localAddress?: string): Promise<SmtpClient> {
    const where = { port, host, ...(localAddress !== undefined && { localAddress }) }
    const socket = implicitTls ? connectTls({ ...where, ca: caPem, servername: 'localhost' }) : connectPlain(where)
    socket.setNoDelay(true)
    await within(REPLY_MS, `connection to ${host}:${port}`, once(socket, implicitTls ? 'secureConnect' : 'connect'))
    return SmtpClient.over(socket)
  }

  /** Reads the banner on a connection that the test has made itself. */
  static async over(socket: Socket): Promise<SmtpClient> {
    const client = new SmtpClient(socket)
    await client.reply()
    return client
  }

  #attach(): void {
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => this.#ingest(text))
    this.#socket.on('error', (error) => this.#end(error))
    this.#socket.on('close', () => this.#end(new Error('the server closed the connection')))
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #ingest(text: string): void {
    this.#input += text
    for (let end = this.#input.indexOf('\r\n'); end >= 0; end = this.#input.indexOf('\r\n')) {
      const line = this.#input.slice(0, end)
      this.#input = this.#input.slice(end + 2)
      this.#lines.push(line.slice(4))
      if (line[3] === '-') continue
      const reply = { code: Number(line.slice(0, 3)), lines: this.#lines }
      this.#lines = []
      const waiting = this.#waiting.shift()
      if (waiting) waiting.resolve(reply)
      else this.#replies.push(reply)
    }
  }

  /** The next reply. */
  reply(): Promise<Reply> {
    const ready = this.#replies.shift()
    if (ready) return Promise.resolve(ready)
    if (this.#ended) return Promise.reject(this.#ended)
    return within(REPLY_MS, 'a reply', new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })))
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes)
  }

  command(line: string): Promise<Reply> {
    this.write(`${line}\r\n`)
    return this.reply()
  }

  /** Sends a command and throws unless it is answered with `code`. */
  async expect(code: number, line: string): Promise<Reply> {
    const reply = await this.command(line)
    if (reply.code !== code) throw new Error(`${line} was answered ${reply.code} ${reply.lines.join(' ')}`)
    return reply
  }

  /** Resolves with the TLS layer, for what its certificate and session are. */
  async startTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
    await this.expect(220, 'STARTTLS')
    return this.secure(options)
  }

  /** The handshake alone, behind a 220 that was read. */
  async secure(options: ConnectionOptions = {}): Promise<TLSSocket> {
    this.#socket.removeAllListeners()
    const secured: TLSSocket = connectTls({ socket: this.#socket, ca: caPem, servername: 'localhost', ...options })
    await within(REPLY_MS, 'the TLS handshake', once(secured, 'secureConnect'))
    this.#socket = secured
    this.#attach()
    return secured
  }

  /** One message; resolves with the reply to the final dot. `content` ends in CRLF and has its dots stuffed. */
  async send(from: string, to: readonly string[], content: string): Promise<Reply> {
    await this.expect(250, `MAIL FROM:<${from}>`)
    for (const recipient of to) await this.expect(250, `RCPT TO:<${recipient}>`)
    await this.expect(354, 'DATA')
    return this.command(`${content}.`)
  }

  async quit(): Promise<void> {
    await this.expect(221, 'QUIT')
    this.#socket.destroy()
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}
