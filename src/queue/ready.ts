// Ready queues: what one pool of sources sends to one site next. Scheduler thread.
//
// Three levels, each decided when the next row is chosen. The class: transactional first, but when bulk waits too it
// earns (1 - share) of the traffic. The tenant: deficit round robin by weight, in recipients; a tenant that may not send
// now (its own rate) keeps at most one quantum. The row: higher priority first (RFC 6710), then first come first served.
// Rows are linked through the row table; a tenant's queue is made for its first row and gone after its last.

import { QueueClass } from '../spool/types.ts'
import type { Tenant } from './model.ts'
import type { SourcePool } from './ports.ts'
import { NONE, type RowTable } from './rows.ts'

/** What to send next: a row, nothing before `until`, or nothing at all. */
export type Choice =
  | { readonly kind: 'row'; readonly row: number }
  | { readonly kind: 'sleep'; readonly until: number }
  | { readonly kind: 'empty' }

const EMPTY: Choice = { kind: 'empty' }

/** Recipients that a tenant of weight 1 sends in its turn. */
const QUANTUM = 10

/** One recipient, but for what summing up fractions leaves out. */
const CREDIT_ENOUGH = 1 - 1e-6

/** Rows of one priority, first to last. */
interface Lane {
  readonly priority: number
  head: number
  tail: number
}

/** A tenant's rows in one class of one ready queue; a link of the ring of turns. */
class TenantQueue {
  readonly tenant: Tenant
  readonly #rows: RowTable
  /** Higher priorities first; nearly always one. */
  readonly #lanes: Lane[] = []
  count = 0
  /** Recipients that it may still send in this turn; negative after a large transaction. */
  deficit = 0
  next: TenantQueue = this
  prev: TenantQueue = this

  constructor(tenant: Tenant, rows: RowTable) {
    this.tenant = tenant
    this.#rows = rows
  }

  get quantum(): number {
    return QUANTUM * this.tenant.settings.weight
  }

  /** The row to send next; the queue is not empty. */
  get head(): number {
    return (this.#lanes[0] as Lane).head
  }

  push(row: number, atHead: boolean): void {
    const rows = this.#rows
    const lane = this.#lane(rows.priority[row] as number)
    const neighbour = atHead ? lane.head : lane.tail
    rows.next[row] = atHead ? neighbour : NONE
    rows.prev[row] = atHead ? NONE : neighbour
    if (neighbour === NONE) lane.head = lane.tail = row
    else if (atHead) {
      rows.prev[neighbour] = row
      lane.head = row
    } else {
      rows.next[neighbour] = row
      lane.tail = row
    }
    this.count++
  }

  unlink(row: number): void {
    const rows = this.#rows
    const lane = this.#lane(rows.priority[row] as number)
    const next = rows.next[row] as number
    const prev = rows.prev[row] as number
    if (prev === NONE) lane.head = next
    else rows.next[prev] = next
    if (next === NONE) lane.tail = prev
    else rows.prev[next] = prev
    if (lane.head === NONE) this.#lanes.splice(this.#lanes.indexOf(lane), 1)
    this.count--
  }

  #lane(priority: number): Lane {
    let at = 0
    for (; at < this.#lanes.length; at++) {
      const lane = this.#lanes[at] as Lane
      if (lane.priority === priority) return lane
      if (lane.priority < priority) break
    }
    const lane = { priority, head: NONE, tail: NONE }
    this.#lanes.splice(at, 0, lane)
    return lane
  }
}

/** One class of a ready queue: a ring of tenants, one of which has the turn. */
class ClassQueue {
  readonly #rows: RowTable
  readonly #byTenant = new Map<Tenant, TenantQueue>()
  #turn: TenantQueue | undefined
  count = 0

  constructor(rows: RowTable) {
    this.#rows = rows
  }

  push(row: number, tenant: Tenant, atHead: boolean): void {
    let queue = this.#byTenant.get(tenant)
    if (!queue) {
      queue = new TenantQueue(tenant, this.#rows)
      this.#byTenant.set(tenant, queue)
      this.#join(queue)
    }
    queue.push(row, atHead)
    this.count++
  }

  unlink(row: number, tenant: Tenant): void {
    const queue = this.#byTenant.get(tenant) as TenantQueue
    queue.unlink(row)
    this.count--
    if (queue.count > 0) return
    this.#byTenant.delete(tenant)
    this.#leave(queue)
  }

  /** Charges a row that was chosen to its tenant. */
  charge(tenant: Tenant, recipients: number): void {
    const queue = this.#byTenant.get(tenant)
    if (queue) queue.deficit -= recipients
  }

  choose(now: number): Choice {
    let blocked = 0
    let until = Infinity
    while (this.#turn) {
      const queue = this.#turn
      const freeAt = queue.tenant.freeAt(now)
      if (freeAt > now) {
        queue.deficit = Math.min(queue.deficit, queue.quantum)
        until = Math.min(until, freeAt)
        if (++blocked >= this.#byTenant.size) return { kind: 'sleep', until }
      } else {
        const cost = this.#rows.recipients[queue.head] as number
        // Alone there is nobody to be fair to: rounds would only count up to the cost.
        if (this.#byTenant.size === 1) queue.deficit = Math.max(queue.deficit, cost)
        if (queue.deficit >= cost) return { kind: 'row', row: queue.head }
        blocked = 0
      }
      this.#pass(queue)
    }
    return EMPTY
  }

  #pass(queue: TenantQueue): void {
    this.#turn = queue.next
    this.#turn.deficit += this.#turn.quantum
  }

  /** A new tenant waits until the round has come to its end. */
  #join(queue: TenantQueue): void {
    const turn = this.#turn
    if (!turn) {
      queue.deficit = queue.quantum
      this.#turn = queue
      return
    }
    queue.next = turn
    queue.prev = turn.prev
    turn.prev.next = queue
    turn.prev = queue
  }

  #leave(queue: TenantQueue): void {
    if (queue.next === queue) {
      this.#turn = undefined
      return
    }
    if (this.#turn === queue) this.#pass(queue)
    queue.prev.next = queue.next
    queue.next.prev = queue.prev
  }
}

export class ReadyQueue {
  /** Replaced by one of the same name when the settings change. */
  pool: SourcePool
  readonly #rows: RowTable
  readonly #transactional: ClassQueue
  readonly #bulk: ClassQueue
  /** Recipients that bulk has earned while transactional rows were sent before it; negative after a large one. */
  #bulkCredit = 0
  #chosenByCredit = false

  constructor(pool: SourcePool, rows: RowTable) {
    this.pool = pool
    this.#rows = rows
    this.#transactional = new ClassQueue(rows)
    this.#bulk = new ClassQueue(rows)
  }

  get count(): number {
    return this.#transactional.count + this.#bulk.count
  }

  push(row: number, tenant: Tenant, atHead: boolean): void {
    this.#classOf(row).push(row, tenant, atHead)
  }

  unlink(row: number, tenant: Tenant): void {
    this.#classOf(row).unlink(row, tenant)
  }

  /** The row to send next. It stays; asked again without `take` the answer is the same. */
  choose(now: number): Choice {
    this.#chosenByCredit = this.#bulkCredit > CREDIT_ENOUGH && this.#bulk.count > 0
    const first = (this.#chosenByCredit ? this.#bulk : this.#transactional).choose(now)
    if (first.kind === 'row') return first
    const second = (this.#chosenByCredit ? this.#transactional : this.#bulk).choose(now)
    if (second.kind === 'row') this.#chosenByCredit = false
    return second.kind === 'empty' || (first.kind === 'sleep' && second.kind === 'sleep' && first.until < second.until) ? first : second
  }

  /** Takes out a row that was chosen, or one that goes along with it, and charges it to its tenant and class. */
  take(row: number, tenant: Tenant, transactionalShare: number): void {
    const recipients = this.#rows.recipients[row] as number
    const queue = this.#classOf(row)
    queue.charge(tenant, recipients)
    queue.unlink(row, tenant)
    if (queue === this.#bulk) {
      if (this.#chosenByCredit) this.#bulkCredit -= recipients
    } else if (this.#bulk.count > 0) {
      const earned = (recipients * (1 - transactionalShare)) / transactionalShare
      // Bounded, so that a bulk tenant that may not send now does not save up for a burst.
      this.#bulkCredit = Math.min(this.#bulkCredit + earned, Math.max(QUANTUM, earned))
    }
  }

  /** Whether rows of a higher class wait before this one. */
  outranked(row: number): boolean {
    return this.#rows.class[row] !== QueueClass.transactional && this.#transactional.count > 0
  }

  #classOf(row: number): ClassQueue {
    return this.#rows.class[row] === QueueClass.transactional ? this.#transactional : this.#bulk
  }
}
