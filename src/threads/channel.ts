// A batched, typed channel over a MessagePort: what is sent in one turn of the loop travels as one array.
//
// Each pair of threads gets a new port when one of them is restarted: the port is the epoch. What the dead thread had posted may
// still wait in the old port then, so whoever takes a new channel closes the one before.

import type { MessagePort, Worker } from 'node:worker_threads'
import { atTurnEnd, soon } from '../lib/turn.ts'

/** Either end of a channel: main talks to a Worker, everybody else to a MessagePort. */
export type Port = MessagePort | Worker

/** How long a message that is not urgent waits for company: a post costs 30 to 40 µs, most of it the waking of a thread. */
const PATIENCE_MS = 2

/** The sending end of a channel: what the parts of a thread see of it. Messages arrive in the order they were sent in. */
export interface Sender<Out> {
  /** Leaves at the end of the turn. */
  send(message: Out): void
  /** For what nobody waits for at the other end: leaves with the next message of `send`, or a little later. */
  sendSoon(message: Out): void
  /** Another channel takes its place: nothing more is heard from this one. */
  close(): void
}

export class Channel<Out, In> implements Sender<Out> {
  readonly #port: Port
  #batch: Out[] = []
  #scheduled: 'no' | 'soon' | 'now' = 'no'
  readonly #flush: () => void
  readonly #listener: (batch: readonly In[]) => void

  constructor(port: Port, receive: (message: In) => void) {
    this.#port = port
    this.#flush = () => this.flush()
    this.#listener = (batch) => {
      for (const message of batch) receive(message)
    }
    port.on('message', this.#listener)
  }

  close(): void {
    this.#port.off('message', this.#listener)
  }

  send(message: Out): void {
    this.#batch.push(message)
    if (this.#scheduled === 'now') return
    this.#scheduled = 'now'
    atTurnEnd(this.#flush)
  }

  sendSoon(message: Out): void {
    this.#batch.push(message)
    if (this.#scheduled !== 'no') return
    this.#scheduled = 'soon'
    soon(PATIENCE_MS, this.#flush)
  }

  /** Posts what is waiting now. */
  flush(): void {
    this.#scheduled = 'no'
    if (this.#batch.length === 0) return
    const batch = this.#batch
    this.#batch = []
    this.#port.postMessage(batch)
  }
}
