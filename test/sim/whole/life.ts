// One life of a thread: what dies with it, and what it waits for while it stands still.
//
// Everything that runs in a thread runs through `enter`. After `end` nothing of it runs any more, whatever it waited for.

import type { Clock } from '../../../src/lib/clock.ts'
import type { WorldClock } from './clock.ts'

export class Life {
  readonly name: string
  readonly clock: Clock
  readonly #world: WorldClock
  readonly #failed: (error: unknown) => void
  alive = true
  /** Operations that the kernel has not finished: the thread's end waits for them. */
  underWay = 0
  #frozenUntil = 0
  /** Waits for the thaw; what main said goes first, as its port was opened first. */
  #waiting: { readonly fn: () => void; readonly fromMain: boolean }[] = []

  constructor(name: string, world: WorldClock, failed: (error: unknown) => void) {
    this.name = name
    this.#world = world
    this.#failed = failed
    this.clock = {
      now: () => world.now(),
      mono: () => world.mono(),
      after: (delayMs, fn) => world.after(delayMs, () => this.enter(fn)),
    }
  }

  /** Runs `fn` in the thread: now, when it stands still later, when it is dead never. */
  enter(fn: () => void, fromMain = false): void {
    if (!this.alive) return
    if (this.#world.now() < this.#frozenUntil) {
      this.#waiting.push({ fn, fromMain })
      return
    }
    try {
      fn()
    } catch (error) {
      this.#failed(error)
    }
  }

  /** The thread does something long: nothing else of it runs meanwhile. */
  freeze(ms: number): void {
    if (!this.alive || this.#world.now() < this.#frozenUntil) return
    this.#frozenUntil = this.#world.now() + ms
    this.#world.after(ms, () => this.#thaw())
  }

  end(): void {
    this.alive = false
    this.#waiting = []
  }

  #thaw(): void {
    const waiting = this.#waiting
    this.#waiting = []
    const ordered = [...waiting.filter(({ fromMain }) => fromMain), ...waiting.filter(({ fromMain }) => !fromMain)]
    // Each in a turn of its own, so that promises are served in between.
    for (const { fn } of ordered) this.#world.after(0, () => this.enter(fn))
  }
}
