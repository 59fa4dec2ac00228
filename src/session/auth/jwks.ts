// The issuer's public keys (RFC 7517 §5), fetched when needed and kept. Net thread.
//
// - Keys are asked for again when they are old, or when a token names one that is not there: but not more often than
//   `refreshMsMin`, so that invented key ids do not become requests.
// - One request at a time; who asks meanwhile waits for it, in bounded number.
// - Old keys serve while the issuer does not answer, up to `staleMsMax`.

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../../lib/clock.ts'
import { HTTP_LIMITS, requestJson, type HttpLimits } from './http-json.ts'
import { isObject, keyFits, type JwtAlgorithm } from './jwt.ts'

export interface JwksOptions {
  readonly url: string
  readonly clock: Clock
  readonly http?: HttpLimits
  readonly freshMs?: number
  readonly refreshMsMin?: number
  readonly staleMsMax?: number
  readonly waitersMax?: number
  /** Told why keys could not be fetched. */
  report(problem: string): void
}

const FRESH_MS = 600_000
const REFRESH_MS_MIN = 30_000
const STALE_MS_MAX = 86_400_000
const WAITERS_MAX = 1000
const KEYS_MAX = 100

interface SigningKey {
  readonly id: string
  /** '' when the key does not say. */
  readonly algorithm: string
  readonly key: KeyObject
}

/** A key, or `unknown`: the issuer has none of that name, or `unavailable`: it does not answer. */
export type KeyAnswer = KeyObject | 'unknown' | 'unavailable'
type KeyWaiter = (key: KeyAnswer) => void

export class JwksKeys {
  readonly #options: Required<JwksOptions>
  #keys: readonly SigningKey[] = []
  #fetchedAt = -Infinity
  #triedAt = -Infinity
  #lastFailed = false
  #waiting: (() => void)[] | undefined

  constructor(options: JwksOptions) {
    const defaults = {
      http: HTTP_LIMITS,
      freshMs: FRESH_MS,
      refreshMsMin: REFRESH_MS_MIN,
      staleMsMax: STALE_MS_MAX,
      waitersMax: WAITERS_MAX,
    }
    this.#options = { ...defaults, ...options, report: (problem) => options.report(problem) }
  }

  /** `found` may be called before it returns. */
  find(id: string, algorithm: JwtAlgorithm, found: KeyWaiter): void {
    const age = this.#options.clock.mono() - this.#fetchedAt
    const key = this.#pick(id, algorithm)
    if (key && age < this.#options.freshMs) return found(key)
    if (!this.#mayRefresh()) return found(this.#settled(id, algorithm))
    const waiting = this.#waiting
    if (waiting && waiting.length >= this.#options.waitersMax) return found('unavailable')
    const afterwards = (): void => found(this.#settled(id, algorithm))
    if (waiting) waiting.push(afterwards)
    else void this.#refresh(afterwards)
  }

  #mayRefresh(): boolean {
    return this.#waiting !== undefined || this.#options.clock.mono() - this.#triedAt >= this.#options.refreshMsMin
  }

  /** What the keys at hand say, when they are not going to be fetched now. */
  #settled(id: string, algorithm: JwtAlgorithm): KeyAnswer {
    const isUsable = this.#options.clock.mono() - this.#fetchedAt < this.#options.staleMsMax
    const key = isUsable ? this.#pick(id, algorithm) : undefined
    return key ?? (this.#lastFailed ? 'unavailable' : 'unknown')
  }

  /** A token without a key id is taken when only one key fits (RFC 7515 §4.1.4 leaves it open). */
  #pick(id: string, algorithm: JwtAlgorithm): KeyObject | undefined {
    const fitting = this.#keys.filter((one) => (one.algorithm === '' || one.algorithm === algorithm) && keyFits(one.key, algorithm))
    if (id === '') return fitting.length === 1 ? fitting[0]?.key : undefined
    return fitting.find((one) => one.id === id)?.key
  }

  async #refresh(first: () => void): Promise<void> {
    const waiting = [first]
    this.#waiting = waiting
    this.#triedAt = this.#options.clock.mono()
    const answer = await requestJson({ url: this.#options.url, method: 'GET' }, this.#options.http, this.#options.clock)
    const keys = answer.ok ? signingKeys(answer.value) : []
    this.#lastFailed = keys.length === 0
    if (this.#lastFailed) {
      this.#options.report(answer.ok ? `no signing keys at ${this.#options.url}` : `${this.#options.url}: ${answer.error}`)
    } else {
      this.#keys = keys
      this.#fetchedAt = this.#options.clock.mono()
    }
    this.#waiting = undefined
    for (const afterwards of waiting) afterwards()
  }
}

/** Keys of a set that can verify signatures; others are left out (RFC 7517 §5). */
function signingKeys(value: unknown): SigningKey[] {
  const list = isObject(value) && Array.isArray(value['keys']) ? value['keys'].slice(0, KEYS_MAX) : []
  return list.map(signingKey).filter((key) => key !== undefined)
}

function signingKey(jwk: unknown): SigningKey | undefined {
  // A symmetric key in a public set is a mistake or a trick.
  if (!isObject(jwk) || jwk['kty'] === 'oct' || (jwk['use'] !== undefined && jwk['use'] !== 'sig')) return undefined
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    return { id: textOf(jwk['kid']), algorithm: textOf(jwk['alg']), key }
  } catch {
    // A kind of key that we do not know is no reason to refuse the others (RFC 7517 §5).
    return undefined
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
