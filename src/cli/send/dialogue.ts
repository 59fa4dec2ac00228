// A client's side of an SMTP connection, one command at a time.

import { connect as connectPlain } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { formatDuration } from '../../config/units.ts'
import { CliError, ExitCode } from '../command.ts'

export interface Reply {
  readonly code: number
  /** Text of each line, behind the code. */
  readonly lines: readonly string[]
}

export interface Server {
  readonly host: string
  readonly port: number
  /** Whether certificates are checked. */
  readonly verifies: boolean
}

const REPLY_BYTES_MAX = 64 * 1024
/** RFC 5321 §4.5.3.2.6: the final dot may take ten minutes. */
const SILENCE_MS_MAX = 600_000
/** Who says nothing at first most often waits for a TLS handshake; servers that test a client's patience do so for less. */
const GREETING_MS_MAX = 30_000

export class Dialogue {
  readonly #server: Server
  #socket: Socket
  /** What is said of a server that says nothing. */
  #silence: string
  #text = ''
  #wanted: { resolve(reply: Reply): void; reject(error: Error): void } | undefined
  #broken: Error | undefined

  private constructor(server: Server, socket: Socket, greetingMsMax: number) {
    this.#server = server
    this.#socket = socket
    this.#silence = `no greeting within ${formatDuration(greetingMsMax)}; does the server expect --tls implicit?`
    this.#listen(greetingMsMax)
  }

  /** Opens the connection; rejects with CliError when that fails. The server's greeting is the first reply. */
  static async open(server: Server, implicitTls: boolean, greetingMsMax: number = GREETING_MS_MAX): Promise<Dialogue> {
    const socket = implicitTls ? connectTls(tlsOptions(server)) : connectPlain(server.port, server.host)
    await established(socket, implicitTls ? 'secureConnect' : 'connect', server)
    return new Dialogue(server, socket, greetingMsMax)
  }

  get isSecure(): boolean {
    return (this.#socket as TLSSocket).encrypted === true
  }

  /** The first reply. */
  async greeting(): Promise<Reply> {
    const reply = await this.reply()
    this.#silence = 'the server is silent'
    this.#socket.setTimeout(SILENCE_MS_MAX)
    return reply
  }

  /** Upgrades after the 220 to STARTTLS. */
  async startTls(): Promise<void> {
    const plain = this.#socket
    plain.removeAllListeners('data')
    const secure = connectTls({ ...tlsOptions(this.#server), socket: plain })
    await established(secure, 'secureConnect', this.#server)
    this.#socket = secure
    this.#text = ''
    this.#listen(SILENCE_MS_MAX)
  }

  /** Sends a line and waits for the reply. */
  ask(line: string): Promise<Reply> {
    this.#socket.write(`${line}\r\n`)
    return this.reply()
  }

  /** Sends bytes as they are. */
  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  reply(): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject }
      this.#deliver()
      if (this.#broken) reject(this.#broken)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #listen(silenceMsMax: number): void {
    const socket = this.#socket
    socket.setTimeout(silenceMsMax, () => socket.destroy(new Error(this.#silence)))
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('utf8')
      if (this.#text.length > REPLY_BYTES_MAX) socket.destroy(new Error('the reply is too long'))
      else this.#deliver()
    })
    socket.on('error', (error) => this.#fail(error.message))
    socket.on('close', () => this.#fail('the server closed the connection'))
  }

  #fail(text: string): void {
    this.#broken ??= new CliError(ExitCode.notRunning, text)
    this.#wanted?.reject(this.#broken)
  }

  /** The first whole reply of what has come, to who waits for one (RFC 5321 §4.2.1). */
  #deliver(): void {
    const match = /^(?:\d{3}-[^\n]*\n)*\d{3}(?:[ \r][^\n]*)?\n/.exec(this.#text)
    if (!match || !this.#wanted) return
    this.#text = this.#text.slice(match[0].length)
    const lines = match[0].split(/\r?\n/).slice(0, -1)
    const wanted = this.#wanted
    this.#wanted = undefined
    wanted.resolve({ code: Number(match[0].slice(0, 3)), lines: lines.map((line) => line.slice(4)) })
  }
}

function tlsOptions(server: Server): { host: string; port: number; servername?: string; rejectUnauthorized: boolean } {
  const isName = !/^[\d.]+$|:/.test(server.host)
  return { host: server.host, port: server.port, ...(isName && { servername: server.host }), rejectUnauthorized: server.verifies }
}

/** OpenSSL's words for what people meet, in ours. */
function connectProblem(error: NodeJS.ErrnoException): string {
  if (error.code === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'the server does not speak TLS here'
  const isCertificate = error.code?.includes('CERT') || error.code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
  return isCertificate ? `its certificate is refused (${error.code}); --insecure takes any` : error.message.trim()
}

function established(socket: Socket, event: string, server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      reject(new CliError(ExitCode.notRunning, `cannot connect to ${server.host}:${server.port}: ${connectProblem(error)}`))
    }
    const late = (): void => void socket.destroy(new Error(`no answer within ${formatDuration(GREETING_MS_MAX)}`))
    socket.once('error', failed)
    socket.setTimeout(GREETING_MS_MAX, late)
    socket.once(event, () => {
      socket.removeListener('error', failed)
      socket.setTimeout(0, late)
      resolve()
    })
  })
}
