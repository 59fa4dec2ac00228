// One shard, opened for writing: index, body segments, event log, ids. Owner thread; written to by its committer only.

import { assert } from '../lib/assert.ts'
import type { Clock } from '../lib/clock.ts'
import type { Batch } from './batch.ts'
import type { SpoolDisk, SpoolIndex } from './disk.ts'
import { EventLog } from './eventlog.ts'
import { messageId, sequenceOf } from './ids.ts'
import { groupKey, GROUPS, HIGH_KEY, idRange, leftKey, messageKey } from './keys.ts'
import { bodiesDirectory, eventsDirectory, shardDirectory, spoolDirectory } from './layout.ts'
import type { SpoolLog } from './ports.ts'
import { decodeGroup, decodeHigh, decodeLeft, decodeMessage } from './record.ts'
import type { BodyShare, GroupRecord, HighMarks, MessageRecord } from './record.ts'
import { recoverSegments } from './recover.ts'
import { Segments, sharesOf } from './segments.ts'
import type { Extent } from './segments.ts'
import { Slab } from './slab.ts'
import type { MessageId } from './types.ts'

/** Ids and segment numbers are reserved in blocks, each by a commit of its own before the first is used. */
const SEQUENCE_BLOCK = 100_000
const SEGMENT_BLOCK = 1_000_000

export interface ShardOptions {
  readonly disk: SpoolDisk
  readonly dataDir: string
  readonly shard: number
  readonly clock: Clock
  readonly log: SpoolLog
  readonly segmentBytes: number
  readonly eventFileBytes: number
  readonly eventRetentionMs: number
}

function openEvents(options: ShardOptions): Promise<EventLog> {
  return EventLog.open({
    files: options.disk,
    directory: eventsDirectory(options.dataDir, options.shard),
    shard: options.shard,
    clock: options.clock,
    fileBytes: options.eventFileBytes,
    retentionMs: options.eventRetentionMs,
    log: options.log,
  })
}

export class Shard {
  readonly number: number
  readonly disk: SpoolDisk
  readonly index: SpoolIndex
  readonly segments: Segments
  readonly events: EventLog
  readonly slab: Slab = new Slab()
  messages: number
  groups: number
  #nextSequence: number
  #nextSegment: number
  #high: HighMarks

  private constructor(options: ShardOptions, index: SpoolIndex, events: EventLog) {
    this.number = options.shard
    this.disk = options.disk
    this.index = index
    this.events = events
    const high = decodeHigh(index.get(HIGH_KEY))
    this.#high = high
    this.messages = high.messages
    this.groups = high.groups
    this.#nextSequence = Math.max(this.#high.sequence, 1)
    this.#nextSegment = Math.max(this.#high.segment, 1)
    this.segments = new Segments({
      files: options.disk,
      directory: bodiesDirectory(options.dataDir, options.shard),
      segmentBytes: options.segmentBytes,
      takeNumber: () => this.#nextSegment++,
      log: options.log,
    })
  }

  static async open(options: ShardOptions): Promise<Shard> {
    const { disk, dataDir, shard } = options
    await disk.mkdir(shardDirectory(dataDir, shard))
    await disk.mkdir(bodiesDirectory(dataDir, shard))
    const index = await disk.openIndex(shardDirectory(dataDir, shard), 'write')
    try {
      const opened = new Shard(options, index, await openEvents(options))
      await opened.#begin(options)
      return opened
    } catch (error) {
      await index.close()
      throw error
    }
  }

  /** The next id. It may be used for a message only when `isReserved` says so at its commit. */
  takeId(): MessageId {
    return messageId(this.number, this.#nextSequence++)
  }

  isReserved(id: MessageId): boolean {
    return sequenceOf(id) < this.#high.sequence
  }

  /** The marks to write next; the ones in force when less than half a block is used. */
  wantsBlock(): boolean {
    const left = this.#high.sequence - this.#nextSequence
    return left < SEQUENCE_BLOCK / 2 || this.#high.segment - this.#nextSegment < SEGMENT_BLOCK / 2
  }

  /** The marks in force. */
  get marks(): HighMarks {
    return this.#high
  }

  nextBlock(): HighMarks {
    const sequence = Math.max(this.#high.sequence, this.#nextSequence) + SEQUENCE_BLOCK
    return { sequence, segment: Math.max(this.#high.segment, this.#nextSegment) + SEGMENT_BLOCK }
  }

  /** `marks` are on disk. */
  reserved(marks: HighMarks): void {
    assert(marks.sequence > this.#high.sequence, 'high-water mark does not rise')
    this.#high = marks
  }

  group(id: MessageId, group: number): GroupRecord | undefined {
    const value = this.index.get(groupKey(id, group))
    return value && decodeGroup(id, group, value)
  }

  message(id: MessageId): MessageRecord | undefined {
    const value = this.index.get(messageKey(id))
    return value && decodeMessage(id, value)
  }

  hasGroups(id: MessageId): boolean {
    const { from, to } = idRange(GROUPS, id, id + 1)
    return this.index.count(from, to) > 0
  }

  left(id: MessageId): number {
    const value = this.index.get(leftKey(id))
    return value ? decodeLeft(value) : 1
  }

  shares(id: MessageId): ReadonlyMap<number, BodyShare> | undefined {
    const message = this.message(id)
    return message && sharesOf(message.body)
  }

  /** The first `bytes` bytes of a body, or all of it. */
  async head(message: MessageRecord, bytes: number): Promise<Buffer> {
    const { body } = message
    if (body.kind === 'inline') return body.bytes.subarray(0, bytes)
    const head = Buffer.allocUnsafe(Math.min(bytes, message.envelope.bytes))
    let at = 0
    for (const extent of body.extents) {
      if (at === head.length) break
      at = await this.#readExtent(extent, head, at)
    }
    assert(at === head.length, 'message body is shorter than its envelope says')
    return head
  }

  /** Makes room for `batch` in the index. `newMail`: it holds more than changes of what is there. */
  reserve(batch: Batch, newMail: boolean): Promise<void> {
    return this.index.reserve(batch.valueBytes, batch.edits, newMail)
  }

  /** Applies `batch` as one durable transaction. */
  commit(batch: Batch): Promise<void> {
    return this.index.commit((writer) => batch.write(writer))
  }

  /** After `commit`: what counts with the batch. */
  committed(batch: Batch): void {
    this.messages += batch.messages
    this.groups += batch.groups
    for (const shares of batch.added) this.segments.addLive(shares)
    for (const shares of batch.removed) this.segments.removeLive(shares)
  }

  async close(): Promise<void> {
    try {
      await this.segments.close()
      await this.events.close()
    } finally {
      await this.index.close()
    }
  }

  async #begin(options: ShardOptions): Promise<void> {
    const directory = bodiesDirectory(options.dataDir, options.shard)
    await recoverSegments(options.disk, directory, this.index, this.segments, options.log)
    await this.disk.syncDirectory(shardDirectory(options.dataDir, options.shard))
    await this.disk.syncDirectory(spoolDirectory(options.dataDir))
  }

  /** Copies an extent, or as much as fits, into `target` at `at`; answers where it ends. */
  async #readExtent(extent: Extent, target: Buffer, at: number): Promise<number> {
    const file = await this.disk.open(this.segments.path(extent.segment), 'read')
    try {
      const want = Math.min(extent.length, target.length - at)
      const n = await this.disk.read(file, target, at, want, extent.offset)
      assert(n === want, 'body segment is shorter than its extents')
      return at + n
    } finally {
      await this.disk.close(file)
    }
  }
}
