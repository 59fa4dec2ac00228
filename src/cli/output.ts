// Lines to a stream in few writes, and no more of them than the reader takes.

import type { Writable } from 'node:stream'
import { atTurnEnd } from '../lib/turn.ts'

const CHUNK_CHARS = 32_768

export class Output {
  readonly #stream: Writable
  #pending = ''
  #scheduled = false
  #draining: Promise<void> | undefined

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** Whether a person reads it. */
  get isTerminal(): boolean {
    return (this.#stream as { isTTY?: boolean }).isTTY === true
  }

  /** Writes a line; resolves when more may come. Lines of one turn of the event loop leave together. */
  line(text: string): Promise<void> {
    this.put(`${text}\n`)
    return this.#stream.writableNeedDrain ? this.#drained() : DONE
  }

  /** Writes a value as one line of JSON. */
  json(value: unknown): Promise<void> {
    return this.line(JSON.stringify(value))
  }

  /** Writes text as it is, for those who do not wait. */
  put(text: string): void {
    this.#pending += text
    if (this.#pending.length >= CHUNK_CHARS) this.#flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      atTurnEnd(() => {
        this.#scheduled = false
        this.#flush()
      })
    }
  }

  /** Resolves when everything is with the system. */
  async end(): Promise<void> {
    this.#flush()
    const stream = this.#stream
    // 'drain' only follows a write that was too much; the last write's callback follows every one.
    if (stream.writable && stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }

  #flush(): void {
    if (this.#pending === '') return
    const text = this.#pending
    this.#pending = ''
    if (this.#stream.writable) this.#stream.write(text)
  }

  #drained(): Promise<void> {
    this.#draining ??= new Promise((resolve) => {
      const stream = this.#stream
      const done = (): void => {
        stream.removeListener('drain', done).removeListener('close', done)
        this.#draining = undefined
        resolve()
      }
      if (!stream.writable) return done()
      stream.on('drain', done).on('close', done)
    })
    return this.#draining
  }
}

const DONE: Promise<void> = Promise.resolve()
