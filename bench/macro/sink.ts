// The receiving end as the suites use it.

import { Worker } from 'node:worker_threads'

/** Cells of the shared Int32Array. */
export const SinkCell = { messages: 0, target: 1, connections: 2, handshakes: 3 } as const

export interface SinkJob {
  readonly host: string
  readonly port: number
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  readonly cells: SharedArrayBuffer
}

export type SinkNews =
  | { readonly kind: 'listening'; readonly port: number }
  /** The first message, and the one that reaches the target; `at` is ms since 1970 with fractions. */
  | { readonly kind: 'reached'; readonly count: number; readonly at: number }

export interface SinkOptions {
  readonly host?: string
  readonly port?: number
  readonly tls?: SinkJob['tls']
}

export class Sink {
  readonly port: number
  readonly #worker: Worker
  readonly #cells: Int32Array

  private constructor(worker: Worker, cells: Int32Array, port: number) {
    this.#worker = worker
    this.#cells = cells
    this.port = port
  }

  static async start(options: SinkOptions = {}): Promise<Sink> {
    const cells = new SharedArrayBuffer(16)
    const job: SinkJob = { host: options.host ?? '127.0.0.1', port: options.port ?? 0, tls: options.tls, cells }
    const worker = new Worker(new URL('./sink.worker.ts', import.meta.url), { workerData: job, name: 'bench sink' })
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('message', (news: SinkNews) => resolve(news.kind === 'listening' ? news.port : 0))
      worker.once('error', reject)
    })
    return new Sink(worker, new Int32Array(cells), port)
  }

  get messages(): number {
    return Atomics.load(this.#cells, SinkCell.messages)
  }

  get connections(): number {
    return Atomics.load(this.#cells, SinkCell.connections)
  }

  get handshakes(): number {
    return Atomics.load(this.#cells, SinkCell.handshakes)
  }

  /** Starts counting anew. Only while nothing arrives. */
  reset(): void {
    for (const cell of Object.values(SinkCell)) Atomics.store(this.#cells, cell, 0)
  }

  /**
   * Resolves with the moment (ms since 1970) at which the count reached `target` since the last reset. Rejects when
   * nothing has arrived for `stallMs`.
   */
  reaches(target: number, stallMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let before = this.messages
      const timer = setInterval(() => {
        if (this.messages === before) done(() => reject(new Error(`the sink has ${before} of ${target} messages and gets no more`)))
        before = this.messages
      }, stallMs)
      const listen = (news: SinkNews): void => {
        if (news.kind === 'reached' && news.count === target) done(() => resolve(news.at))
      }
      const done = (settle: () => void): void => {
        clearInterval(timer)
        this.#worker.off('message', listen)
        settle()
      }
      this.#worker.on('message', listen)
      Atomics.store(this.#cells, SinkCell.target, target)
      if (this.messages >= target) done(() => resolve(performance.timeOrigin + performance.now()))
    })
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
