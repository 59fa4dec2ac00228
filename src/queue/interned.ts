// Names as numbers: a table of objects found by name or by number; numbers are reused. Scheduler thread.

export interface Numbered {
  readonly name: string
  readonly number: number
}

export class Interned<T extends Numbered> {
  readonly #byName = new Map<string, T>()
  readonly #byNumber: (T | undefined)[] = []
  readonly #free: number[] = []
  readonly #make: (name: string, number: number) => T

  constructor(make: (name: string, number: number) => T) {
    this.#make = make
  }

  get size(): number {
    return this.#byName.size
  }

  /** The object of that name, made when there is none. */
  named(name: string): T {
    const known = this.#byName.get(name)
    if (known) return known
    const made = this.#make(name, this.#free.pop() ?? this.#byNumber.length)
    this.#byNumber[made.number] = made
    this.#byName.set(name, made)
    return made
  }

  find(name: string): T | undefined {
    return this.#byName.get(name)
  }

  /** The object of a number that is in use. */
  at(number: number): T {
    return this.#byNumber[number] as T
  }

  remove(item: T): void {
    this.#byName.delete(item.name)
    this.#byNumber[item.number] = undefined
    this.#free.push(item.number)
  }

  values(): IterableIterator<T> {
    return this.#byName.values()
  }
}
