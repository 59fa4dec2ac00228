// Asking the authorization server about a token (RFC 7662), with a short memory and few requests at a time. Net thread.

import type { Clock } from '../../lib/clock.ts'
import { base64ToText } from '../../wire/sasl/base64.ts'
import { HTTP_LIMITS, requestJson, type HttpLimits } from './http-json.ts'
import { isObject, type Claims } from './jwt.ts'
import { hashSecret, keyedHash } from './keyed-hash.ts'

export interface IntrospectionOptions {
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
  readonly clock: Clock
  readonly http?: HttpLimits
  /** How long an active token is believed without asking again, and how many are remembered. */
  readonly rememberMs?: number
  readonly rememberedMax?: number
  readonly requestsMax?: number
  /** Told why a question was not answered. */
  report(problem: string): void
}

const REMEMBER_MS = 60_000
const REMEMBERED_MAX = 10_000
const REQUESTS_MAX = 64

/** The claims of an active token. */
export type IntrospectionAnswer = { readonly kind: 'active'; readonly claims: Claims } | { readonly kind: 'inactive' | 'unavailable' }
type IntrospectionWaiter = (answer: IntrospectionAnswer) => void

export class Introspection {
  readonly #options: Required<IntrospectionOptions>
  readonly #authorization: string
  readonly #secret = hashSecret()
  /** Hash of a token -> its claims, and until when (monotonic ms) they are believed; the oldest first. */
  readonly #active = new Map<string, { readonly claims: Claims; readonly until: number }>()
  readonly #underWay = new Map<string, IntrospectionWaiter[]>()

  constructor(options: IntrospectionOptions) {
    const defaults = { http: HTTP_LIMITS, rememberMs: REMEMBER_MS, rememberedMax: REMEMBERED_MAX, requestsMax: REQUESTS_MAX }
    this.#options = { ...defaults, ...options, report: (problem) => options.report(problem) }
    // RFC 6749 §2.3.1: form-encoded before base64.
    const pair = `${encodeURIComponent(options.clientId)}:${encodeURIComponent(options.clientSecret)}`
    this.#authorization = options.clientId === '' ? '' : `Basic ${base64ToText(Buffer.from(pair, 'utf8'))}`
  }

  /** `done` may be called before it returns. */
  ask(token: string, done: IntrospectionWaiter): void {
    const key = keyedHash(this.#secret, token)
    const known = this.#active.get(key)
    if (known && this.#options.clock.mono() < known.until) return done({ kind: 'active', claims: known.claims })
    const waiters = this.#underWay.get(key)
    if (waiters) return void waiters.push(done)
    if (this.#underWay.size >= this.#options.requestsMax) return done({ kind: 'unavailable' })
    this.#underWay.set(key, [done])
    void this.#request(key, token)
  }

  async #request(key: string, token: string): Promise<void> {
    const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
    if (this.#authorization !== '') headers['authorization'] = this.#authorization
    const body = `token=${encodeURIComponent(token)}&token_type_hint=access_token`
    const request = { url: this.#options.url, method: 'POST', headers, body } as const
    const reply = await requestJson(request, this.#options.http, this.#options.clock)
    if (!reply.ok) this.#options.report(`${this.#options.url}: ${reply.error}`)
    const answer = reply.ok ? answerOf(reply.value) : ({ kind: 'unavailable' } as const)
    if (answer.kind === 'active') this.#remember(key, answer.claims)
    const waiters = this.#underWay.get(key) ?? []
    this.#underWay.delete(key)
    for (const waiter of waiters) waiter(answer)
  }

  #remember(key: string, claims: Claims): void {
    this.#active.delete(key)
    if (this.#active.size >= this.#options.rememberedMax) this.#active.delete(this.#active.keys().next().value as string)
    this.#active.set(key, { claims, until: this.#options.clock.mono() + this.#options.rememberMs })
  }
}

/** RFC 7662 §2.2: only `active: true` is active; a reply without the member is no introspection reply. */
function answerOf(value: unknown): IntrospectionAnswer {
  if (!isObject(value) || typeof value['active'] !== 'boolean') return { kind: 'unavailable' }
  return value['active'] ? { kind: 'active', claims: value } : { kind: 'inactive' }
}
