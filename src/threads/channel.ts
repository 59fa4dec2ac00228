// A batched, typed channel over a MessagePort: what is sent in one turn of the loop travels as one array.
//
// Each pair of threads gets a new port when one of them is restarted, so a stale message cannot arrive: the port is the epoch.

import type { MessagePort, Worker } from 'node:worker_threads'
import { atTurnEnd } from '../lib/turn.ts'

/** Either end of a channel: main talks to a Worker, everybody else to a MessagePort. */
export type Port = MessagePort | Worker

export class Channel<Out, In> {
  readonly #port: Port
  #batch: Out[] = []
  #scheduled = false
  readonly #flush: () => void

  constructor(port: Port, receive: (message: In) => void) {
    this.#port = port
    this.#flush = () => this.flush()
    port.on('message', (batch: readonly In[]) => {
      for (const message of batch) receive(message)
    })
  }

  send(message: Out): void {
    this.#batch.push(message)
    if (this.#scheduled) return
    this.#scheduled = true
    atTurnEnd(this.#flush)
  }

  /** Posts what is waiting now. */
  flush(): void {
    this.#scheduled = false
    if (this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.#port.postMessage(batch)
  }
}
