// The writer of shards: used by a net (or http) thread for the shards that main gave it.
//
// New messages go to the first shard that works: one stream of commits batches better than several. Changes go to the
// shard of their message. Everything that is promised here is durable before it is told (see committer.ts).

import { assert } from '../lib/assert.ts'
import type { Timer } from '../lib/clock.ts'
import { Committer } from './committer.ts'
import type { CommitterPorts } from './committer.ts'
import type { ChangeOp, ChangeRequest } from './commitgroup.ts'
import { compactSegment } from './compact.ts'
import type { IndexVisitor, SpoolDisk } from './disk.ts'
import { nextTurn } from './disk.ts'
import { DiskGauge } from './gauge.ts'
import { shardOf } from './ids.ts'
import { groupOf, GROUPS, idOf } from './keys.ts'
import type { KeyRange } from './keys.ts'
import { SpoolIntake } from './intake.ts'
import type { IntakeHost } from './intake.ts'
import { nodeDisk } from './nodedisk.ts'
import { eventsDirectory, prepareSpool, spoolDirectory, SpoolFormatError } from './layout.ts'
import type {
  AdminAction,
  AdminRef,
  BlockedRef,
  Intake,
  RowRef,
  SpoolCounts,
  SpoolError,
  SpoolEvent,
  SpoolHost,
  SpoolOptions,
  SpoolReply,
  SpoolStress,
} from './ports.ts'
import { decodeRow } from './record.ts'
import { relogReceptions } from './receptions.ts'
import { sweepStrays } from './recover.ts'
import { scanSome } from './scan.ts'
import type { Rest } from './scan.ts'
import { Shard } from './shard.ts'
import { ChunkPool } from './slab.ts'
import type { MessageId, QueueRow, Settlement } from './types.ts'

const SHARDS_DEFAULT = 4
const SEGMENT_BYTES = 64 * 1024 * 1024
const EVENT_FILE_BYTES = 64 * 1024 * 1024
const RETENTION_DAYS = 30
const DAY_MS = 86_400_000
const BACKLOG_BYTES = 256 * 1024
/** Rows read before the event loop gets its turn: about 2 ms. */
const ROWS_PER_TURN = 2000
/** Copies of live bodies take at most this share of the room on the disk: settlements and events need the rest. */
const COPY_SHARE = 0.5
/** Looking for messages without groups waits until a start is long over. */
const SWEEP_AFTER_MS = 60_000

/** Takes a batch of rows; false ends the scan. */
type Announce = (rows: QueueRow[]) => boolean | Promise<boolean>

/** Waits until one more batch can be taken; false when none is wanted any more. */
type Ready = () => boolean | Promise<boolean>

/** A shard with what belongs to it. */
interface Owned {
  readonly shard: Shard
  readonly committer: Committer
  readonly intakes: IntakeHost
}

export class SpoolOwner {
  readonly #dataDir: string
  #options: SpoolOptions
  readonly #host: SpoolHost
  readonly #disk: SpoolDisk
  readonly #gauge: DiskGauge
  readonly #owned: Owned[] = []
  readonly #byShard = new Map<number, Owned>()
  readonly #open = new Set<SpoolIntake>()
  readonly #pool = new ChunkPool()
  /** For each rescan under way the ids that were announced meanwhile: it skips them. */
  readonly #fresh = new Set<Set<MessageId>>()
  readonly #timers: Timer[] = []
  #closing = false
  #compacting = false
  #background: Promise<unknown> = Promise.resolve()

  private constructor(dataDir: string, options: SpoolOptions, host: SpoolHost) {
    this.#dataDir = dataDir
    this.#options = options
    this.#host = host
    this.#disk = options.disk ?? nodeDisk
    this.#gauge = new DiskGauge({
      disk: this.#disk,
      clock: options.clock,
      log: host.log,
      directory: spoolDirectory(dataDir),
      minFreeBytes: () => this.#options.minFreeBytes,
      reusableBytes: () => this.#owned.reduce((sum, { shard }) => sum + shard.index.reusableBytes(), 0),
      polled: () => this.#reclaim(),
    })
  }

  /**
   * Opens (or makes) the data directory's spool and becomes the only writer of `shards`. Within one process owners are
   * opened before readers: LMDB shares an environment, with the flags of the first. Rejects with SpoolFormatError for
   * another program's spool, with the disk's error when it cannot be written.
   */
  static async open(dataDir: string, shards: readonly number[], options: SpoolOptions, host: SpoolHost): Promise<SpoolOwner> {
    const owner = new SpoolOwner(dataDir, options, host)
    const meta = await prepareSpool(owner.#disk, dataDir, options.shards ?? SHARDS_DEFAULT)
    const foreign = shards.find((shard) => shard >= meta.shards)
    if (foreign !== undefined) throw new SpoolFormatError(`shard ${foreign} does not exist: the spool has ${meta.shards}`)
    try {
      for (const shard of shards) await owner.#openShard(shard)
      await owner.#gauge.start()
    } catch (error) {
      await owner.#closeShards()
      throw error
    }
    for (const owned of owner.#owned) owner.#recover(owned)
    return owner
  }

  /** A place for a message in the first shard that works. Never throws; what is wrong comes with `commit`. */
  openMessage(): Intake {
    const owned = this.#owned.find(({ committer }) => !committer.failing) ?? this.#owned[0]
    assert(owned, 'owner without shards')
    const intake = new SpoolIntake(owned.shard.takeId(), owned.intakes)
    this.#open.add(intake)
    return intake
  }

  /** Applies outcomes of attempts; `host.settled` and then `ack`, after all of them are durable. Retried until they are. */
  settle(batch: readonly Settlement[], ack: () => void): void {
    let left = batch.length
    if (left === 0) this.#disk.turn(ack)
    const done = (): void => {
      if (--left === 0) ack()
    }
    for (const settlement of batch) this.#change(settlement, { kind: 'settle', settlement }, done)
  }

  /** Gives up groups whose `expires` is past (DSN if owed); `host.settled` tells. */
  expire(rows: readonly BlockedRef[]): void {
    for (const blocked of rows) this.#change(blocked, { kind: 'expire', blocked }, ignore)
  }

  /** Sends the DELAY notification if owed and sets `warnAt` to 0; `host.settled` tells. */
  warn(rows: readonly BlockedRef[]): void {
    for (const blocked of rows) this.#change(blocked, { kind: 'warn', blocked }, ignore)
  }

  /** Returns groups to their senders (DSN if owed), as when a domain has no route; `host.settled` tells. */
  bounce(rows: readonly RowRef[], reply: SpoolReply): void {
    for (const row of rows) this.#change(row, { kind: 'bounce', reply }, ignore)
  }

  /**
   * An operator's action; resolves with the number of groups it changed, after the commit. `host.settled` tells too.
   * Rejects when the disk fails more than once meanwhile: somebody waits for the answer.
   * `reason` is what senders are told of a bounce, instead of a general word.
   */
  async admin(action: AdminAction, rows: readonly AdminRef[], reason = ''): Promise<number> {
    const changes = rows.map((row) => {
      const order = { action, reason, only: row.only }
      return new Promise<boolean>((done, reject) => {
        const failed = ({ cause }: SpoolError): void =>
          reject(new Error(`the spool cannot be written (${cause}); the order is kept and carried out when it can`))
        this.#change(row, { kind: 'admin', order }, done, failed)
      })
    })
    const changed = await Promise.all(changes)
    return changed.filter(Boolean).length
  }

  /** Logs an event that has no message here, such as a rejection. Not synced. */
  record(event: SpoolEvent): void {
    const owned = this.#owned[0]
    assert(owned, 'owner without shards')
    owned.shard.events.append([event])
    owned.committer.eventsWaiting()
    this.#host.event?.(event)
  }

  /**
   * Reads all groups that were durable at the call and are still there, in batches; `announce` says false to stop, later
   * when it cannot keep up.
   * Groups made later come by `host.announce` alone. A row may be read that is in flight or that `host.settled` speaks
   * of meanwhile: the caller knows. The newest come first, since behind a million that wait for a dead site they are
   * those that can move; then all others from the oldest. `ready` is waited for before each batch is read, so that
   * nothing is told later than what `host.settled` says of it; false stops. Resolves with the number of rows.
   */
  async rescan(announce: Announce, ready: Ready = always): Promise<number> {
    const fresh = new Set<MessageId>()
    this.#fresh.add(fresh)
    let count = 0
    const tell: Announce = (rows) => {
      count += rows.length
      return rows.length === 0 || announce(rows)
    }
    try {
      const older: [Shard, Rest][] = []
      for (const { shard, committer } of this.#owned) {
        await committer.caughtUp()
        if (!(await ready())) return count
        const { rows, rest } = rowsIn(shard, GROUPS, fresh, true)
        if (!(await tell(rows.reverse()))) return count
        older.push([shard, rest])
      }
      for (const [shard, rest] of older) if (!(await this.#rescanShard(shard, rest, fresh, tell, ready))) break
      return count
    } finally {
      this.#fresh.delete(fresh)
    }
  }

  /** New settings for what is decided from now on. Disk, shards, sizes of segments and event files stay as opened. */
  configure(options: SpoolOptions): void {
    this.#options = options
    this.#gauge.judge()
  }

  counts(): SpoolCounts {
    const counts = { commits: 0, messages: 0, groups: 0, segmentBytes: 0 }
    for (const { shard, committer } of this.#owned) {
      counts.commits += committer.commits
      counts.messages += shard.messages
      counts.groups += shard.groups
      counts.segmentBytes += shard.segments.liveBytes
    }
    return counts
  }

  stress(): SpoolStress {
    const committers = this.#owned.map(({ committer }) => committer)
    return {
      commitMs: Math.max(0, ...committers.map((committer) => committer.commitMs)),
      waiting: committers.reduce((sum, committer) => sum + committer.waiting, 0),
      backlogBytes: this.#owned.reduce((sum, { shard }) => sum + shard.segments.backlogBytes, 0),
      freeBytes: this.#gauge.freeBytes,
      full: this.#gauge.full,
      failing: committers.some((committer) => committer.failing),
    }
  }

  /** Resolves when everything handed in so far is durable. Rejects when the disk fails. */
  async flush(): Promise<void> {
    await Promise.all(this.#owned.map(({ committer }) => committer.flush()))
  }

  /** Aborts open intakes, flushes and closes. What a failing disk does not take is as if it had never been settled. */
  async close(): Promise<void> {
    this.#closing = true
    this.#gauge.stop()
    for (const timer of this.#timers) timer.cancel()
    for (const intake of this.#open) intake.abort()
    for (const { committer } of this.#owned) committer.admitChanges()
    try {
      await this.flush()
      await this.#background
    } catch (error) {
      this.#host.log.error({ error: String(error) }, 'spool closed without its last changes')
    }
    await this.#closeShards()
  }

  async #openShard(number: number): Promise<void> {
    const { segmentBytes, eventFileBytes, eventRetentionDays, clock, intakeBacklogBytes } = this.#options
    const shard = await Shard.open({
      disk: this.#disk,
      dataDir: this.#dataDir,
      shard: number,
      clock,
      log: this.#host.log,
      segmentBytes: segmentBytes ?? SEGMENT_BYTES,
      eventFileBytes: eventFileBytes ?? EVENT_FILE_BYTES,
      eventRetentionMs: (eventRetentionDays ?? RETENTION_DAYS) * DAY_MS,
    })
    const committer = new Committer(this.#portsFor(shard))
    const intakes: IntakeHost = {
      segments: shard.segments,
      pool: this.#pool,
      backlogLimit: intakeBacklogBytes ?? BACKLOG_BYTES,
      refusal: (id) => this.#refusal(committer, shard.isReserved(id)),
      accept: (message) => {
        this.#gauge.spend(message.envelope.bytes)
        committer.accept(message)
      },
      closed: (intake) => void this.#open.delete(intake),
      turn: (fn) => this.#disk.turn(fn),
    }
    const owned = { shard, committer, intakes }
    this.#owned.push(owned)
    this.#byShard.set(number, owned)
    await committer.begin()
  }

  #portsFor(shard: Shard): CommitterPorts {
    const current = (): SpoolOptions => this.#options
    return {
      shard,
      host: this.#tap(),
      isFull: () => this.#isShort(),
      get options() {
        return current()
      },
    }
  }

  /** The host as committers see it: rescans hear of new groups first. */
  #tap(): SpoolHost {
    const host = this.#host
    return {
      log: host.log,
      announce: (rows) => {
        for (const fresh of this.#fresh) for (const row of rows) fresh.add(row.id)
        host.announce(rows)
      },
      settled: (items) => host.settled(items),
      ...(host.event ? { event: (event: SpoolEvent): void => host.event?.(event) } : undefined),
    }
  }

  #refusal(committer: Committer, reserved: boolean): SpoolError | undefined {
    if (this.#closing) return { kind: 'stress', cause: 'the spool is closing' }
    if (this.#gauge.full) return { kind: 'full', cause: `less than ${this.#options.minFreeBytes} bytes are free` }
    if (!reserved) return { kind: 'stress', cause: 'no message ids are reserved' }
    return committer.refusal()
  }

  async #isShort(): Promise<boolean> {
    await this.#gauge.look()
    return this.#gauge.short
  }

  #change(ref: RowRef, request: ChangeRequest, done: ChangeOp['done'], failed?: ChangeOp['failed']): void {
    const owned = this.#byShard.get(shardOf(ref.id))
    assert(owned, 'change of a group in a shard of another owner')
    owned.committer.change({ id: ref.id, group: ref.group, request, done, failed, number: 0, dsnId: 0, logged: false })
  }

  /** False when `tell` stopped it. */
  async #rescanShard(shard: Shard, from: Rest, fresh: ReadonlySet<MessageId>, tell: Announce, ready: Ready): Promise<boolean> {
    for (let left = from; left && !this.#closing;) {
      await nextTurn(this.#disk)
      if (!(await ready())) return false
      const { rows, rest } = rowsIn(shard, left, fresh, false)
      if (!(await tell(rows))) return false
      left = rest
    }
    return true
  }

  /** What need not be done before the first message: lost reception lines, and much later stray messages. */
  #recover(owned: Owned): void {
    const { shard, committer } = owned
    const below = shard.takeId()
    const stop = (): boolean => this.#closing
    // A message that is settled leaves nothing to log its reception from: changes wait until that is done.
    this.#inBackground(shard, async () => {
      await relogReceptions(shard, eventsDirectory(this.#dataDir, shard.number), below, stop).finally(() => committer.admitChanges())
    })
    this.#timers.push(this.#options.clock.after(SWEEP_AFTER_MS, () => this.#inBackground(shard, () => this.#sweep(owned, below))))
  }

  async #sweep({ shard, committer }: Owned, below: MessageId): Promise<void> {
    const drop = (id: MessageId): Promise<boolean> => new Promise((done) => committer.repair({ kind: 'drop', id, done }))
    const dropped = await sweepStrays(shard, this.#options.clock, below, drop, () => this.#closing)
    if (dropped > 0) this.#host.log.error({ shard: shard.number, messages: dropped }, 'messages without recipients removed')
  }

  #reclaim(): void {
    if (this.#gauge.full) for (const { shard } of this.#owned) shard.segments.seal()
    this.#compact()
  }

  #compact(): void {
    if (this.#compacting) return
    for (const { shard, committer } of this.#owned) {
      const segment = shard.segments.compactable(this.#gauge.realBytes * COPY_SHARE)
      if (segment < 0) continue
      this.#compacting = true
      this.#inBackground(shard, async () => {
        await compactSegment(shard, committer, this.#pool, segment, () => this.#closing).finally(() => (this.#compacting = false))
      })
      return
    }
  }

  /** One piece of housekeeping after the other; a failing one is tried again by the next start or the next look. */
  #inBackground(shard: Shard, work: () => Promise<void>): void {
    this.#background = this.#background.then(async () => {
      try {
        if (!this.#closing) await work()
      } catch (error) {
        this.#host.log.error({ shard: shard.number, error: String(error) }, 'spool housekeeping failed')
      }
    })
  }

  async #closeShards(): Promise<void> {
    this.#gauge.stop()
    for (const { shard, committer } of this.#owned) {
      committer.stop()
      try {
        await shard.close()
      } catch (error) {
        this.#host.log.error({ shard: shard.number, error: String(error) }, 'shard not closed cleanly')
      }
    }
  }
}

function always(): boolean {
  return true
}

function ignore(): void {
  // The host hears of it by `settled`.
}

/** The next rows of a range, from one end or the other, and what is left of it. */
function rowsIn(shard: Shard, range: KeyRange, fresh: ReadonlySet<MessageId>, reverse: boolean): { rows: QueueRow[]; rest: Rest } {
  const rows: QueueRow[] = []
  const visit: IndexVisitor = (key, start, _length, value) => {
    const id = idOf(key, start)
    return fresh.has(id) || rows.push(decodeRow(id, groupOf(key, start), value)) > 0
  }
  const rest = scanSome(shard.index, range, ROWS_PER_TURN, visit, { reverse })
  return { rows, rest }
}
