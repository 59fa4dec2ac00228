// The row table: every queued (message, routing domain) as one row of typed arrays. Scheduler thread.
//
// Data model first. A row costs 45 bytes here, 12 in the timeline and 4 to 8 in the index by id. A row number is valid
// from `add` to `remove`; numbers are reused. Columns are replaced when the table grows, so nobody keeps one.

import { assert } from '../lib/assert.ts'
import type { MessageId } from '../spool/types.ts'
import { RowIndex } from './row-index.ts'

/** No row: ends lists, and is what `find` answers when there is none. */
export const NONE = -1

/** Where a row is. It is in exactly one list, and every transition is made in place.ts. */
export const RowState = {
  /** In no list: between two places, or not in use. */
  free: 0,
  /** Held by an operator: in no list, in no timeline. */
  held: 1,
  /** Due later: in the timeline only. */
  scheduled: 2,
  /** Due, its domain has no site yet: in the domain's list. */
  routing: 3,
  /** Due: in a lane of its site's ready queue. */
  ready: 4,
  /** Granted to a connection. */
  inFlight: 5,
  /** As inFlight, but the owner died since: see Scheduler.ownerDown. */
  orphaned: 6,
  /** Handed to the owner to expire or bounce; `settled` follows. */
  leaving: 7,
} as const
export type RowState = (typeof RowState)[keyof typeof RowState]
export const ROW_STATES = 8

const CAPACITY_FIRST = 1024
/** Groups of one message, by the width of the column. */
const GROUPS_MAX = 65_536

export class RowTable {
  /** Message id (spool/ids.ts). */
  id: Float64Array = new Float64Array(CAPACITY_FIRST)
  /** Index of the group in its message. */
  group: Uint16Array = new Uint16Array(CAPACITY_FIRST)
  /** Earliest next attempt, in ticks; while in flight, when it was granted. */
  due: Uint32Array = new Uint32Array(CAPACITY_FIRST)
  /** When it is given up, in ticks. */
  expires: Uint32Array = new Uint32Array(CAPACITY_FIRST)
  /** When a DELAY notification is owed, in ticks; 0 when none is. */
  warnAt: Uint32Array = new Uint32Array(CAPACITY_FIRST)
  /** Attempts made, at most 65,535. */
  attempts: Uint16Array = new Uint16Array(CAPACITY_FIRST)
  /** Pending recipients, 1 to 65,535. */
  recipients: Uint16Array = new Uint16Array(CAPACITY_FIRST)
  /** Number in the table of domains. */
  domain: Uint32Array = new Uint32Array(CAPACITY_FIRST)
  /** Number in the table of tenants. */
  tenant: Uint32Array = new Uint32Array(CAPACITY_FIRST)
  /** MT-PRIORITY, -9 to 9. */
  priority: Int8Array = new Int8Array(CAPACITY_FIRST)
  /** QueueClass. */
  class: Uint8Array = new Uint8Array(CAPACITY_FIRST)
  /** RowState. */
  state: Uint8Array = new Uint8Array(CAPACITY_FIRST)
  /** Next row of the list that the row is in; the free list too. */
  next: Int32Array = new Int32Array(CAPACITY_FIRST)
  /** Previous row of that list; while in flight, the number of the connection. */
  prev: Int32Array = new Int32Array(CAPACITY_FIRST)

  #capacity = CAPACITY_FIRST
  /** Rows from here on were never used. */
  #fresh = 0
  #free = NONE
  #count = 0
  readonly #index: RowIndex

  constructor() {
    this.#index = new RowIndex(this)
  }

  get count(): number {
    return this.#count
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Rows below this number may be in use: the bound of a scan. */
  get end(): number {
    return this.#fresh
  }

  /** A row for a group that is not in the table; its other columns hold what a former row left. */
  add(id: MessageId, group: number): number {
    assert(group >= 0 && group < GROUPS_MAX, 'group number out of range')
    const row = this.#take()
    this.id[row] = id
    this.group[row] = group
    this.state[row] = RowState.free
    this.next[row] = NONE
    this.prev[row] = NONE
    this.#index.insert(row)
    this.#count++
    return row
  }

  remove(row: number): void {
    this.#index.remove(row)
    this.state[row] = RowState.free
    this.next[row] = this.#free
    this.#free = row
    this.#count--
  }

  /** The row of a group, or NONE. */
  find(id: MessageId, group: number): number {
    return this.#index.find(id, group)
  }

  #take(): number {
    const row = this.#free
    if (row !== NONE) {
      this.#free = this.next[row] as number
      return row
    }
    if (this.#fresh === this.#capacity) this.#grow()
    return this.#fresh++
  }

  /** Doubling leaves the least behind: pages that were never touched cost no memory, outgrown columns do for a while. */
  #grow(): void {
    const capacity = this.#capacity * 2
    this.id = extend(this.id, new Float64Array(capacity))
    this.group = extend(this.group, new Uint16Array(capacity))
    this.due = extend(this.due, new Uint32Array(capacity))
    this.expires = extend(this.expires, new Uint32Array(capacity))
    this.warnAt = extend(this.warnAt, new Uint32Array(capacity))
    this.attempts = extend(this.attempts, new Uint16Array(capacity))
    this.recipients = extend(this.recipients, new Uint16Array(capacity))
    this.domain = extend(this.domain, new Uint32Array(capacity))
    this.tenant = extend(this.tenant, new Uint32Array(capacity))
    this.priority = extend(this.priority, new Int8Array(capacity))
    this.class = extend(this.class, new Uint8Array(capacity))
    this.state = extend(this.state, new Uint8Array(capacity))
    this.next = extend(this.next, new Int32Array(capacity))
    this.prev = extend(this.prev, new Int32Array(capacity))
    this.#capacity = capacity
  }
}

/** `to` with the beginning of `from`: how a column grows. */
export function extend<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}
