// The control socket: one JSON request line in, JSON lines out. Main thread.
//
// Request:  {"verb":"queue.summary","args":{…}}
// Answer:   {"row":…}* then {"end":{"code":0}} or {"error":{"code":69,"text":"…"}}
// The socket has mode 0600: whoever can open it may do everything.

import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../lib/log.ts'

const REQUEST_BYTES_MAX = 1_048_576
/** What may wait for a caller of a stream before rows are left out. */
const STREAM_BYTES_MAX = 4 * 1_048_576

/** What a handler may do with its caller. */
export interface Caller {
  row(row: unknown): void
  /** Whether so much waits for the caller that a stream should leave rows out. */
  readonly congested: boolean
  /** Resolves when the caller may take more rows. */
  drained(): Promise<void>
  /** Calls `fn` when the caller has gone away, or ended its stream. */
  onGone(fn: () => void): void
  readonly gone: boolean
}

/** Answers one verb; the number is the exit code of the command. A ControlError becomes its answer. */
export type Verb = (args: Readonly<Record<string, unknown>>, caller: Caller) => Promise<number>

/** An expected failure, with the exit code that the command shall end with. */
export class ControlError extends Error {
  override readonly name = 'ControlError'
  readonly code: number
  constructor(code: number, text: string) {
    super(text)
    this.code = code
  }
}

class SocketCaller implements Caller {
  readonly #socket: Socket
  #goneCallbacks: (() => void)[] = []
  gone = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('close', () => {
      this.gone = true
      for (const fn of this.#goneCallbacks) fn()
    })
  }

  get congested(): boolean {
    return this.#socket.writableLength > STREAM_BYTES_MAX
  }

  row(row: unknown): void {
    this.send({ row })
  }

  send(line: unknown): void {
    if (!this.gone && this.#socket.writable) this.#socket.write(JSON.stringify(line) + '\n')
  }

  drained(): Promise<void> {
    if (this.gone || !this.#socket.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done).off('close', done)
        resolve()
      }
      this.#socket.on('drain', done).on('close', done)
    })
  }

  onGone(fn: () => void): void {
    if (this.gone) fn()
    else this.#goneCallbacks.push(fn)
  }
}

function parseRequest(line: string): { verb: string; args: Readonly<Record<string, unknown>> } {
  let request: unknown
  try {
    request = JSON.parse(line)
  } catch {
    throw new ControlError(2, 'the request is not JSON')
  }
  const { verb, args } = (request ?? {}) as { verb?: unknown; args?: unknown }
  if (typeof verb !== 'string') throw new ControlError(2, 'the request has no verb')
  return { verb, args: typeof args === 'object' && args !== null ? (args as Record<string, unknown>) : {} }
}

export class ControlServer {
  readonly #server: Server
  readonly #path: string
  readonly #verbs: ReadonlyMap<string, Verb>
  readonly #log: Log
  readonly #sockets = new Set<Socket>()

  constructor(path: string, verbs: ReadonlyMap<string, Verb>, log: Log) {
    this.#path = path
    this.#verbs = verbs
    this.#log = log
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Opens the socket. The data directory's lock is held, so a socket file found there is a dead process's. */
  async open(): Promise<void> {
    rmSync(this.#path, { force: true })
    const before = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject)
        this.#server.listen(this.#path, resolve)
      })
    } finally {
      process.umask(before)
    }
    chmodSync(this.#path, 0o600)
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    rmSync(this.#path, { force: true })
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    let text = ''
    let asked = false
    socket.setEncoding('utf8')
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const caller = new SocketCaller(socket)
    socket.on('data', (chunk: string) => {
      if (asked) return
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0 && text.length <= REQUEST_BYTES_MAX) return
      asked = true
      void this.#answer(text.slice(0, Math.max(end, 0)), caller, socket)
    })
  }

  async #answer(line: string, caller: SocketCaller, socket: Socket): Promise<void> {
    try {
      const { verb, args } = parseRequest(line)
      const handler = this.#verbs.get(verb)
      if (!handler) throw new ControlError(2, `no such verb: ${verb}`)
      caller.send({ end: { code: await handler(args, caller) } })
    } catch (error) {
      const known = error instanceof ControlError
      if (!known) this.#log.error({ err: error }, 'control request failed')
      caller.send({ error: { code: known ? error.code : 1, text: error instanceof Error ? error.message : String(error) } })
    }
    socket.end()
  }
}
