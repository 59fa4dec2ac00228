// Decides when a shard commits and what goes together: one group in flight, everything that comes meanwhile is the next.
// Owner thread.
//
// - New messages start a group at once; changes wait for company up to `settleDelayMsMax`, whether new mail comes or not.
// - A failed commit: new messages are refused, changes are kept. After a pause (doubling) an empty commit asks whether
//   the disk works again; on a full disk it also lets LMDB use the pages that the last commit freed. Then groups start
//   small and grow: on a nearly full disk one removal fits where many do not.

import type { Timer } from '../lib/clock.ts'
import { Batch } from './batch.ts'
import { errorCode } from './disk.ts'
import { CommitGroup } from './commitgroup.ts'
import type { ChangeOp, GroupContext, Repair } from './commitgroup.ts'
import type { Accepted } from './intake.ts'
import type { SpoolError } from './ports.ts'

const GROUP_OPS_MAX = 1000
const GROUP_INLINE_BYTES_MAX = 8 * 1024 * 1024
/** So many changes do not wait for more. */
const CHANGES_ENOUGH = 64
const SETTLE_DELAY_MS = 20
/** How long noted event lines wait for company: a write of their own for each group costs more than the group's commit. */
const FLUSH_DELAY_MS = 50
const RETRY_MS_FIRST = 50
const RETRY_MS_MAX = 5000
/** Beyond this many waiting messages the disk does not keep up. */
const WAITING_ACCEPTS_MAX = 10_000

export interface CommitterPorts extends GroupContext {
  /** Asks the disk for its free bytes now; whether they are too few. */
  isFull(): Promise<boolean>
}

/** What was handed in when it was counted. */
interface Count {
  accepts: number
  changes: number
  repairs: number
}

interface Waiter {
  readonly resolve: () => void
  /** Without it the waiter waits through failures. */
  readonly reject?: (error: Error) => void
  /** Waits for so much only; without it until nothing is left to commit. */
  readonly until?: Count
}

export class Committer {
  readonly #ports: CommitterPorts
  #accepts: Accepted[] = []
  #changes: ChangeOp[] = []
  #repairs: Repair[] = []
  #waiters: Waiter[] = []
  /** Handed in so far. */
  readonly #handed: Count = { accepts: 0, changes: 0, repairs: 0 }
  /** Changes of operators among those that wait. */
  #urgent = 0
  #running = false
  #settleDue = false
  /** Changes wait for `admitChanges`. */
  #holdsChanges = true
  #settleTimer: Timer | undefined
  #flushTimer: Timer | undefined
  /** A group is wanted that only asks whether the disk works. */
  #probe = false
  /** Paused after a failure until the timer fires. */
  #paused = false
  #stopped = false
  #failures = 0
  #failing = false
  #limit = GROUP_OPS_MAX
  #repairing = false
  #eventsFailing = false
  #startedAt = 0
  #lastMs = 0
  #inFlight = 0
  commits = 0

  constructor(ports: CommitterPorts) {
    this.#ports = ports
  }

  /** Why a new message would be refused. */
  refusal(): SpoolError | undefined {
    if (this.#failing && this.#failures > 1) return { kind: 'failed', cause: 'the spool cannot be written' }
    if (this.#accepts.length >= WAITING_ACCEPTS_MAX) return { kind: 'stress', cause: 'too many messages wait for the disk' }
    return undefined
  }

  get failing(): boolean {
    return this.#failing
  }

  get waiting(): number {
    return this.#accepts.length + this.#changes.length + this.#inFlight
  }

  /** Duration of the last commit, or of the one in flight when that is longer. */
  get commitMs(): number {
    const running = this.#inFlight > 0 ? this.#ports.options.clock.mono() - this.#startedAt : 0
    return Math.max(this.#lastMs, running)
  }

  accept(message: Accepted): void {
    this.#accepts.push(message)
    this.#handed.accepts++
    this.#kick()
  }

  change(op: ChangeOp): void {
    this.#changes.push(op)
    op.number = ++this.#handed.changes
    if (isUrgent(op)) this.#urgent++
    this.#awaitCompany()
    this.#kick()
  }

  /** From now on changes are committed; until then they wait. */
  admitChanges(): void {
    this.#holdsChanges = false
    this.#kick()
  }

  repair(op: Repair): void {
    this.#repairs.push(op)
    this.#handed.repairs++
    this.#kick()
  }

  /** Event lines were noted: they are written with those of the next settlements, or in a moment. */
  eventsWaiting(): void {
    if (!this.#stopped) this.#flushTimer ??= this.#ports.options.clock.after(FLUSH_DELAY_MS, () => this.#flushTime())
  }

  /** Reserves ids: the first commit of an owner, which also shows that the shard can be written. */
  begin(): Promise<void> {
    this.#probe = true
    return this.flush()
  }

  /** Resolves when everything handed in, meanwhile too, is durable; rejects at the next failure. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#kick()
    })
    await this.#ports.shard.events.write([])
  }

  /** Resolves when everything handed in before is durable, however long that takes and whatever comes meanwhile. */
  caughtUp(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#waiters.push({ resolve, until: { ...this.#handed } })
      this.#kick()
    })
  }

  /** After the last flush: nothing is committed any more. */
  stop(): void {
    this.#stopped = true
    this.#settleTimer?.cancel()
    this.#flushTimer?.cancel()
  }

  #due(): boolean {
    if (this.#paused || this.#stopped) return false
    return this.#probe || this.#accepts.length > 0 || this.#repairs.length > 0 || this.#changesDue()
  }

  /** New mail does not take every change along: each group with changes costs a write of the event log that it waits for. */
  #changesDue(): boolean {
    if (this.#changes.length === 0 || this.#holdsChanges) return false
    return this.#settleDue || this.#urgent > 0 || this.#changes.length >= CHANGES_ENOUGH || this.#waiters.length > 0
  }

  #kick(): void {
    if (this.#running) return
    if (!this.#due()) {
      this.#rest()
      return
    }
    this.#running = true
    const start = (): void => void this.#run()
    const { commitDelayMs = 0, clock } = this.#ports.options
    if (commitDelayMs > 0) clock.after(commitDelayMs, start)
    else this.#ports.shard.disk.turn(start)
  }

  /** Nothing to commit now: changes get their timer, flushes their answer. */
  #rest(): void {
    if (this.#paused) return
    if (this.#changes.length > 0) {
      this.#awaitCompany()
      return
    }
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve()
  }

  /** Changes get their timer. */
  #awaitCompany(): void {
    if (this.#holdsChanges) return
    const { settleDelayMsMax = SETTLE_DELAY_MS, clock } = this.#ports.options
    this.#settleTimer ??= clock.after(settleDelayMsMax, () => this.#settleTime())
  }

  #settleTime(): void {
    this.#settleTimer = undefined
    this.#settleDue = this.#changes.length > 0
    this.#kick()
  }

  async #run(): Promise<void> {
    while (this.#due()) await this.#commit()
    this.#running = false
    this.#rest()
  }

  async #commit(): Promise<void> {
    const { shard, options } = this.#ports
    const probe = this.#probe
    this.#probe = false
    const group = this.#takeGroup(probe)
    this.#startedAt = options.clock.mono()
    this.#inFlight = group.size
    const outcome = await this.#write(group, probe)
    shard.slab.reset()
    if (outcome instanceof Batch) this.#succeeded(probe, group.finish(outcome))
    else await this.#failed(group, outcome)
    if (this.#waiters.length > 0) this.#tellCaughtUp()
    this.eventsWaiting()
  }

  /** After a commit: nothing is in flight, and what does not wait is done. New mail and repairs keep their order, changes need not. */
  #tellCaughtUp(): void {
    const accepts = this.#handed.accepts - this.#accepts.length
    const repairs = this.#handed.repairs - this.#repairs.length
    let oldest = Infinity
    for (const { number } of this.#changes) if (number < oldest) oldest = number
    const isDue = ({ until }: Waiter): boolean =>
      until !== undefined && until.accepts <= accepts && until.repairs <= repairs && until.changes < oldest
    const due = this.#waiters.filter(isDue)
    this.#waiters = this.#waiters.filter((waiter) => !isDue(waiter))
    for (const waiter of due) waiter.resolve()
  }

  /** The batch when it is on disk, else why it is not. Anything that is not the disk's fault is a bug and ends the thread. */
  async #write(group: CommitGroup, probe: boolean): Promise<Batch | Error> {
    try {
      await group.prepare()
      const batch = group.build(probe)
      if (batch.edits === 0) return batch
      await this.#ports.shard.reserve(batch, group.hasNewMail)
      await group.log()
      // Lines that wait are memory: new ones do not come faster than the disk takes them.
      if (this.#ports.shard.events.isBehind) await this.#flushEvents()
      await this.#ports.shard.commit(batch)
      return batch
    } catch (error) {
      if (error instanceof Error && isDiskError(error)) return error
      throw error
    }
  }

  #takeGroup(probe: boolean): CommitGroup {
    if (probe) return new CommitGroup(this.#ports, [], [], [])
    // A repair must not meet a change of its message in one commit: they take turns.
    this.#repairing = this.#repairs.length > 0 && !this.#repairing
    const repairs = this.#repairing ? this.#repairs.splice(0, this.#limit) : []
    const changes = this.#repairing || !this.#changesDue() ? [] : this.#takeChanges()
    // After a failure a group is small and of one kind.
    const alone = this.#limit < GROUP_OPS_MAX && changes.length + repairs.length > 0
    return new CommitGroup(this.#ports, alone ? [] : this.#takeAccepts(), changes, repairs)
  }

  #takeAccepts(): Accepted[] {
    let bytes = 0
    let n = 0
    while (n < this.#accepts.length && n < this.#limit && bytes < GROUP_INLINE_BYTES_MAX) {
      const body = (this.#accepts[n] as Accepted).body
      if (body.kind === 'inline') bytes += body.bytes.length
      n++
    }
    if (n === this.#accepts.length) {
      const all = this.#accepts
      this.#accepts = []
      return all
    }
    return this.#accepts.splice(0, n)
  }

  /** One change a group and commit; further ones wait for their turn, in order. Of a million that wait only the first are looked at. */
  #takeChanges(): ChangeOp[] {
    const taken: ChangeOp[] = []
    const left: ChangeOp[] = []
    const seen = new Set<string>()
    let n = 0
    for (; n < this.#changes.length && Math.max(taken.length, left.length) < this.#limit; n++) {
      const op = this.#changes[n] as ChangeOp
      const key = `${op.id}.${op.group}`
      if (seen.has(key)) left.push(op)
      else taken.push(op)
      seen.add(key)
    }
    this.#changes.splice(0, n, ...left)
    this.#urgent -= taken.filter(isUrgent).length
    this.#settleDue = this.#changes.length > 0
    this.#settleTimer?.cancel()
    this.#settleTimer = undefined
    return taken
  }

  /** They come again before all others. */
  #putBack(changes: readonly ChangeOp[]): void {
    this.#changes.unshift(...changes)
    this.#urgent += changes.filter(isUrgent).length
  }

  #succeeded(probe: boolean, postponed: ChangeOp[]): void {
    this.commits++
    this.#inFlight = 0
    this.#lastMs = this.#ports.options.clock.mono() - this.#startedAt
    this.#failing = false
    if (!probe) {
      this.#failures = 0
      this.#limit = Math.min(this.#limit * 2, GROUP_OPS_MAX)
    }
    if (postponed.length === 0) return
    this.#putBack(postponed)
    this.#pause()
  }

  async #failed(group: CommitGroup, cause: Error): Promise<void> {
    const full = errorCode(cause) === 'ENOSPC' || (await this.#ports.isFull())
    this.#ports.host.log.error({ shard: this.#ports.shard.number, error: cause.message, operations: group.size, full }, 'commit failed')
    this.#inFlight = 0
    this.#failing = true
    this.#failures++
    this.#limit = Math.max(1, Math.floor(Math.min(this.#limit, group.size) / 2))
    const refusal: SpoolError = { kind: full ? 'full' : 'failed', cause: cause.message }
    this.#putBack(group.fail(refusal))
    if (this.#failures > 1) {
      this.#refuseWaiting(refusal)
      for (const { failed } of this.#changes) failed?.(refusal)
    }
    const waiters = this.#waiters
    this.#waiters = waiters.filter((waiter) => !waiter.reject)
    for (const waiter of waiters) waiter.reject?.(cause)
    this.#pause()
  }

  /** The disk does not come back soon: clients shall not wait for it. */
  #refuseWaiting(refusal: SpoolError): void {
    const waiting = this.#accepts
    this.#accepts = []
    for (const message of waiting) {
      message.release()
      message.done(refusal)
    }
  }

  #pause(): void {
    this.#paused = true
    const delayMs = Math.min(RETRY_MS_FIRST * 2 ** Math.max(0, this.#failures - 1), RETRY_MS_MAX)
    this.#ports.options.clock.after(delayMs, () => {
      this.#paused = false
      this.#probe = true
      this.#settleDue = this.#changes.length > 0
      this.#kick()
    })
  }

  #flushTime(): void {
    this.#flushTimer = undefined
    void this.#flushEvents()
  }

  async #flushEvents(): Promise<void> {
    const { shard, host } = this.#ports
    if (!shard.events.hasPending) return
    const written = (): void => void (this.#eventsFailing = false)
    await shard.events.flush().then(written, (error: unknown) => {
      // The lines are kept and go with the next write. It is told once: others come with every event.
      if (!this.#eventsFailing) host.log.warn({ shard: shard.number, error: String(error) }, 'event log cannot be written')
      this.#eventsFailing = true
    })
  }
}

/** EIO, ENOSPC and the like; Node's own codes (ERR_…) are bugs. */
function isDiskError(error: Error): boolean {
  return /^E[A-Z0-9]+$/.test(errorCode(error))
}

/** Somebody waits for it. */
function isUrgent({ request }: ChangeOp): boolean {
  return request.kind === 'admin'
}
