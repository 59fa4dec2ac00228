// Channels between threads. What one end sends arrives in order, in batches, some time later; what was not posted when a
// thread dies is lost, what was posted arrives, also at a thread that has a newer channel already.

import type { Random } from '../../../src/lib/prng.ts'
import type { Sender } from '../../../src/threads/channel.ts'
import type { WorldClock } from './clock.ts'
import type { Life } from './life.ts'

/** As threads/channel.ts. */
const PATIENCE_MS = 2

export interface WireOptions {
  readonly clock: WorldClock
  readonly random: Random
  /** Time of one post. */
  readonly delayMs: () => number
}

/** One end of a channel. Messages are kept until `receive` is set. */
export class WireEnd<Out, In> implements Sender<Out> {
  readonly #life: Life
  readonly #options: WireOptions
  #peer: WireEnd<In, Out> | undefined
  #batch: Out[] = []
  #flushing: 'no' | 'soon' | 'now' = 'no'
  /** Batches on their way to the peer arrive in order. */
  #arrivesAt = 0
  #inbox: In[][] = []
  #receive: ((message: In) => void) | undefined
  #closed = false

  constructor(life: Life, options: WireOptions) {
    this.#life = life
    this.#options = options
  }

  static pair<A, B>(a: Life, b: Life, options: WireOptions): [WireEnd<A, B>, WireEnd<B, A>] {
    const first = new WireEnd<A, B>(a, options)
    const second = new WireEnd<B, A>(b, options)
    first.#peer = second
    second.#peer = first
    return [first, second]
  }

  receive(fn: (message: In) => void): void {
    this.#receive = fn
    const inbox = this.#inbox
    this.#inbox = []
    for (const batch of inbox) this.#deliver(batch)
  }

  /** Nothing more arrives here. */
  close(): void {
    this.#closed = true
  }

  send(message: Out): void {
    this.#batch.push(message)
    if (this.#flushing === 'now') return
    this.#flushing = 'now'
    this.#life.clock.after(0, () => this.#flush())
  }

  sendSoon(message: Out): void {
    this.#batch.push(message)
    if (this.#flushing !== 'no') return
    this.#flushing = 'soon'
    this.#life.clock.after(PATIENCE_MS, () => this.#flush())
  }

  #flush(): void {
    this.#flushing = 'no'
    if (this.#batch.length === 0) return
    const batch = structuredClone(this.#batch)
    this.#batch = []
    const { clock, delayMs } = this.#options
    this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + delayMs())
    const peer = this.#peer as WireEnd<In, Out>
    clock.after(this.#arrivesAt - clock.now(), () => peer.#life.enter(() => peer.#arrived(batch)))
  }

  #arrived(batch: In[]): void {
    if (this.#receive) this.#deliver(batch)
    else this.#inbox.push(batch)
  }

  #deliver(batch: readonly In[]): void {
    for (const message of batch) if (!this.#closed && this.#life.alive) this.#receive?.(message)
  }
}
