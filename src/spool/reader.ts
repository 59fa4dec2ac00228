// Read-only view of all shards: deliver threads, CLI, main.
//
// - What another thread has committed is seen after `refresh`. No snapshot is held over an await.
// - A body in segments is read by chunks. Compaction or removal may unlink a file: one that is open stays readable; one
//   that is gone makes the reader look once where the body is now.

import { assert } from '../lib/assert.ts'
import type { FileHandle, SpoolDisk, SpoolIndex } from './disk.ts'
import { errorCode } from './disk.ts'
import { shardOf } from './ids.ts'
import { groupKey, groupOf, GROUPS, idOf, idRange, messageKey } from './keys.ts'
import { bodiesDirectory, INDEX_FILE, noSpool, readMeta, shardDirectory } from './layout.ts'
import { nodeDisk } from './nodedisk.ts'
import { decodeGroup, decodeMessage } from './record.ts'
import type { MessageRecord } from './record.ts'
import { scanSome } from './scan.ts'
import type { Rest } from './scan.ts'
import { segmentName } from './segments.ts'
import type { Extent } from './segments.ts'
import type { Envelope, Group, MessageId } from './types.ts'

/** A stored message. */
export interface StoredMessage {
  readonly envelope: Envelope
  /** The whole body when it is stored inline (at most 16 KiB), else undefined: then `openBody`. */
  readonly inline: Buffer | undefined
}

/** A body in segment files. `close` ends it. */
export interface BodyStream {
  readonly bytes: number
  /** Reads up to `length` bytes of the body from `offset` into `buffer` at `at`; resolves with the number read, 0 at the end. */
  read(offset: number, buffer: Buffer, at: number, length: number): Promise<number>
  close(): void
}

/** The message was removed before its body could be read. */
export class MessageGoneError extends Error {
  override readonly name = 'MessageGoneError'
}

const GROUPS_PER_CHUNK = 500
/** What of a recent body is read at once. A peer that keeps up with more than that would have the thread for itself. */
const READ_NOW_BYTES_MAX = 1024 * 1024

interface OpenSegment {
  readonly path: string
  readonly file: Promise<FileHandle>
  users: number
}

/** Open segment files. One without users is closed, but for the last one used: the next message is probably in it too. */
class SegmentFiles {
  readonly #disk: SpoolDisk
  readonly #open = new Map<string, OpenSegment>()
  #last: OpenSegment | undefined

  constructor(disk: SpoolDisk) {
    this.#disk = disk
  }

  async acquire(path: string): Promise<FileHandle> {
    let segment = this.#open.get(path)
    if (!segment) {
      segment = { path, file: this.#disk.open(path, 'read'), users: 0 }
      this.#open.set(path, segment)
    }
    segment.users++
    try {
      return await segment.file
    } catch (error) {
      this.#open.delete(path)
      throw error
    }
  }

  release(path: string): void {
    const segment = this.#open.get(path)
    if (!segment) return
    segment.users--
    const last = this.#last
    this.#last = segment
    for (const idle of [segment, last]) if (idle && idle !== this.#last && idle.users === 0) this.#close(idle)
  }

  /** A file that was removed meanwhile takes its room on the disk until it is closed. */
  closeIdle(): void {
    const last = this.#last
    this.#last = undefined
    if (last && last.users === 0) this.#close(last)
  }

  closeAll(): void {
    for (const segment of this.#open.values()) this.#close(segment)
  }

  #close(segment: OpenSegment): void {
    if (this.#open.get(segment.path) !== segment) return
    this.#open.delete(segment.path)
    segment.file
      .then((file) => this.#disk.close(file))
      .catch(() => {
        // It was open for reading only: nothing can be lost.
      })
  }
}

/** Extents of a body by their place in it, with their files held open. */
class ExtentStream implements BodyStream {
  readonly bytes: number
  readonly #disk: SpoolDisk
  readonly #extents: readonly Extent[]
  readonly #files: readonly FileHandle[]
  readonly #recent: boolean
  readonly #release: () => void

  constructor(disk: SpoolDisk, extents: readonly Extent[], files: readonly FileHandle[], recent: boolean, release: () => void) {
    this.bytes = extents.reduce((sum, extent) => sum + extent.length, 0)
    this.#disk = disk
    this.#extents = extents
    this.#files = files
    this.#recent = recent
    this.#release = release
  }

  async read(offset: number, buffer: Buffer, at: number, length: number): Promise<number> {
    let start = offset
    for (let i = 0; i < this.#extents.length; i++) {
      const extent = this.#extents[i] as Extent
      if (start < extent.length) {
        const want = Math.min(length, extent.length - start)
        const now = this.#recent && offset < READ_NOW_BYTES_MAX
        const n = await this.#read(now, this.#files[i] as FileHandle, buffer, at, want, extent.offset + start)
        // A short body must end the transfer, never a message cut off in silence.
        if (n === 0 && want > 0) throw Object.assign(new Error(`body segment ${extent.segment} is too short`), { code: 'EIO' })
        return n
      }
      start -= extent.length
    }
    return 0
  }

  close(): void {
    this.#release()
  }

  #read(now: boolean, file: FileHandle, buffer: Buffer, at: number, length: number, position: number): number | Promise<number> {
    if (now) return this.#disk.readNow(file, buffer, at, length, position)
    return this.#disk.read(file, buffer, at, length, position)
  }
}

export interface ReaderOptions {
  /** Default: the real one. */
  readonly disk?: SpoolDisk
}

export class SpoolReader {
  readonly #disk: SpoolDisk
  readonly #dataDir: string
  /** By shard; undefined for one whose owner has never been up. */
  readonly #indexes: readonly (SpoolIndex | undefined)[]
  readonly #files: SegmentFiles

  private constructor(disk: SpoolDisk, dataDir: string, indexes: readonly (SpoolIndex | undefined)[]) {
    this.#disk = disk
    this.#dataDir = dataDir
    this.#indexes = indexes
    this.#files = new SegmentFiles(disk)
  }

  /**
   * Works beside running owners, in another process, and without a server. Within one process open owners first. Rejects
   * with SpoolFormatError when there is no spool (or another program's).
   */
  static async open(dataDir: string, options: ReaderOptions = {}): Promise<SpoolReader> {
    const disk = options.disk ?? nodeDisk
    const meta = await readMeta(disk, dataDir)
    if (!meta) throw noSpool(dataDir)
    const indexes: (SpoolIndex | undefined)[] = []
    for (let shard = 0; shard < meta.shards; shard++) {
      const names = await disk.list(shardDirectory(dataDir, shard))
      indexes.push(names.includes(INDEX_FILE) ? await disk.openIndex(shardDirectory(dataDir, shard), 'read') : undefined)
    }
    return new SpoolReader(disk, dataDir, indexes)
  }

  /** Makes what others have committed visible. Call before reading what was announced. */
  refresh(): void {
    for (const index of this.#indexes) index?.refresh()
  }

  message(id: MessageId): StoredMessage | undefined {
    const record = this.#record(id)
    if (!record) return undefined
    return { envelope: record.envelope, inline: record.body.kind === 'inline' ? record.body.bytes : undefined }
  }

  /**
   * Body of a message that is not inline; a `recent` one is expected to be in the system's memory still. Rejects with
   * MessageGoneError when it was removed.
   */
  async openBody(message: StoredMessage, recent: boolean = false): Promise<BodyStream> {
    const { id } = message.envelope
    try {
      return await this.#openBody(id, recent)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
    }
    this.refresh()
    return this.#openBody(id, recent)
  }

  group(id: MessageId, group: number): Group | undefined {
    const value = this.#indexes[shardOf(id)]?.get(groupKey(id, group))
    return value && decodeGroup(id, group, value)
  }

  /** The groups of one message that are left. */
  groupsOf(id: MessageId): Group[] {
    const groups: Group[] = []
    const { from, to } = idRange(GROUPS, id, id + 1)
    this.#indexes[shardOf(id)]?.scan(from, to, (key, start, _length, value, valueLength) => {
      return groups.push(decodeGroup(id, groupOf(key, start), value.subarray(0, valueLength))) > 0
    })
    return groups
  }

  /** All groups, shard by shard in order of id; read in chunks, with no snapshot held between them. */
  *groups(): Generator<Group> {
    for (const index of this.#indexes) {
      let rest: Rest = index && GROUPS
      while (index && rest) {
        const groups: Group[] = []
        index.refresh()
        rest = scanSome(index, rest, GROUPS_PER_CHUNK, (key, start, _length, value, valueLength) => {
          return groups.push(decodeGroup(idOf(key, start), groupOf(key, start), value.subarray(0, valueLength))) > 0
        })
        yield* groups
      }
    }
  }

  /** Closes body files that nobody reads; to be called once in a while. */
  closeIdle(): void {
    this.#files.closeIdle()
  }

  async close(): Promise<void> {
    this.#files.closeAll()
    for (const index of this.#indexes) await index?.close()
  }

  #record(id: MessageId): MessageRecord | undefined {
    const value = this.#indexes[shardOf(id)]?.get(messageKey(id))
    return value && decodeMessage(id, value)
  }

  async #openBody(id: MessageId, recent: boolean): Promise<BodyStream> {
    const record = this.#record(id)
    if (!record) throw new MessageGoneError(`message ${id} is gone`)
    assert(record.body.kind === 'extents', 'openBody of an inline message')
    const { extents } = record.body
    const paths: string[] = []
    const files: FileHandle[] = []
    const release = (): void => {
      for (const path of paths.splice(0)) this.#files.release(path)
    }
    try {
      for (const extent of extents) {
        const path = `${bodiesDirectory(this.#dataDir, shardOf(id))}/${segmentName(extent.segment)}`
        files.push(await this.#files.acquire(path))
        paths.push(path)
      }
    } catch (error) {
      release()
      throw error
    }
    return new ExtentStream(this.#disk, extents, files, recent, release)
  }
}
