// One commit group: new messages and changes that become durable together. Owner thread.
//
// prepare: reads, notifications, bodies to the disk -> build: the edits -> (room in the index) -> log: events to the disk
// -> (index commit) -> finish or fail.
// At most one change of a (message, group) is in a commit group, so what `prepare` read is still true at the commit.

import { Batch } from './batch.ts'
import type { Accepted } from './intake.ts'
import { applyAdmin, applyBounce, applyExpiry, applySettlement, applyWarning, isStale, receptionEvents } from './outcome.ts'
import type { Change } from './outcome.ts'
import { planGroups } from './plan.ts'
import type { AdminOrder, BlockedRef, ComposedDsn, DsnFacts, SpoolError, SpoolEvent, SpoolHost, SpoolOptions, SpoolReply } from './ports.ts'
import type { GroupRecord, HighMarks, MessageRecord, StoredBody } from './record.ts'
import type { Shard } from './shard.ts'
import { INLINE_BYTES_MAX } from './slab.ts'
import type { Envelope, MessageId, QueueRow, Settled, Settlement } from './types.ts'

export type ChangeRequest =
  | { readonly kind: 'settle'; readonly settlement: Settlement }
  | { readonly kind: 'expire'; readonly blocked: BlockedRef }
  | { readonly kind: 'warn'; readonly blocked: BlockedRef }
  | { readonly kind: 'bounce'; readonly reply: SpoolReply }
  | { readonly kind: 'admin'; readonly order: AdminOrder }

/** A change of one group, kept until it is durable. */
export interface ChangeOp {
  readonly id: MessageId
  readonly group: number
  readonly request: ChangeRequest
  /** Called once, when the outcome is durable: whether the group was changed by it. */
  readonly done: (changed: boolean) => void
  /** Of an operator's order: called when the disk does not take it for now. It is kept all the same. */
  readonly failed: ((error: SpoolError) => void) | undefined
  /** The committer's: it counts them as they are handed in. */
  number: number
  /** Id for the notification, 0 until one is needed; the same when the commit is retried. */
  dsnId: MessageId
  /** Its events are in the log; a retry does not write them again. */
  logged: boolean
}

/** Housekeeping: a body that was copied, or a message without groups. `done` says whether it is durable; it is not tried again. */
export type Repair =
  | { readonly kind: 'relocate'; readonly id: MessageId; readonly from: StoredBody; readonly to: StoredBody; readonly done: Done }
  | { readonly kind: 'drop'; readonly id: MessageId; readonly done: Done }

type Done = (ok: boolean) => void

/** What a group needs to know of its owner. */
export interface GroupContext {
  readonly shard: Shard
  /** As configured last. */
  readonly options: SpoolOptions
  readonly host: SpoolHost
}

/** The start of a message that a notification may quote. */
const DSN_CONTENT_BYTES = 64 * 1024

interface NewMessage {
  readonly envelope: Envelope
  readonly groups: readonly GroupRecord[]
  readonly body: StoredBody
}

interface Plan {
  readonly op: ChangeOp
  readonly record: GroupRecord | undefined
  readonly change: Change | undefined
  dsn: NewMessage | undefined
  /** Not in this commit after all: tried again with the next. */
  postponed: boolean
}

export class CommitGroup {
  readonly #context: GroupContext
  readonly #accepts: readonly Accepted[]
  readonly #repairs: readonly Repair[]
  readonly #plans: Plan[]
  readonly #created: NewMessage[] = []
  /** Whose bodies did not reach the disk. */
  readonly #lost = new Map<Accepted, SpoolError>()
  readonly #pins: number[] = []
  #marks: HighMarks | undefined

  constructor(context: GroupContext, accepts: readonly Accepted[], changes: readonly ChangeOp[], repairs: readonly Repair[]) {
    this.#context = context
    this.#accepts = accepts
    this.#repairs = repairs
    this.#plans = changes.map((op) => this.#plan(op))
  }

  get hasNewMail(): boolean {
    return this.#accepts.length > 0
  }

  get size(): number {
    return this.#accepts.length + this.#plans.length + this.#repairs.length
  }

  /** Composes notifications and brings bodies to the disk. */
  async prepare(): Promise<void> {
    const { shard } = this.#context
    for (const plan of this.#plans) {
      if (plan.change && plan.change.reports.length > 0) await this.#notify(plan, plan.change)
    }
    if (this.#hasExtents()) await shard.segments.sync()
  }

  /** Brings the events of the changes to the disk: they are there before the index says so. */
  async log(): Promise<void> {
    const plans = this.#plans.filter((plan) => plan.change && !plan.postponed && !plan.op.logged)
    const events = plans.flatMap((plan) => plan.change?.events ?? [])
    if (events.length === 0) return
    await this.#context.shard.events.write(events)
    for (const plan of plans) plan.op.logged = true
  }

  /** The edits. `reserve` adds a new block of ids even when there are enough. */
  build(reserve: boolean): Batch {
    const { shard } = this.#context
    const batch = new Batch(shard.slab, shard)
    for (const message of this.#accepts) this.#accept(batch, message)
    for (const plan of this.#plans) this.#apply(batch, plan)
    for (const repair of this.#repairs) this.#repair(batch, repair)
    if (reserve || shard.wantsBlock()) this.#marks = shard.nextBlock()
    if (this.#marks || batch.messages !== 0 || batch.groups !== 0) batch.high(this.#marks ?? shard.marks, shard)
    return batch
  }

  /** The commit is on disk. Answers what has to be tried again. */
  finish(batch: Batch): ChangeOp[] {
    const { shard, host } = this.#context
    if (this.#marks) shard.reserved(this.#marks)
    shard.committed(batch)
    this.#release()
    this.#tellAccepts()
    const rows: QueueRow[] = this.#created.flatMap((message) => message.groups)
    if (rows.length > 0) host.announce(rows)
    const plans = this.#plans.filter((plan) => !plan.postponed)
    if (plans.length > 0) host.settled(plans.map(settledOf))
    this.#tellEvents(plans)
    for (const plan of plans) plan.op.done(plan.change !== undefined)
    for (const repair of this.#repairs) repair.done(true)
    return this.#plans.filter((plan) => plan.postponed).map((plan) => plan.op)
  }

  /** Nothing of it is on disk. New messages are refused; answers the changes: they have to be tried again. */
  fail(error: SpoolError): ChangeOp[] {
    this.#release()
    for (const message of this.#accepts) message.done(error)
    for (const repair of this.#repairs) repair.done(false)
    return this.#plans.map((plan) => plan.op)
  }

  #plan(op: ChangeOp): Plan {
    const record = this.#context.shard.group(op.id, op.group)
    const change = record && this.#changeOf(record, op.request)
    return { op, record, change, dsn: undefined, postponed: false }
  }

  #changeOf(record: GroupRecord, request: ChangeRequest): Change | undefined {
    const { options } = this.#context
    switch (request.kind) {
      case 'settle':
        if (isStale(record, request.settlement)) return undefined
        return applySettlement(record, request.settlement, options.retry, options.random)
      case 'expire':
        return applyExpiry(record, request.blocked, options.clock.now())
      case 'warn':
        return applyWarning(record, request.blocked, this.#deadlineOf(record), options.clock.now())
      case 'bounce':
        return applyBounce(record, request.reply, options.clock.now())
      case 'admin':
        return applyAdmin(record, request.order, options.clock.now())
    }
  }

  /** DELIVERBY's time, 0 for none. */
  #deadlineOf({ id, timed }: GroupRecord): number {
    return timed ? (this.#context.shard.message(id)?.envelope.deliverBy ?? 0) : 0
  }

  /** RFC 3461 §4, RFC 5321 §6.1: never a notification about a notification. */
  async #notify(plan: Plan, change: Change): Promise<void> {
    const { shard, options } = this.#context
    const message = shard.message(plan.op.id)
    if (!options.composeDsn || !message || message.envelope.sender === '') return
    if (plan.op.dsnId === 0) plan.op.dsnId = shard.takeId()
    if (!shard.isReserved(plan.op.dsnId)) {
      plan.postponed = true
      return
    }
    const content = await this.#contentOf(message)
    const dsn = options.composeDsn(this.#factsOf(plan, change, message.envelope, content))
    if (dsn) plan.dsn = this.#newMessage(plan.op.dsnId, dsn)
  }

  async #contentOf(message: MessageRecord): Promise<Buffer> {
    try {
      return await this.#context.shard.head(message, DSN_CONTENT_BYTES)
    } catch (error) {
      // The report is worth more than its quotation.
      this.#context.host.log.error({ id: message.envelope.id, error: String(error) }, 'message body cannot be read for a notification')
      return Buffer.alloc(0)
    }
  }

  #factsOf(plan: Plan, change: Change, envelope: Envelope, content: Buffer): DsnFacts {
    return {
      id: plan.op.dsnId,
      now: this.#context.options.clock.now(),
      envelope,
      row: plan.record as GroupRecord,
      recipients: change.reports,
      ...change.origin,
      content,
      complete: content.length === envelope.bytes,
    }
  }

  #newMessage(id: MessageId, dsn: ComposedDsn): NewMessage {
    const { shard, options } = this.#context
    const envelope = { ...dsn.envelope, id, bytes: dsn.body.length }
    const inline = dsn.body.length <= INLINE_BYTES_MAX
    let body: StoredBody = { kind: 'inline', bytes: dsn.body }
    if (!inline) {
      const extent = shard.segments.append(dsn.body, () => undefined)
      this.#pins.push(extent.segment)
      body = { kind: 'extents', extents: [extent] }
    }
    return { envelope, body, groups: planGroups(envelope, dsn.recipients, !inline, options) }
  }

  #hasExtents(): boolean {
    const accepted = this.#accepts.some((message) => message.body.kind === 'extents')
    return accepted || this.#pins.length > 0 || this.#repairs.some((repair) => repair.kind === 'relocate')
  }

  /** '' when the body is on disk, else why not. */
  #failureOf(body: StoredBody): string {
    return body.kind === 'inline' ? '' : this.#context.shard.segments.failureOf(body.extents)
  }

  #accept(batch: Batch, message: Accepted): void {
    const { envelope, body, recipients } = message
    const failure = this.#failureOf(body)
    if (failure === '') {
      this.#create(batch, { envelope, body, groups: planGroups(envelope, recipients, body.kind === 'extents', this.#context.options) })
    } else {
      this.#lost.set(message, { kind: failure === 'ENOSPC' ? 'full' : 'failed', cause: `the body could not be written: ${failure}` })
    }
  }

  #create(batch: Batch, message: NewMessage): void {
    batch.create(message.envelope, message.groups, message.body)
    this.#created.push(message)
  }

  #apply(batch: Batch, plan: Plan): void {
    if (plan.dsn && this.#failureOf(plan.dsn.body) !== '') plan.postponed = true
    if (plan.postponed || !plan.record || !plan.change) return
    batch.change(plan.record, plan.change.next)
    if (plan.dsn) this.#create(batch, plan.dsn)
  }

  #repair(batch: Batch, repair: Repair): void {
    const { shard } = this.#context
    const message = shard.message(repair.id)
    if (!message) return
    if (repair.kind === 'relocate') {
      if (this.#failureOf(repair.to) === '') batch.relocate(message.envelope, repair.from, repair.to)
    } else if (!shard.hasGroups(repair.id)) {
      batch.drop(repair.id)
    }
  }

  #release(): void {
    for (const message of this.#accepts) message.release()
    for (const segment of this.#pins) this.#context.shard.segments.unpin(segment)
  }

  #tellAccepts(): void {
    for (const message of this.#accepts) message.done(this.#lost.get(message))
  }

  /** Receptions are logged now that they are true; the rest was logged before the commit. */
  #tellEvents(plans: readonly Plan[]): void {
    const { shard, host, options } = this.#context
    const now = options.clock.now()
    const receptions = this.#created.flatMap((message) => receptionEvents(message.envelope, message.groups, now))
    shard.events.append(receptions)
    if (!host.event) return
    const changed: SpoolEvent[] = plans.flatMap((plan) => plan.change?.events ?? [])
    for (const event of receptions) host.event(event)
    for (const event of changed) host.event(event)
  }
}

function settledOf(plan: Plan): Settled {
  const row = plan.change ? plan.change.next : plan.record
  const { kind } = plan.op.request
  if (row) return { kind: kind === 'warn' || kind === 'admin' ? 'changed' : 'rescheduled', row }
  return { kind: 'gone', id: plan.op.id, group: plan.op.group }
}
