// Time as a port: the only file of src that reads the system's clock or sets bare timers.

export interface Timer {
  cancel(): void
}

/** Wall clock in ms since 1970, a monotonic clock in ms (with fractions), and one-shot timers. */
export interface Clock {
  now(): number
  mono(): number
  /** Calls `fn` once after `delayMs`. Timers do not keep the process alive. */
  after(delayMs: number, fn: () => void): Timer
}

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout
  constructor(delayMs: number, fn: () => void) {
    // Node treats more than 2^31-1 ms as 1 ms.
    this.#handle = setTimeout(fn, Math.min(Math.max(delayMs, 0), 0x7fffffff))
    this.#handle.unref()
  }
  cancel(): void {
    clearTimeout(this.#handle)
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after: (delayMs, fn) => new SystemTimer(delayMs, fn),
}

/** Keeps the process alive until it is cancelled: for who waits for nothing but timers. */
export function keepAlive(): Timer {
  const handle = setInterval(() => undefined, 0x7fffffff)
  return { cancel: () => clearInterval(handle) }
}

interface ManualTimer {
  readonly at: number
  readonly seq: number
  readonly fn: () => void
  live: boolean
}

/** A clock that stands still until `advance` moves it; timers fire in order of their time, then of their making. */
export class ManualClock implements Clock {
  #now: number
  readonly #start: number
  #seq = 0
  #timers: ManualTimer[] = []

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs
    this.#start = startMs
  }

  now(): number {
    return this.#now
  }

  mono(): number {
    return this.#now - this.#start
  }

  after(delayMs: number, fn: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, delayMs), seq: this.#seq++, fn, live: true }
    this.#timers.push(timer)
    return { cancel: () => void (timer.live = false) }
  }

  /** Time of the earliest live timer in ms since 1970, or Infinity. */
  nextTimerAt(): number {
    let at = Infinity
    for (const timer of this.#timers) if (timer.live && timer.at < at) at = timer.at
    return at
  }

  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      this.#timers = this.#timers.filter((timer) => timer.live)
      let next: ManualTimer | undefined
      for (const timer of this.#timers) {
        if (timer.at <= until && (!next || timer.at < next.at || (timer.at === next.at && timer.seq < next.seq))) next = timer
      }
      if (!next) break
      next.live = false
      this.#now = Math.max(this.#now, next.at)
      next.fn()
    }
    this.#now = until
  }
}
