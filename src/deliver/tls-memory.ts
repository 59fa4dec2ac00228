// What is remembered of peers' TLS between connections: sessions to resume, and handshakes that failed. Deliver threads.

/** A map that forgets what was not used for longest. */
class Recent<V> {
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

/** Failed opportunistic handshakes by `name:port`. */
export class TlsFailures {
  readonly #failures: Recent<{ readonly cause: string; readonly until: number }>
  readonly #keepMs: number

  constructor(hostsMost: number, keepMs: number) {
    this.#failures = new Recent(hostsMost)
    this.#keepMs = keepMs
  }

  /** Why TLS is not tried with this host now, '' when it is. `now` is ms since 1970. */
  cause(host: string, now: number): string {
    const failure = this.#failures.get(host)
    if (!failure) return ''
    if (failure.until > now) return failure.cause
    this.#failures.delete(host)
    return ''
  }

  add(host: string, cause: string, now: number): void {
    this.#failures.set(host, { cause, until: now + this.#keepMs })
  }
}

/**
 * Sessions for resumption. The key holds the policy: a session that was made without checking the certificate must not
 * stand for a checked one.
 */
export class TlsSessions {
  readonly #sessions: Recent<Buffer>

  constructor(sessionsMost: number) {
    this.#sessions = new Recent(sessionsMost)
  }

  get(key: string): Buffer | undefined {
    return this.#sessions.get(key)
  }

  set(key: string, session: Buffer): void {
    this.#sessions.set(key, session)
  }

  delete(key: string): void {
    this.#sessions.delete(key)
  }
}
