// Messages and recipients an account may submit in an hour, counted in memory that all net threads share.
//
// Counts stand in buckets of five minutes, thirteen of which are summed: never more than the limit in any 60 minutes,
// and what was used is free again 65 minutes later at the latest. Counts survive a reload and the death of a thread,
// because main holds the memory; a restart of the server forgets them.

import type { AccountQuota } from './ports.ts'
import { SharedTable, makeSharedTable, type SharedTableMemory } from './shared-table.ts'

/** Accounts with a quota that are active in the same hour; beyond this they wait (128 bytes each, touched when used). */
const ACCOUNTS_MAX = 32_768
const BUCKET_MS = 300_000
const BUCKETS = 13

// A bucket is one word: its number since 1970, messages, recipients. 20 bits count a million in five minutes.
const EPOCH_SHIFT = 40n
const MESSAGES_SHIFT = 20n
const COUNT_MASK = 0xfffffn
const COUNT_MAX = 0xfffff

/** Messages and recipients: what an account has used in the last hour, or wants to. */
export interface QuotaUse {
  readonly messages: number
  readonly recipients: number
}

export function makeQuotaMemory(accounts: number = ACCOUNTS_MAX): SharedTableMemory {
  return makeSharedTable(accounts, BUCKETS)
}

export class QuotaLedger {
  readonly #table: SharedTable

  constructor(memory: SharedTableMemory) {
    this.#table = new SharedTable(memory)
  }

  /**
   * Counts messages and recipients, all or nothing. `now` is in ms since 1970.
   * False: the account has used its hour, or too many accounts are counted at once.
   */
  take(account: string, quota: AccountQuota, wanted: QuotaUse, now: number): boolean {
    if (quota.messagesPerHour === 0 && quota.recipientsPerHour === 0) return true
    const epoch = epochOf(now)
    const slot = this.#table.claim(this.#table.keyOf(account), (other) => this.#lastUse(other, epoch))
    if (slot < 0) return false
    this.#add(slot, epoch, wanted)
    const use = this.#sum(slot, epoch)
    if (isWithin(use.messages, quota.messagesPerHour) && isWithin(use.recipients, quota.recipientsPerHour)) return true
    this.#subtract(slot, epoch, wanted)
    return false
  }

  /** What the account has used in the last hour. */
  use(account: string, now: number): QuotaUse {
    const slot = this.#table.find(this.#table.keyOf(account))
    return slot < 0 ? { messages: 0, recipients: 0 } : this.#sum(slot, epochOf(now))
  }

  #add(slot: number, epoch: number, { messages, recipients }: QuotaUse): void {
    this.#table.update(slot, epoch % BUCKETS, (word) => {
      const same = epochOfWord(word) === epoch
      return pack(epoch, messages + (same ? messagesOf(word) : 0), recipients + (same ? recipientsOf(word) : 0))
    })
  }

  #subtract(slot: number, epoch: number, { messages, recipients }: QuotaUse): void {
    this.#table.update(slot, epoch % BUCKETS, (word) => {
      if (epochOfWord(word) !== epoch) return word
      return pack(epoch, Math.max(0, messagesOf(word) - messages), Math.max(0, recipientsOf(word) - recipients))
    })
  }

  #sum(slot: number, epoch: number): QuotaUse {
    let messages = 0
    let recipients = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const word = this.#table.load(slot, bucket)
      if (!isRecent(epochOfWord(word), epoch)) continue
      messages += messagesOf(word)
      recipients += recipientsOf(word)
    }
    return { messages, recipients }
  }

  /** The newest bucket's number, Infinity while it still counts: such a slot is not taken over. */
  #lastUse(slot: number, epoch: number): number {
    let last = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) last = Math.max(last, epochOfWord(this.#table.load(slot, bucket)))
    return isRecent(last, epoch) ? Infinity : last
  }
}

function epochOf(now: number): number {
  return Math.floor(now / BUCKET_MS)
}

function isRecent(epoch: number, current: number): boolean {
  return epoch > current - BUCKETS && epoch <= current
}

function isWithin(used: number, limit: number): boolean {
  return limit === 0 || used <= limit
}

function pack(epoch: number, messages: number, recipients: number): bigint {
  const m = BigInt(Math.min(messages, COUNT_MAX))
  const r = BigInt(Math.min(recipients, COUNT_MAX))
  return (BigInt(epoch) << EPOCH_SHIFT) | (m << MESSAGES_SHIFT) | r
}

function epochOfWord(word: bigint): number {
  return Number(word >> EPOCH_SHIFT)
}

function messagesOf(word: bigint): number {
  return Number((word >> MESSAGES_SHIFT) & COUNT_MASK)
}

function recipientsOf(word: bigint): number {
  return Number(word & COUNT_MASK)
}
