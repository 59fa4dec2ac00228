// Timers of sites, domains and connections: a heap of objects that know their own time and place. Scheduler thread.
//
// One heap and one `tick` instead of a timer each: the order is the same in every run.

/** `wakeAt` is ms since 1970, Infinity when nothing is planned; `agendaPlace` is the agenda's own, -1 when not in it. */
export interface Timed {
  wakeAt: number
  agendaPlace: number
}

export class Agenda<T extends Timed> {
  readonly #heap: T[] = []

  get size(): number {
    return this.#heap.length
  }

  get nextAt(): number {
    return this.#heap[0]?.wakeAt ?? Infinity
  }

  /** Plans `item` for `at`, later or earlier than before; Infinity takes it out. */
  set(item: T, at: number): void {
    if (item.agendaPlace >= 0) this.#take(item)
    item.wakeAt = at
    if (at === Infinity) return
    this.#heap.push(item)
    this.#up(this.#heap.length - 1, item)
  }

  /** Plans `item` for `at` unless it wakes earlier anyway. */
  atMost(item: T, at: number): void {
    if (at < item.wakeAt) this.set(item, at)
  }

  /** Takes out and answers the first item whose time has come. */
  due(now: number): T | undefined {
    const first = this.#heap[0]
    if (!first || first.wakeAt > now) return undefined
    this.set(first, Infinity)
    return first
  }

  #take(item: T): void {
    const place = item.agendaPlace
    item.agendaPlace = -1
    const last = this.#heap.pop() as T
    if (last === item) return
    const parent = this.#heap[(place - 1) >> 1]
    if (place > 0 && parent && last.wakeAt < parent.wakeAt) this.#up(place, last)
    else this.#down(place, last)
  }

  #up(place: number, item: T): void {
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1] as T
      if (parent.wakeAt <= item.wakeAt) break
      this.#put(place, parent)
      place = (place - 1) >> 1
    }
    this.#put(place, item)
  }

  #down(place: number, item: T): void {
    for (;;) {
      let child = place * 2 + 1
      const right = this.#heap[child + 1]
      if (right && right.wakeAt < (this.#heap[child] as T).wakeAt) child++
      const least = this.#heap[child]
      if (!least || least.wakeAt >= item.wakeAt) break
      this.#put(place, least)
      place = child
    }
    this.#put(place, item)
  }

  #put(place: number, item: T): void {
    this.#heap[place] = item
    item.agendaPlace = place
  }
}
