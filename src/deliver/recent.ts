// What a thread remembers for a while: values by key, and what failed lately. Deliver threads; no clock.

/** A map that forgets what was not used for longest. */
export class Recent<V> {
  readonly #most: number
  readonly #entries = new Map<string, V>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  set(key: string, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#most) return
    const oldest = this.#entries.keys().next()
    if (!oldest.done) this.#entries.delete(oldest.value)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}

/** What failed lately and why, by key. */
export class Failures {
  readonly #failures: Recent<{ readonly cause: string; readonly until: number }>
  readonly #keepMs: number

  constructor(keysMost: number, keepMs: number) {
    this.#failures = new Recent(keysMost)
    this.#keepMs = keepMs
  }

  /** Why it failed, '' when it did not or that is too long ago. `now` is ms since 1970. */
  cause(key: string, now: number): string {
    const failure = this.#failures.get(key)
    if (!failure) return ''
    if (failure.until > now) return failure.cause
    this.#failures.delete(key)
    return ''
  }

  add(key: string, cause: string, now: number): void {
    this.#failures.set(key, { cause, until: now + this.#keepMs })
  }

  /** It works again. */
  delete(key: string): void {
    this.#failures.delete(key)
  }
}
