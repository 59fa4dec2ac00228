// Every message between threads: one discriminated union a direction, named `owner.verb`.
//
// Lists travel packed: the structured clone of objects repeats every property name. Rows, which come by the million after a
// start, are numbers in one typed array, cloned as memory; settlements and grants are flat arrays.

import type { MessagePort } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'
import type { MetricsMemory } from '../lib/metrics.ts'
import type { AuthMemory } from '../session/auth/authenticator.ts'
import type { MessageId, Outcome, QueueRow, RecipientResult, Settled, Settlement } from '../spool/types.ts'
import type { ConnectionDown, DeliverSite, Destination } from '../deliver/ports.ts'
import type { BlockedRow, GrantItem, Reply, ReturnedItem, ReturnReason, RouteAnswer, RowRef } from '../queue/ports.ts'

/** A packed list: the fields of the first item, then those of the second, … */
export type Packed = readonly (number | string | boolean)[]

/** Packed rows: their fields one after the other; texts are places in `texts`. */
export interface PackedRows {
  readonly numbers: Float64Array
  readonly texts: readonly string[]
}

const ROW_FIELDS = 13

class RowPacker {
  readonly #numbers: Float64Array
  #at = 0
  readonly #texts: string[] = []
  readonly #places = new Map<string, number>()

  constructor(numbers: number) {
    this.#numbers = new Float64Array(numbers)
  }

  number(value: number): void {
    this.#numbers[this.#at++] = value
  }

  row(row: QueueRow): void {
    const numbers = this.#numbers
    const at = this.#at
    numbers[at] = row.id
    numbers[at + 1] = row.group
    numbers[at + 2] = this.#text(row.domain)
    numbers[at + 3] = this.#text(row.tenant)
    numbers[at + 4] = row.class
    numbers[at + 5] = row.priority
    numbers[at + 6] = row.due
    numbers[at + 7] = row.expires
    numbers[at + 8] = row.warnAt
    numbers[at + 9] = row.attempts
    numbers[at + 10] = row.recipients
    numbers[at + 11] = row.bytes
    numbers[at + 12] = row.held ? 1 : 0
    this.#at = at + ROW_FIELDS
  }

  packed(): PackedRows {
    return { numbers: this.#numbers, texts: this.#texts }
  }

  #text(text: string): number {
    let place = this.#places.get(text)
    if (place === undefined) {
      place = this.#texts.push(text) - 1
      this.#places.set(text, place)
    }
    return place
  }
}

function rowAt({ numbers, texts }: PackedRows, at: number): QueueRow {
  return {
    id: numbers[at] as number,
    group: numbers[at + 1] as number,
    domain: texts[numbers[at + 2] as number] as string,
    tenant: texts[numbers[at + 3] as number] as string,
    class: numbers[at + 4] as QueueRow['class'],
    priority: numbers[at + 5] as number,
    due: numbers[at + 6] as number,
    expires: numbers[at + 7] as number,
    warnAt: numbers[at + 8] as number,
    attempts: numbers[at + 9] as number,
    recipients: numbers[at + 10] as number,
    bytes: numbers[at + 11] as number,
    held: numbers[at + 12] === 1,
  }
}

export function packRows(rows: readonly QueueRow[]): PackedRows {
  const out = new RowPacker(rows.length * ROW_FIELDS)
  for (const row of rows) out.row(row)
  return out.packed()
}

export function unpackRows(packed: PackedRows): QueueRow[] {
  const rows: QueueRow[] = []
  for (let at = 0; at < packed.numbers.length; at += ROW_FIELDS) rows.push(rowAt(packed, at))
  return rows
}

const GONE = 0
const RESCHEDULED = 1
const CHANGED = 2
const GONE_FIELDS = 3

function numbersOf(items: readonly Settled[]): number {
  let numbers = 0
  for (const { kind } of items) numbers += kind === 'gone' ? GONE_FIELDS : 1 + ROW_FIELDS
  return numbers
}

export function packSettled(items: readonly Settled[]): PackedRows {
  const out = new RowPacker(numbersOf(items))
  for (const item of items) {
    if (item.kind === 'gone') {
      out.number(GONE)
      out.number(item.id)
      out.number(item.group)
    } else {
      out.number(item.kind === 'rescheduled' ? RESCHEDULED : CHANGED)
      out.row(item.row)
    }
  }
  return out.packed()
}

export function unpackSettled(packed: PackedRows): Settled[] {
  const items: Settled[] = []
  const { numbers } = packed
  for (let at = 0; at < numbers.length;) {
    if (numbers[at] === GONE) {
      items.push({ kind: 'gone', id: numbers[at + 1] as number, group: numbers[at + 2] as number })
      at += GONE_FIELDS
    } else {
      items.push({ kind: numbers[at] === RESCHEDULED ? 'rescheduled' : 'changed', row: rowAt(packed, at + 1) })
      at += 1 + ROW_FIELDS
    }
  }
  return items
}

/** RecipientResult.apart, beside the outcome. */
const APART = 4

export function packSettlements(settlements: readonly Settlement[]): Packed {
  const out: (number | string | boolean)[] = []
  for (const s of settlements) {
    out.push(s.id, s.group, s.site, s.source, s.peer, s.peerDsn, s.peerDeliverBy, s.tls, s.startedAt, s.finishedAt)
    out.push(s.places, s.results.length)
    for (const r of s.results) out.push(r.index, r.apart ? r.outcome | APART : r.outcome, r.code, r.enhanced, r.text)
  }
  return out
}

export function unpackSettlements(packed: Packed): Settlement[] {
  const settlements: Settlement[] = []
  for (let at = 0; at < packed.length;) {
    const results: RecipientResult[] = []
    const count = packed[at + 11] as number
    for (let i = 0, r = at + 12; i < count; i++, r += 5) {
      const bits = packed[r + 1] as number
      results.push({
        index: packed[r] as number,
        outcome: (bits & ~APART) as Outcome,
        code: packed[r + 2] as number,
        enhanced: packed[r + 3] as string,
        text: packed[r + 4] as string,
        ...(bits >= APART && { apart: true }),
      })
    }
    settlements.push({
      id: packed[at] as number,
      group: packed[at + 1] as number,
      results,
      places: packed[at + 10] as number,
      site: packed[at + 2] as string,
      source: packed[at + 3] as string,
      peer: packed[at + 4] as string,
      peerDsn: packed[at + 5] as boolean,
      peerDeliverBy: packed[at + 6] as boolean,
      tls: packed[at + 7] as string,
      startedAt: packed[at + 8] as number,
      finishedAt: packed[at + 9] as number,
    })
    at += 12 + count * 5
  }
  return settlements
}

export function packItems(items: readonly GrantItem[]): Packed {
  const out: (number | string | boolean)[] = []
  for (const item of items) out.push(item.id, item.attempt, item.notAfter, item.groups.length, ...item.groups)
  return out
}

export function unpackItems(packed: Packed): GrantItem[] {
  const items: GrantItem[] = []
  for (let at = 0; at < packed.length;) {
    const count = packed[at + 3] as number
    const groups = packed.slice(at + 4, at + 4 + count) as number[]
    items.push({ id: packed[at] as MessageId, attempt: packed[at + 1] as number, notAfter: packed[at + 2] as number, groups })
    at += 4 + count
  }
  return items
}

/** What a thread is started with. */
export interface ThreadData {
  readonly name: string
  readonly config: Config
  readonly metrics: MetricsMemory
  /** Shared by all threads, so that TLS tickets of one are good at another: 48 bytes. */
  readonly ticketKeys: Uint8Array
  /** Failed logins and quotas, counted over all net threads. */
  readonly auth: AuthMemory
  /** Turns 1 when every owner has opened its shards: LMDB wants writers before readers in one process. */
  readonly spoolOpen: Int32Array
  /** Shards of the data directory. */
  readonly shards: number
  /** Addresses already bound by name, for `port: 0` after the first thread. */
  readonly bound: Readonly<Record<string, { host: string; port: number }>>
}

/** main -> any thread. */
export type FromMain =
  /** A channel to another thread; replaces an earlier one of that name, whose thread has died. */
  | { readonly kind: 'main.peer'; readonly name: string; readonly port: MessagePort }
  | { readonly kind: 'main.reload'; readonly config: Config }
  /** Stop taking work, finish what is in hand, answer `thread.drained`. */
  | { readonly kind: 'main.drain' }
  /** Nothing will come any more: flush, close, end. */
  | { readonly kind: 'main.stop' }
  | { readonly kind: 'main.ask'; readonly request: number; readonly verb: string; readonly args: unknown }
  /** The asker has gone: end a stream. */
  | { readonly kind: 'main.cancel'; readonly request: number }
  /** Debug: throw, so that the supervisor's handling can be seen. */
  | { readonly kind: 'main.throw' }

/** any thread -> main. */
export type ToMain =
  | { readonly kind: 'thread.up'; readonly listeners: readonly BoundListener[] }
  | { readonly kind: 'thread.drained' }
  | { readonly kind: 'thread.row'; readonly request: number; readonly row: unknown }
  | { readonly kind: 'thread.end'; readonly request: number; readonly error: string | undefined }

export interface BoundListener {
  readonly name: string
  readonly host: string
  readonly port: number
}

/** net (owner) -> scheduler. */
export type OwnerToScheduler =
  | { readonly kind: 'spool.announce'; readonly rows: PackedRows }
  /** A batch of a scan of all groups; answered by `schedule.more`. */
  | { readonly kind: 'spool.scan'; readonly rows: PackedRows }
  | { readonly kind: 'spool.settled'; readonly items: PackedRows }
  /** All groups of the owner's shards have been told: after `schedule.scan` with its number, after a start with 0. */
  | { readonly kind: 'spool.scanned'; readonly scan: number; readonly shards: readonly number[] }

/** scheduler -> net (owner). */
export type SchedulerToOwner =
  /** A batch of the scan was taken in. */
  | { readonly kind: 'schedule.more' }
  /** Tell all groups again: some have no entry here, and now there is room. */
  | { readonly kind: 'schedule.scan'; readonly scan: number }
  | { readonly kind: 'schedule.expire'; readonly rows: readonly BlockedRow[] }
  | { readonly kind: 'schedule.warn'; readonly rows: readonly BlockedRow[] }
  /** Their domain has no route: bounce them with this reply. */
  | { readonly kind: 'schedule.bounce'; readonly rows: readonly RowRef[]; readonly reply: Reply }

/** deliver -> scheduler. */
export type DeliverToScheduler =
  /** First message after a channel comes up: what this thread still holds or has settled without an acknowledgement. */
  | { readonly kind: 'deliver.inflight'; readonly rows: readonly RowRef[] }
  | { readonly kind: 'deliver.held'; readonly rows: readonly RowRef[] }
  | { readonly kind: 'deliver.route'; readonly domain: string; readonly answer: RouteAnswer<Destination> }
  /** The configuration was loaded again here: answers from before do not hold. */
  | { readonly kind: 'deliver.rerouted' }
  | { readonly kind: 'deliver.up'; readonly conn: number }
  | { readonly kind: 'deliver.pull'; readonly conn: number; readonly want: number; readonly onHand: number }
  | { readonly kind: 'deliver.returned'; readonly conn: number; readonly items: readonly ReturnedItem[]; readonly reason: ReturnReason }
  /** So many outcomes wait for the owners that it wants no more work; later, that it does again. */
  | { readonly kind: 'deliver.behind'; readonly behind: boolean }
  | { readonly kind: 'deliver.down'; readonly conn: number; readonly down: ConnectionDown }

/** scheduler -> deliver. */
export type SchedulerToDeliver =
  /** An owner died: which of its rows are still held here? Answered by `deliver.held`. */
  | { readonly kind: 'schedule.held' }
  | { readonly kind: 'schedule.route'; readonly domain: string }
  | { readonly kind: 'schedule.open'; readonly conn: number; readonly site: DeliverSite; readonly source: string }
  | { readonly kind: 'schedule.grant'; readonly conn: number; readonly items: Packed }
  | { readonly kind: 'schedule.close'; readonly conn: number }

/** deliver -> net (owner). Kept by the sender until acknowledged, and sent again to a restarted owner. */
export interface DeliverToOwner {
  readonly kind: 'deliver.settle'
  readonly batch: number
  readonly settlements: Packed
}

/** net (owner) -> deliver: the batch is committed. */
export interface OwnerToDeliver {
  readonly kind: 'spool.ack'
  readonly batch: number
}
