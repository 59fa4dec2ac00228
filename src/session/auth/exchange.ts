// One SASL exchange: base64 and cancelling on the outside, a mechanism's machine on the inside, and between them the
// brakes, the questions to accounts, passwords and tokens, and the success that some protocols cannot carry data with.
//
// Net thread. A question may be answered at once or later; meanwhile no response comes. After `abandon` nothing is
// answered any more, but what was asked is still counted: hanging up must not save a guess.

import { assert, unreachable } from '../../lib/assert.ts'
import type { Clock, Timer } from '../../lib/clock.ts'
import { decodeBase64, encodeBase64 } from '../../wire/sasl/base64.ts'
import type { Accounts } from './account-source.ts'
import type { FailureCause, Mechanism, MechanismStep, Question } from './mechanism.ts'
import type { PasswordChecker } from './password-checker.ts'
import type { Account, AuthContext, AuthExchange, AuthFailure, AuthStep, TokenPort, TokenVerdict } from './ports.ts'
import type { Throttle } from './throttle.ts'

/** What an exchange needs; the same object serves all of a thread. */
export interface ExchangeServices {
  readonly clock: Clock
  readonly accounts: Accounts
  readonly passwords: PasswordChecker
  readonly tokens: TokenPort | undefined
  readonly throttle: Throttle
  readonly waiting: WaitingRoom
  /** Called once for each exchange that reached an end. */
  report(attempt: AuthAttempt): void
}

/** How many exchanges of a thread wait for their turn at once, and how long each does at most. */
export interface WaitingRoom {
  count: number
  readonly max: number
  readonly msMax: number
}

export interface AuthAttempt {
  readonly client: string
  readonly mechanism: string
  /** Name that the client gave, or that its token or certificate says; '' when it did not come that far. */
  readonly account: string
  readonly outcome: 'success' | FailureCause
}

/** RFC 4954 §4 finds 12,288 octets enough for every mechanism in use. */
const RESPONSE_BYTES_MAX = 12_288
/** How long one waits to hear that its attempt was not looked at. */
const UNSEEN_MS = 1000
const STAR = 0x2a
const EQUALS = 0x3d

type ExchangeState =
  /** The client's first, next, or (after the last challenge) closing response is awaited. */
  | { readonly kind: 'initial' | 'response' }
  | { readonly kind: 'closing'; readonly account: string }
  /** A question is open. */
  | { readonly kind: 'asking' }
  | { readonly kind: 'over' }

export class SaslExchange implements AuthExchange {
  readonly #services: ExchangeServices
  readonly #context: AuthContext
  /** Client's network, '' when it is not to be braked. */
  readonly #network: string
  readonly #name: string
  readonly #mechanism: Mechanism
  #state: ExchangeState = { kind: 'initial' }
  #answer: ((step: AuthStep) => void) | undefined
  #account = ''
  #admitted = false
  /** It was told that it has failed, and that is counted: what it says now changes nothing. */
  #refused = false
  /** Its place in the waiting room. */
  #timer: Timer | undefined
  #telling: Timer | undefined

  constructor(services: ExchangeServices, name: string, mechanism: Mechanism, context: AuthContext, network: string) {
    this.#services = services
    this.#name = name
    this.#mechanism = mechanism
    this.#context = context
    this.#network = network
  }

  respond(response: Buffer | undefined, answer: (step: AuthStep) => void): void {
    const state = this.#state
    assert(state.kind === 'initial' || state.kind === 'response' || state.kind === 'closing', 'a response is awaited')
    this.#answer = answer
    if (response?.length === 1 && response[0] === STAR) return this.#fail('cancelled', 'cancelled')
    const message = decodeResponse(response, state.kind === 'initial')
    if (message === 'malformed') return this.#fail('malformed', 'base64')
    if (state.kind !== 'closing')
      return this.#isShutOut() ? this.#fail('temporary', 'locked') : this.#step(this.#mechanism.respond(message))
    // RFC 4422 §3.6: the data of the success went out as a challenge, to which the client has nothing to say.
    if (message?.length !== 0) return this.#fail('malformed', 'message')
    this.#succeed(state.account, undefined)
  }

  abandon(): void {
    this.#answer = undefined
    if (this.#state.kind !== 'asking') this.#state = { kind: 'over' }
    if (this.#timer) this.#leaveWaitingRoom(this.#timer)
    this.#telling?.cancel()
  }

  #step(step: MechanismStep): void {
    switch (step.kind) {
      case 'challenge':
        this.#state = { kind: 'response' }
        return this.#say({ kind: 'challenge', data: encodeBase64(step.data) })
      case 'refusal':
        this.#countFailure()
        this.#report(step.cause)
        this.#refused = true
        this.#state = { kind: 'response' }
        return this.#say({ kind: 'challenge', data: encodeBase64(step.data) })
      case 'ask':
        this.#state = { kind: 'asking' }
        return this.#ask(step.question)
      case 'success':
        if (!step.data || this.#context.successData) return this.#succeed(step.account, step.data)
        this.#state = { kind: 'closing', account: step.account }
        return this.#say({ kind: 'challenge', data: encodeBase64(step.data) })
      case 'failure':
        return this.#fail(step.reply, step.cause)
      default:
        return unreachable(step)
    }
  }

  #say(step: AuthStep): void {
    const answer = this.#answer
    this.#answer = undefined
    answer?.(step)
  }

  #succeed(account: string, data: Buffer | undefined): void {
    this.#services.throttle.succeeded(this.#network, account, this.#services.clock.now())
    this.#account = account
    this.#end('success')
    this.#say({ kind: 'success', account, ...(data && { data: encodeBase64(data) }) })
  }

  #fail(reply: AuthFailure, cause: FailureCause): void {
    if (reply === 'credentials' && !this.#refused) this.#countFailure()
    this.#end(cause)
    const tell = (): void => this.#say({ kind: 'failure', reply })
    // Refusing unseen is cheap, and a flood of guesses would take that as an invitation.
    if (cause === 'locked' || cause === 'busy') this.#telling = this.#services.clock.after(UNSEEN_MS, tell)
    else tell()
  }

  #end(outcome: AuthAttempt['outcome']): void {
    this.#state = { kind: 'over' }
    if (!this.#refused) this.#report(outcome)
  }

  #report(outcome: AuthAttempt['outcome']): void {
    this.#services.report({ client: this.#context.client, mechanism: this.#name, account: this.#account, outcome })
  }

  #countFailure(): void {
    this.#services.throttle.failed(this.#network, this.#account, this.#services.clock.now())
  }

  /** Puts a question once the brakes allow it; the first question of an exchange passes them, later ones are the same attempt. */
  #ask(question: Question): void {
    this.#account = question.name
    if (this.#admitted) return this.#find(question)
    this.#admit(question, this.#services.clock.mono())
  }

  #admit(question: Question, since: number): void {
    const { throttle, clock, waiting } = this.#services
    const admission = throttle.admit(this.#network, question.name, clock.now())
    if (admission.kind === 'locked') return this.#fail('temporary', 'locked')
    if (admission.kind === 'now') {
      this.#admitted = true
      return this.#find(question)
    }
    const wouldEnd = clock.mono() + admission.ms - since
    if (waiting.count >= waiting.max || wouldEnd > waiting.msMax) return this.#fail('temporary', 'locked')
    waiting.count++
    const timer = clock.after(admission.ms, () => {
      this.#leaveWaitingRoom(timer)
      this.#admit(question, since)
    })
    this.#timer = timer
  }

  /** Exchanges that were begun in store must not become guesses after the lock. */
  #isShutOut(): boolean {
    const { throttle, clock } = this.#services
    return this.#admitted && !this.#refused && throttle.isLocked(this.#network, this.#account, clock.now())
  }

  #leaveWaitingRoom(timer: Timer): void {
    timer.cancel()
    this.#timer = undefined
    this.#services.waiting.count--
  }

  #find(question: Question): void {
    switch (question.kind) {
      case 'password':
        return this.#findAccount(question.name, (account) => this.#checkPassword(account, question.password))
      case 'account':
        return this.#findAccount(question.name, (account) => this.#step(this.#mechanism.answered({ kind: 'account', account })))
      case 'token':
        return this.#checkToken(question.token)
      default:
        return unreachable(question)
    }
  }

  #findAccount(name: string, found: (account: Account) => void): void {
    this.#services.accounts.lookupOrDecoy(name, (account) => {
      if (account === 'busy' || account === 'failed') return this.#fail('temporary', account === 'busy' ? 'busy' : 'back-end')
      found(account)
    })
  }

  #checkPassword(account: Account, password: string): void {
    this.#services.passwords.check(this.#network, account.argon2id, password, (verdict) => {
      if (verdict === 'busy' || verdict === 'failed') return this.#fail('temporary', verdict === 'busy' ? 'busy' : 'back-end')
      this.#step(this.#mechanism.answered({ kind: 'password', right: verdict === 'right' && !account.disabled }))
    })
  }

  #checkToken(token: string): void {
    const { tokens } = this.#services
    assert(tokens, 'bearer mechanisms are offered only when tokens can be checked')
    tokens.check(token, (verdict) => {
      if (verdict.kind === 'unavailable') return this.#fail('temporary', 'back-end')
      if (verdict.kind !== 'valid') return this.#tokenIs(verdict)
      this.#findAccount(verdict.account, (account) => this.#tokenIs(account.disabled ? { kind: 'invalid' } : verdict))
    })
  }

  #tokenIs(verdict: TokenVerdict): void {
    this.#step(this.#mechanism.answered({ kind: 'token', verdict }))
  }
}

/** `=` alone is an empty initial response (RFC 4954 §4); later an empty line is one. */
function decodeResponse(response: Buffer | undefined, isInitial: boolean): Buffer | undefined | 'malformed' {
  if (response === undefined) return isInitial ? undefined : 'malformed'
  if (isInitial && response.length === 1 && response[0] === EQUALS) return Buffer.alloc(0)
  if (response.length > RESPONSE_BYTES_MAX) return 'malformed'
  return decodeBase64(response, 0, response.length) ?? 'malformed'
}

/** An exchange that never begins: the mechanism is not to be had here. */
export class RefusedExchange implements AuthExchange {
  readonly #refuse: (answer: (step: AuthStep) => void) => void

  constructor(reply: 'mechanism' | 'encryption', report: () => void) {
    this.#refuse = (answer) => {
      report()
      answer({ kind: 'failure', reply })
    }
  }

  respond(_response: Buffer | undefined, answer: (step: AuthStep) => void): void {
    this.#refuse(answer)
  }

  abandon(): void {
    // Nothing is under way.
  }
}
