// A bare client socket: it says what it is told, reads or does not read, and knows how the connection ended.

import { connect, type Socket } from 'node:net'
import { within } from '../../support/wait.ts'

const MS_MAX = 20_000

export interface WireOptions {
  readonly port: number
  /** Where the connection comes from; all of 127.0.0.0/8 is ours. */
  readonly from?: string
  /** Whether what the server says stays in the kernel's buffers. Default: it is read. */
  readonly deaf?: boolean
}

export class Wire {
  readonly socket: Socket
  /** Everything that was read, one character an octet. */
  text = ''
  #ended: string | undefined
  readonly #waiting = new Set<() => void>()

  private constructor(socket: Socket, deaf: boolean) {
    this.socket = socket
    socket.setEncoding('latin1')
    if (!deaf) this.hear()
    socket.on('end', () => this.#end('end'))
    socket.on('error', (error: NodeJS.ErrnoException) => this.#end(error.code ?? error.message))
    socket.on('close', () => this.#end('close'))
  }

  /** Resolves once the connection is there; the banner may not have come yet. */
  static async open({ port, from, deaf = false }: WireOptions): Promise<Wire> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...(from && { localAddress: from }) })
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    await within(MS_MAX, `connection to port ${port}`, connected)
    return new Wire(socket, deaf)
  }

  /** How the server ended the connection: `end` (it closed its side), an error code, or undefined while it lasts. */
  get ended(): string | undefined {
    return this.#ended
  }

  /** Reads from now on. */
  hear(): void {
    this.socket.on('data', (text: string) => {
      this.text += text
      this.#wake()
    })
    this.socket.resume()
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes, 'latin1')
  }

  /** Resolves with the match once what was read holds it. */
  async reads(pattern: RegExp, ms: number = MS_MAX): Promise<RegExpExecArray> {
    await this.#until(ms, `the server says ${pattern}`, () => pattern.test(this.text) || this.#ended !== undefined)
    const match = pattern.exec(this.text)
    if (!match) throw new Error(`the connection ended (${this.#ended}) without ${pattern}; it said:\n${this.text}`)
    return match
  }

  /** Resolves with how the server ended the connection. */
  async ends(ms: number = MS_MAX): Promise<string> {
    await this.#until(ms, 'the server ends the connection', () => this.#ended !== undefined)
    return this.#ended as string
  }

  /** The replies read so far: the last line of each. */
  get replies(): readonly string[] {
    return this.text.split('\r\n').filter((line) => /^\d{3}(?: |$)/.test(line))
  }

  /** Writes, and resolves with the replies that came from then on once there are `count`. */
  async exchange(bytes: string | Buffer, count = 1, ms: number = MS_MAX): Promise<readonly string[]> {
    const before = this.replies.length
    this.write(bytes)
    await this.#until(ms, `${count} replies`, () => this.replies.length >= before + count || this.#ended !== undefined)
    const replies = this.replies.slice(before)
    if (replies.length < count)
      throw new Error(`the connection ended (${this.#ended}) after ${replies.length} of ${count} replies:\n${this.text}`)
    return replies
  }

  /** Banner and EHLO. */
  async greet(): Promise<void> {
    await this.reads(/^220 .*\r\n/)
    const [reply] = await this.exchange('EHLO fault.test\r\n')
    if (!reply?.startsWith('250')) throw new Error(`EHLO was answered ${reply}`)
  }

  /** Envelope and DATA; resolves when content may go. */
  async openData(from: string, to: string): Promise<void> {
    const replies = await this.exchange(`MAIL FROM:<${from}>\r\nRCPT TO:<${to}>\r\nDATA\r\n`, 3)
    if (!replies[2]?.startsWith('354')) throw new Error(`DATA was answered ${replies.join(' | ')}`)
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #end(how: string): void {
    this.#ended ??= how
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  async #until(ms: number, what: string, condition: () => boolean): Promise<void> {
    const met = new Promise<void>((resolve) => {
      const wake = (): void => {
        if (!condition()) return
        this.#waiting.delete(wake)
        resolve()
      }
      this.#waiting.add(wake)
      wake()
    })
    await within(ms, what, met).catch((error: unknown) => {
      throw new Error(`${String(error)}; it said:\n${this.text.slice(-2000)}`)
    })
  }
}
