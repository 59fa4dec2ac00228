// One granted message on one connection: who is still to be named, what each was told, which groups are done.
//
// The groups of a message that go to one site share transactions, but each is settled for itself as soon as its last
// recipient has a verdict. Invariants: a recipient gets exactly one verdict; a group is settled exactly once, or it was
// not touched and is returned. Pure; knows no reply, no command and no connection.

import { assert } from '../lib/assert.ts'
import type { GrantItem, ReturnedItem, RowRef } from '../queue/ports.ts'
import type { Recipient, RecipientResult, Settlement } from '../spool/types.ts'
import { resultOf } from './outcome.ts'
import type { Verdict } from './outcome.ts'
import type { MessageReader, StoredMessage } from './ports.ts'

/** A recipient of an attempt. */
export interface Target {
  readonly recipient: Recipient
  /** Index into the group's pending recipients as they were read. */
  readonly index: number
  readonly group: GroupProgress
}

/** What has become of one group. */
export interface GroupProgress {
  readonly group: number
  /** Recipients that were pending, struck ones included: what results are counted among. */
  readonly places: number
  readonly results: RecipientResult[]
  /** Recipients without a verdict. */
  open: number
  /** Whether any recipient got a verdict, so that the group must be settled and cannot be returned. */
  touched: boolean
}

/** What a settlement says of the connection; the same for all of its attempts. */
export interface SettlementOrigin {
  readonly site: string
  readonly source: string
  readonly peer: string
  readonly peerDsn: boolean
  readonly peerDeliverBy: boolean
  readonly tls: string
}

export interface SettlementSink {
  settled(settlement: Settlement): void
}

export class Attempt {
  readonly item: GrantItem
  readonly message: StoredMessage
  /** ms since 1970 of the first MAIL, or of the verdict when there is none. */
  readonly startedAt: number
  readonly #groups: readonly GroupProgress[]
  /** Targets not named yet; those that a peer put off for the next transaction stand at the end. */
  #waiting: Target[]
  /** Whether any of them goes apart from the others. */
  readonly #hasApart: boolean
  /** Targets without a verdict, waiting or named. */
  #open: number

  private constructor(item: GrantItem, message: StoredMessage, groups: GroupProgress[], waiting: Target[], startedAt: number) {
    this.item = item
    this.message = message
    this.startedAt = startedAt
    this.#groups = groups
    this.#waiting = waiting
    this.#hasApart = waiting.some(isApart)
    this.#open = waiting.length
  }

  /** Reads a granted item; undefined when the spool has none of it any more. */
  static open(item: GrantItem, reader: MessageReader, now: number): Attempt | undefined {
    const message = reader.message(item.id)
    if (!message) return undefined
    const groups: GroupProgress[] = []
    const waiting: Target[] = []
    for (const number of item.groups) {
      const stored = reader.group(item.id, number)
      if (!stored) continue
      const group: GroupProgress = { group: number, places: stored.pending.length, results: [], open: 0, touched: false }
      for (let index = 0; index < stored.pending.length; index++) {
        const recipient = stored.pending[index] as Recipient
        if (recipient.struck) continue
        waiting.push({ recipient, index, group })
        group.open++
      }
      if (group.open > 0) groups.push(group)
    }
    return groups.length === 0 ? undefined : new Attempt(item, message, groups, waiting, now)
  }

  /** Groups of the item that the spool does not have. */
  missing(): ReturnedItem | undefined {
    if (this.#groups.length === this.item.groups.length) return undefined
    const groups = this.item.groups.filter((number) => !this.#groups.some((group) => group.group === number))
    return { id: this.item.id, groups }
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Addresses of the targets not named yet. */
  addresses(): string[] {
    return this.#waiting.map((target) => target.recipient.address)
  }

  /** Whether everybody has a verdict. */
  get done(): boolean {
    return this.#open === 0
  }

  /** Adds the groups that are not settled yet. */
  held(into: RowRef[]): void {
    for (const { group, open, results } of this.#groups) if (open > 0 || results.length > 0) into.push({ id: this.item.id, group })
  }

  /**
   * Takes the targets of the next transaction: at most `most`, in at most `domainsMost` domains (RFC 9422 §3). Those that
   * go apart come last, each in one of its own.
   */
  take(most: number, domainsMost: number): Target[] {
    if (this.#hasApart && this.#waiting.every(isApart)) return this.#waiting.splice(0, 1)
    if (!this.#hasApart && domainsMost === Infinity) return this.#waiting.splice(0, most)
    const taken: Target[] = []
    const left: Target[] = []
    const domains = new Set<string>()
    for (const target of this.#waiting) {
      const domain = domainOf(target.recipient.address)
      const fits = taken.length < most && !isApart(target) && (domains.has(domain) || domains.size < domainsMost)
      if (fits) domains.add(domain)
      ;(fits ? taken : left).push(target)
    }
    this.#waiting = left
    return taken
  }

  /** For a target that the peer wants in another transaction. */
  putOff(target: Target): void {
    this.#waiting.push(target)
  }

  /** For targets that were taken while nothing was said about them. */
  putBack(targets: readonly Target[]): void {
    this.#waiting = [...targets, ...this.#waiting]
  }

  resolve(target: Target, verdict: Verdict): void {
    const { group } = target
    assert(group.open > 0, 'a recipient got two verdicts')
    group.touched = true
    group.open--
    this.#open--
    group.results.push(resultOf(target.index, verdict))
  }

  resolveAll(targets: readonly Target[], verdict: Verdict): void {
    for (const target of targets) this.resolve(target, verdict)
  }

  /** Verdicts for those waiting targets for which `verdictOf` has one. */
  resolveWaiting(verdictOf: (recipient: Recipient) => Verdict | undefined): void {
    this.#waiting = this.#waiting.filter((target) => {
      const verdict = verdictOf(target.recipient)
      if (verdict) this.resolve(target, verdict)
      return !verdict
    })
  }

  /**
   * Ends an attempt whose connection is gone: groups of which nothing was said come back, and the waiting recipients of
   * the others get `verdict`.
   */
  abandon(verdict: Verdict): ReturnedItem | undefined {
    const untouched = this.#groups.filter((group) => !group.touched)
    for (const target of this.#waiting) if (target.group.touched) this.resolve(target, verdict)
    this.#waiting = []
    return untouched.length === 0 ? undefined : { id: this.item.id, groups: untouched.map((group) => group.group) }
  }

  /** Settlements of the groups that have become complete since the last call. */
  settle(origin: SettlementOrigin, finishedAt: number, into: SettlementSink): void {
    for (const group of this.#groups) {
      if (group.open > 0 || group.results.length === 0) continue
      into.settled({
        id: this.item.id,
        group: group.group,
        results: group.results.splice(0),
        places: group.places,
        site: origin.site,
        source: origin.source,
        peer: origin.peer,
        peerDsn: origin.peerDsn,
        peerDeliverBy: origin.peerDeliverBy,
        tls: origin.tls,
        startedAt: this.startedAt,
        finishedAt,
      })
    }
  }
}

function isApart(target: Target): boolean {
  return target.recipient.apart === true
}

/** Domain of an address, for counting: what follows the last `@`, in lower case. */
function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase()
}
