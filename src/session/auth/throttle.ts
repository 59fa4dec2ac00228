// Brakes for those who guess passwords: counts of failures by client network and by account, shared by all net threads.
//
// A few failures are free; each further one doubles the time until the next attempt is looked at; in the end attempts
// are refused unseen until a quiet window has passed. Nothing here waits: `admit` says how long an attempt must, and the
// caller sets a timer. An account is braked only against networks from which it has not logged in
// lately, so that guessing at an account does not lock its owner out. Counts live in memory: a restart forgets them.

import { SharedTable, makeSharedTable, type SharedTableMemory } from './shared-table.ts'

/** When one kind of counter slows down and when it shuts. */
export interface ThrottleRule {
  /** Failures that cost nothing. */
  readonly free: number
  /** Delay after the next failure; doubles with each one. */
  readonly delayMs: number
  readonly delayMsMax: number
  /** From this many failures on, attempts are refused unseen. */
  readonly lockAfter: number
  /** A counter is forgotten after this much quiet; so a lock lasts this long. */
  readonly windowMs: number
}

export interface ThrottleRules {
  readonly network: ThrottleRule
  readonly account: ThrottleRule
  /** How long a network counts as an account's own after a login from it. */
  readonly knownMs: number
}

export const THROTTLE_RULES: ThrottleRules = {
  network: { free: 3, delayMs: 1000, delayMsMax: 30_000, lockAfter: 20, windowMs: 900_000 },
  // Many networks may guess at one account: slower to act, because it also hits the owner on a new network.
  account: { free: 10, delayMs: 500, delayMsMax: 15_000, lockAfter: 100, windowMs: 900_000 },
  knownMs: 30 * 86_400_000,
}

export interface ThrottleMemory {
  readonly networks: SharedTableMemory
  readonly accounts: SharedTableMemory
  readonly known: SharedTableMemory
}

/** Entries of each table; the least failures, then the oldest make room. 16 bytes each, touched when used. */
const ENTRIES = 65_536

export function makeThrottleMemory(entries: number = ENTRIES): ThrottleMemory {
  return { networks: makeSharedTable(entries, 1), accounts: makeSharedTable(entries, 1), known: makeSharedTable(entries, 1) }
}

/**
 * Whether an attempt may be looked at: now, after some time (ask again then), or not at all for now. After failures
 * `now` is a turn: others who wait see the clock start again, so that a thousand connections guess no faster than one.
 */
export type Admission = { readonly kind: 'now' } | { readonly kind: 'wait'; readonly ms: number } | { readonly kind: 'locked' }

export class Throttle {
  readonly #networks: FailureCounters
  readonly #accounts: FailureCounters
  readonly #known: SharedTable
  readonly #knownMs: number

  constructor(memory: ThrottleMemory, rules: ThrottleRules = THROTTLE_RULES) {
    this.#networks = new FailureCounters(memory.networks, rules.network)
    this.#accounts = new FailureCounters(memory.accounts, rules.account)
    this.#known = new SharedTable(memory.known)
    this.#knownMs = rules.knownMs
  }

  /** `network` is '' for clients that are not counted (our own webmail), `account` when no name was given. */
  admit(network: string, account: string, now: number): Admission {
    const counters = this.#counters(network, account, now)
    let openAt = 0
    for (const [table, text] of counters) openAt = Math.max(openAt, table.openAt(text, now))
    if (openAt === Infinity) return { kind: 'locked' }
    if (openAt > now) return { kind: 'wait', ms: openAt - now }
    for (const [table, text] of counters) table.takeTurn(text, now)
    return { kind: 'now' }
  }

  /** Whether attempts are refused unseen; takes no turn. For the second message of an attempt that was admitted. */
  isLocked(network: string, account: string, now: number): boolean {
    return this.#counters(network, account, now).some(([table, text]) => table.openAt(text, now) === Infinity)
  }

  failed(network: string, account: string, now: number): void {
    for (const [table, text] of this.#counters(network, account, now)) table.count(text, now)
  }

  /** Remembers the network as the account's. Counters stay: an own account must not wash an attacker clean. */
  succeeded(network: string, account: string, now: number): void {
    if (network === '') return
    const seconds = BigInt(Math.floor(now / 1000))
    const slot = this.#known.claim(this.#known.keyOf(pair(network, account)), (other) => Number(this.#known.load(other, 0)))
    this.#known.update(slot, 0, () => seconds)
  }

  /** The counters that an attempt is held against. */
  #counters(network: string, account: string, now: number): [FailureCounters, string][] {
    // Clients that are not counted have the account's counter to themselves: guesses from outside do not shut out a webmail.
    if (network === '') return account === '' ? [] : [[this.#accounts, pair('', account)]]
    const counters: [FailureCounters, string][] = [[this.#networks, network]]
    if (account !== '' && !this.#isKnown(network, account, now)) counters.push([this.#accounts, account])
    return counters
  }

  #isKnown(network: string, account: string, now: number): boolean {
    const slot = this.#known.find(this.#known.keyOf(pair(network, account)))
    return slot >= 0 && now - Number(this.#known.load(slot, 0)) * 1000 < this.#knownMs
  }
}

function pair(network: string, account: string): string {
  return `${network}\0${account}`
}

// A counter is one word: time of the last failure or turn in ms, failures.
const TIME_SHIFT = 16n
const COUNT_MASK = 0xffffn
const COUNT_MAX = 0xffff

class FailureCounters {
  readonly #table: SharedTable
  readonly #rule: ThrottleRule

  constructor(memory: SharedTableMemory, rule: ThrottleRule) {
    this.#table = new SharedTable(memory)
    this.#rule = rule
  }

  /** From when on attempts are looked at, in ms since 1970; Infinity while locked. */
  openAt(text: string, now: number): number {
    const slot = this.#table.find(this.#table.keyOf(text))
    if (slot < 0) return 0
    const word = this.#table.load(slot, 0)
    const failures = this.#failures(word, now)
    const { free, delayMs, delayMsMax, lockAfter } = this.#rule
    if (failures >= lockAfter) return Infinity
    if (failures <= free) return 0
    return lastOf(word) + Math.min(delayMs * 2 ** (failures - free - 1), delayMsMax)
  }

  /** The delay begins again for everybody who waits; failures that cost nothing give no turns. */
  takeTurn(text: string, now: number): void {
    const slot = this.#table.find(this.#table.keyOf(text))
    if (slot < 0) return
    this.#table.update(slot, 0, (word) => (this.#failures(word, now) > this.#rule.free ? pack(now, Number(word & COUNT_MASK)) : word))
  }

  count(text: string, now: number): void {
    const slot = this.#table.claim(this.#table.keyOf(text), (other) => this.#worth(this.#table.load(other, 0), now))
    this.#table.update(slot, 0, (word) => pack(now, Math.min(this.#failures(word, now) + 1, COUNT_MAX)))
  }

  /** Failures that still count. Those of a time to come were counted by a clock that has been put right since. */
  #failures(word: bigint, now: number): number {
    return Math.abs(now - lastOf(word)) < this.#rule.windowMs ? Number(word & COUNT_MASK) : 0
  }

  /** More failures are worth more, among equals the later one: a flood of names cannot push out a lock. */
  #worth(word: bigint, now: number): number {
    return this.#failures(word, now) * 2 ** 32 + Math.floor(lastOf(word) / 1000)
  }
}

function pack(last: number, failures: number): bigint {
  return (BigInt(Math.floor(last)) << TIME_SHIFT) | BigInt(failures)
}

function lastOf(word: bigint): number {
  return Number(word >> TIME_SHIFT)
}
