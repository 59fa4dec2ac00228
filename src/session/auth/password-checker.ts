// Passwords of PLAIN and LOGIN: a memory of right ones, and one verification at a time of the same question. Net thread.
//
// A client that logs in for every message, or on fifty connections at once, costs one argon2id. What is remembered is
// keyed by a hash of the stored hash and the password under a secret of this thread: a changed password or a removed
// account is another question, and the memory gives no password away.

import type { Clock } from '../../lib/clock.ts'
import { hashSecret, keyedHash } from './keyed-hash.ts'
import type { PasswordPort, PasswordVerdict } from './ports.ts'

export interface PasswordCheckerOptions {
  readonly clock: Clock
  readonly passwords: PasswordPort
  /** How long a right password is remembered. */
  readonly rememberMs: number
  readonly rememberedMax: number
  /** Verifications that one client network may have under way; beyond this it is told `busy`. */
  readonly perNetworkMax: number
}

export const PASSWORD_CHECKER_DEFAULTS = { rememberMs: 300_000, rememberedMax: 10_000, perNetworkMax: 16 } as const

type Waiter = (verdict: PasswordVerdict) => void

export class PasswordChecker {
  readonly #options: PasswordCheckerOptions
  readonly #secret = hashSecret()
  /** Question -> time in ms (monotonic) until which it is known to be right; the oldest first. */
  readonly #right = new Map<string, number>()
  readonly #underWay = new Map<string, Waiter[]>()
  readonly #byNetwork = new Map<string, number>()

  constructor(options: PasswordCheckerOptions) {
    this.#options = options
  }

  /** `done` may be called before it returns. `password` is SASLprepped. */
  check(network: string, argon2id: string, password: string, done: Waiter): void {
    const question = this.#question(argon2id, password)
    if (this.#isRemembered(question)) return done('right')
    const waiters = this.#underWay.get(question)
    if (waiters) return void waiters.push(done)
    const running = this.#byNetwork.get(network) ?? 0
    if (running >= this.#options.perNetworkMax) return done('busy')
    this.#byNetwork.set(network, running + 1)
    this.#underWay.set(question, [done])
    this.#options.passwords.verify(argon2id, password, (verdict) => this.#answered(network, question, verdict))
  }

  #question(argon2id: string, password: string): string {
    return keyedHash(this.#secret, `${argon2id}\0${password}`)
  }

  #isRemembered(question: string): boolean {
    const until = this.#right.get(question)
    if (until === undefined) return false
    if (this.#options.clock.mono() < until) return true
    this.#right.delete(question)
    return false
  }

  #answered(network: string, question: string, verdict: PasswordVerdict): void {
    const running = (this.#byNetwork.get(network) ?? 1) - 1
    if (running === 0) this.#byNetwork.delete(network)
    else this.#byNetwork.set(network, running)
    if (verdict === 'right') this.#remember(question)
    const waiters = this.#underWay.get(question) ?? []
    this.#underWay.delete(question)
    for (const waiter of waiters) waiter(verdict)
  }

  #remember(question: string): void {
    this.#right.delete(question)
    if (this.#right.size >= this.#options.rememberedMax) this.#right.delete(this.#right.keys().next().value as string)
    this.#right.set(question, this.#options.clock.mono() + this.#options.rememberMs)
  }
}
