// What a session has been granted: items not begun, and attempts whose recipients are not all named. Deliver threads.
//
// An item is read from the spool when its turn comes, so that a long grant holds no bodies. More is asked for before the
// last item is begun: the answer takes a trip to the scheduler, and the connection should not run dry meanwhile.

import type { GrantItem, ReturnedItem, ReturnReason, RowRef } from '../queue/ports.ts'
import { Attempt } from './attempt.ts'
import type { SettlementOrigin, SettlementSink } from './attempt.ts'
import type { Capabilities } from './capabilities.ts'
import { fitMessage, recipientMisfit } from './fit.ts'
import type { Fit } from './fit.ts'
import { PULL_ITEMS_MAX } from './limits.ts'
import type { Verdict } from './outcome.ts'
import type { MessageReader } from './ports.ts'

export interface BacklogHost extends SettlementSink {
  readonly reader: MessageReader
  /** `onHand`: items and messages that are not finished. */
  pull(want: number, onHand: number): void
  /** `cause` says what the error is. */
  returned(item: ReturnedItem, reason: ReturnReason, cause?: string): void
}

export interface BacklogOptions {
  readonly protocol: 'smtp' | 'lmtp'
  readonly peer: Capabilities
  readonly origin: SettlementOrigin
  readonly messagesMost: number
}

/** An attempt with recipients to name, and how its message goes. */
export interface Begun {
  readonly attempt: Attempt
  readonly fit: Fit
}

/** The time that one request for work should cover. */
const SLOT_MS = 100

/** How many messages were begun in the last slots of time. */
class Pace {
  #slotAt = 0
  #current = 0
  #previous = 0

  count(now: number): void {
    this.#roll(now)
    this.#current++
  }

  perSlot(now: number): number {
    this.#roll(now)
    return Math.max(1, this.#current, this.#previous)
  }

  #roll(now: number): void {
    const elapsed = now - this.#slotAt
    if (elapsed < SLOT_MS) return
    this.#previous = elapsed < 2 * SLOT_MS ? this.#current : 0
    this.#current = 0
    this.#slotAt = now
  }
}

export class Backlog {
  readonly #options: BacklogOptions
  readonly #host: BacklogHost
  readonly #items: GrantItem[] = []
  /** Attempts with recipients that have no verdict; two at most, as transactions in flight. */
  readonly #begun: Begun[] = []
  /** Messages begun, for the limit of the connection and for the pace. */
  #count = 0
  #closing = false
  /** MAILMAX is reached: attempts that want another transaction do not get it here. */
  #stopped = false
  #asked = false
  /** What was on hand when it asked. */
  #askedOnHand = 0
  #want = 1
  readonly #pace = new Pace()

  constructor(options: BacklogOptions, host: BacklogHost) {
    this.#options = options
    this.#host = host
  }

  /** Whether nothing more will be begun here. */
  get finished(): boolean {
    return this.#closing && (this.#stopped || this.#begun.every((begun) => begun.attempt.waiting === 0))
  }

  add(items: readonly GrantItem[]): void {
    if (items.length === 0) return
    this.#asked = false
    if (this.#closing) for (const item of items) this.#host.returned(item, 'unused')
    else this.#items.push(...items)
  }

  /** Begins no more messages; what is not begun returns. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    for (const item of this.#items.splice(0)) this.#host.returned(item, 'unused')
  }

  /** Begins no more transactions. */
  stop(): void {
    this.#stopped = true
    this.close()
  }

  /** The attempt whose recipients are named next. */
  next(now: number): Begun | undefined {
    if (this.#stopped) return undefined
    for (const begun of this.#begun) if (begun.attempt.waiting > 0) return begun
    for (let item = this.#items.shift(); item; item = this.#items.shift()) {
      const begun = this.#open(item, now)
      if (begun) return begun
    }
    return undefined
  }

  /** Asks for more when what is left is less than half of what was asked for last. */
  ask(now: number): void {
    const onHand = this.#items.length + this.#begun.length
    if (this.#asked && onHand === 0 && this.#askedOnHand > 0) return this.#pull(0)
    if (this.#closing || this.#asked || this.#items.length > this.#want >> 1) return
    this.#want = Math.min(this.#pace.perSlot(now), PULL_ITEMS_MAX, this.#options.messagesMost - this.#count - this.#items.length)
    if (this.#want < 1) return
    this.#pull(onHand)
  }

  /** Items whose slot is over return, also when their turn does not come for long. */
  expire(now: number): void {
    if (!this.#items.some((item) => now > item.notAfter)) return
    for (const item of this.#items.splice(0)) {
      if (now > item.notAfter) this.#host.returned(item, 'unused')
      else this.#items.push(item)
    }
  }

  /** Asks again when nothing is on hand any more: a connection that is idle takes work before one that asks ahead. */
  #pull(onHand: number): void {
    this.#asked = true
    this.#askedOnHand = onHand
    this.#host.pull(this.#want, onHand)
  }

  /** Adds the groups that are neither settled nor returned. */
  held(into: RowRef[]): void {
    for (const { id, groups } of this.#items) for (const group of groups) into.push({ id, group })
    for (const { attempt } of this.#begun) attempt.held(into)
  }

  settle(attempt: Attempt, now: number): void {
    attempt.settle(this.#options.origin, now, this.#host)
  }

  /** After a transaction: true when it was the attempt's last. */
  completed(attempt: Attempt): boolean {
    if (!attempt.done) return false
    this.#forget(attempt)
    return true
  }

  /** The message's content cannot be read: it comes back, but for groups that are begun. */
  unreadable(attempt: Attempt, verdict: Verdict, now: number): void {
    this.#forget(attempt)
    this.#abandon(attempt, verdict, 'error', now)
  }

  /** The session is over: what is waiting in begun groups gets `verdict`, all else returns. */
  end(verdict: Verdict, now: number): void {
    for (const { attempt } of this.#begun.splice(0)) this.#abandon(attempt, verdict, 'unused', now)
    this.close()
  }

  #forget(attempt: Attempt): void {
    const at = this.#begun.findIndex((begun) => begun.attempt === attempt)
    if (at >= 0) this.#begun.splice(at, 1)
  }

  #abandon(attempt: Attempt, verdict: Verdict, reason: ReturnReason, now: number): void {
    const untouched = attempt.abandon(verdict)
    this.settle(attempt, now)
    if (untouched) this.#host.returned(untouched, reason, verdict.text)
  }

  #open(item: GrantItem, now: number): Begun | undefined {
    if (now > item.notAfter) {
      this.#host.returned(item, 'unused')
      return undefined
    }
    const attempt = Attempt.open(item, this.#host.reader, now)
    const missing = attempt ? attempt.missing() : item
    if (missing) this.#host.returned(missing, 'error', 'the spool does not have it')
    if (!attempt) return undefined
    const fit = this.#fit(attempt, now)
    if (!fit) {
      this.settle(attempt, now)
      return undefined
    }
    return this.#begin({ attempt, fit }, now)
  }

  #begin(begun: Begun, now: number): Begun {
    this.#begun.push(begun)
    this.#pace.count(now)
    this.#count++
    if (this.#count >= this.#options.messagesMost) this.close()
    return begun
  }

  /** How the message goes through this peer; undefined when it cannot, for nobody, and everybody was told. */
  #fit(attempt: Attempt, now: number): Fit | undefined {
    const { peer, protocol } = this.#options
    const fitting = fitMessage(attempt.message, peer, protocol === 'lmtp', now)
    if (fitting.kind === 'misfit') {
      attempt.resolveWaiting(() => fitting.verdict)
      return undefined
    }
    attempt.resolveWaiting((recipient) => recipientMisfit(recipient.address, peer))
    if (attempt.waiting > 0) return fitting.fit
    return undefined
  }
}
