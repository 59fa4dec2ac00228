// The world's time: a heap of what happens when, in order of its time, then of its making.

import type { Clock, Timer } from '../../../src/lib/clock.ts'

interface Event {
  readonly at: number
  readonly seq: number
  fn: (() => void) | undefined
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq)
}

export class WorldClock implements Clock {
  #now: number
  readonly #start: number
  readonly #heap: Event[] = []
  #seq = 0

  constructor(startMs: number) {
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
    const event: Event = { at: this.#now + Math.max(0, Math.ceil(delayMs)), seq: this.#seq++, fn }
    const heap = this.#heap
    let place = heap.push(event) - 1
    while (place > 0 && before(event, heap[(place - 1) >> 1] as Event)) {
      heap[place] = heap[(place - 1) >> 1] as Event
      place = (place - 1) >> 1
    }
    heap[place] = event
    return { cancel: () => void (event.fn = undefined) }
  }

  /** Runs the next event if it is due by `until`; false when there is none. Time does not pass without events. */
  step(until: number): boolean {
    for (let first = this.#heap[0]; first && first.at <= until; first = this.#heap[0]) {
      this.#pop()
      const { fn } = first
      if (!fn) continue
      first.fn = undefined
      this.#now = Math.max(this.#now, first.at)
      fn()
      return true
    }
    return false
  }

  /** Lets time pass up to `until`, when nothing happens before. */
  skip(until: number): void {
    this.#now = Math.max(this.#now, until)
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let place = 0
    for (;;) {
      let child = place * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++
      if (!before(heap[child] as Event, last)) break
      heap[place] = heap[child] as Event
      place = child
    }
    heap[place] = last
  }
}
