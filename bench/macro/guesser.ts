// People who guess passwords, as a suite starts and stops them.

import { Worker } from 'node:worker_threads'

export interface GuesserJob {
  readonly port: number
  readonly connections: number
  readonly account: string
  /** Int32: logins refused so far. */
  readonly answered: SharedArrayBuffer
}

export class Guesser {
  readonly #worker: Worker
  readonly #answered: Int32Array

  constructor(port: number, connections: number, account: string) {
    const answered = new SharedArrayBuffer(4)
    this.#answered = new Int32Array(answered)
    const workerData: GuesserJob = { port, connections, account, answered }
    this.#worker = new Worker(new URL('./guesser.worker.ts', import.meta.url), { workerData, name: 'bench guesser' })
  }

  /** Logins refused since the start. */
  get answered(): number {
    return Atomics.load(this.#answered, 0)
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
