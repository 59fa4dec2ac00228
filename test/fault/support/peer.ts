// A receiving server that misbehaves: per question a reply in pieces, silence, or the end of the connection.
//
// What test/support's SmtpSink does not do on purpose; with good answers only it is a small SMTP server as well.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { within } from '../../support/wait.ts'

/** `banner` stands for the greeting, `content` for the final dot; everything else is a command's verb in upper case. */
export interface Asked {
  readonly verb: string
  readonly line: string
  /** Number of the connection, from 1. */
  readonly connection: number
}

export interface Act {
  /** Octets to send, line ends included. */
  readonly say?: string
  /** Sends one octet in so many ms instead of all at once. */
  readonly everyMs?: number
  /** `close`: FIN behind what was said; `cut`: RST; `deaf`: never answers again; `stop`: does not even read. */
  readonly then?: 'close' | 'cut' | 'deaf' | 'stop'
}

/** The reply or act, undefined for the usual answer. */
export type Behaviour = (asked: Asked) => string | Act | undefined

export interface PeerOptions {
  /** EHLO keywords. */
  readonly extensions?: readonly string[]
  readonly host?: string
  readonly port?: number
}

/** A content that was answered with 250. */
export interface Taken {
  readonly to: readonly string[]
  readonly data: string
  readonly connection: number
}

const USUAL: Readonly<Record<string, string>> = {
  banner: '220 peer.test ESMTP\r\n',
  HELO: '250 peer.test\r\n',
  MAIL: '250 2.1.0 ok\r\n',
  RCPT: '250 2.1.5 ok\r\n',
  DATA: '354 go\r\n',
  content: '250 2.0.0 kept\r\n',
  RSET: '250 2.0.0 ok\r\n',
  NOOP: '250 2.0.0 ok\r\n',
}

export class Peer {
  readonly taken: Taken[] = []
  /** Contents that came whole, answered 250 or not. */
  contents = 0
  connections = 0
  readonly #behaviour: Behaviour
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiting = new Set<() => void>()
  readonly extensions: readonly string[]

  private constructor(behaviour: Behaviour, options: PeerOptions) {
    this.#behaviour = behaviour
    this.extensions = options.extensions ?? ['PIPELINING', 'ENHANCEDSTATUSCODES', '8BITMIME']
    this.#server = createServer((socket) => this.#accept(socket))
  }

  static async start(behaviour: Behaviour = () => undefined, options: PeerOptions = {}): Promise<Peer> {
    const peer = new Peer(behaviour, options)
    peer.#server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
    await once(peer.#server, 'listening')
    return peer
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Resolves once so many contents were answered 250. */
  async takes(count = 1, ms = 30_000): Promise<readonly Taken[]> {
    await this.until(ms, `the peer takes ${count} (has ${this.taken.length})`, () => this.taken.length >= count)
    return this.taken
  }

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

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.wake()
    })
    socket.on('error', () => socket.destroy())
    socket.setNoDelay(true)
    new Session(this, this.#behaviour, socket, ++this.connections)
    this.wake()
  }

  wake(): void {
    for (const wake of this.#waiting) wake()
  }
}

const END = '\r\n.\r\n'

class Session {
  readonly #peer: Peer
  readonly #behaviour: Behaviour
  readonly #socket: Socket
  readonly #connection: number
  #input = ''
  /** What came behind `#input`, and its last characters. */
  readonly #held: string[] = []
  #edge = ''
  #mode: 'command' | 'data' | 'deaf' = 'command'
  #to: string[] = []
  /** Answers leave one after the other, also those that take their time. */
  #sending: Promise<void> = Promise.resolve()

  constructor(peer: Peer, behaviour: Behaviour, socket: Socket, connection: number) {
    this.#peer = peer
    this.#behaviour = behaviour
    this.#socket = socket
    this.#connection = connection
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#ingest(text))
    this.#answer('banner', '')
  }

  /** A content that has no end yet is only kept: searched from its start each time, 20 MB took the peer longer than it has. */
  #ingest(text: string): void {
    const near = this.#edge + text
    this.#edge = near.slice(-END.length + 1)
    this.#held.push(text)
    if (this.#mode === 'data' && !near.includes(END)) return
    this.#input += this.#held.splice(0).join('')
    while (this.#mode !== 'deaf' && this.#step()) continue
  }

  #step(): boolean {
    if (this.#mode === 'data') return this.#content()
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#input.slice(0, end)
    this.#input = this.#input.slice(end + 2)
    const verb = (/^[A-Za-z]+/.exec(line)?.[0] ?? '').toUpperCase()
    const reply = this.#answer(verb, line)
    if (verb === 'RCPT' && reply.startsWith('2')) this.#to.push(/<([^>]*)>/.exec(line)?.[1] ?? '')
    if (verb === 'DATA' && reply.startsWith('354') && this.#mode === 'command') this.#mode = 'data'
    if (verb === 'QUIT') this.#act({ then: 'close' })
    return true
  }

  #content(): boolean {
    const end = this.#input.startsWith('.\r\n') ? 0 : this.#input.indexOf('\r\n.\r\n') + 2
    if (end === 1) return false
    const data = this.#input.slice(0, end)
    this.#input = this.#input.slice(end + 3)
    this.#mode = 'command'
    this.#peer.contents++
    const to = this.#to
    this.#to = []
    if (/^2.*\r\n$/s.test(this.#answer('content', ''))) this.#peer.taken.push({ to, data, connection: this.#connection })
    this.#peer.wake()
    return true
  }

  /** What was said, '' for silence. */
  #answer(verb: string, line: string): string {
    const wanted = this.#behaviour({ verb, line, connection: this.#connection }) ?? this.#usual(verb)
    const act = typeof wanted === 'string' ? { say: wanted } : wanted
    this.#act(act)
    return act.say ?? ''
  }

  #usual(verb: string): string {
    if (verb === 'EHLO' || verb === 'LHLO') {
      const words = ['peer.test', ...this.#peer.extensions]
      return words.map((word, i) => `250${i + 1 < words.length ? '-' : ' '}${word}\r\n`).join('')
    }
    return verb === 'QUIT' ? '221 2.0.0 bye\r\n' : (USUAL[verb] ?? '502 5.5.1 unknown\r\n')
  }

  #act({ say = '', everyMs, then }: Act): void {
    if (then !== undefined) this.#mode = 'deaf'
    if (then === 'stop') this.#socket.pause()
    this.#sending = this.#sending.then(async () => {
      if (everyMs === undefined) this.#socket.write(say, 'latin1')
      else for (const octet of say) await this.#slowly(octet, everyMs)
      if (then === 'close') this.#socket.end()
      if (then === 'cut') this.#socket.resetAndDestroy()
    })
  }

  async #slowly(octet: string, everyMs: number): Promise<void> {
    if (this.#socket.destroyed) return
    this.#socket.write(octet, 'latin1')
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
