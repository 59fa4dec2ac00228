// People who guess passwords, as a suite starts and stops them.

import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

const STARTED_AT = 500
const START_MS_MAX = 30_000
const POLL_MS = 20

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

  /** Resolves once refusals come: connecting takes them seconds, and a run must not be over by then. */
  async started(): Promise<void> {
    for (let waited = 0; this.answered < STARTED_AT; waited += POLL_MS) {
      if (waited > START_MS_MAX) throw new Error(`${this.answered} logins were refused in ${START_MS_MAX} ms: nobody guesses`)
      await setTimeout(POLL_MS)
    }
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
