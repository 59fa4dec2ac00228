// Append-only body files of a shard (and later of mailboxes): `<directory>/<number>.seg`. One writer.
//
// - `append` gives bytes their place at once; the pump writes what has gathered with one call at a time.
// - `sync` comes before the index commit that names the bytes: contents and directory entry are on disk then.
// - A segment that failed once is broken: never written or synced again (after a failed fdatasync the kernel may have
//   dropped the pages), and whatever was appended since its last sync must not be committed.
// - A pin holds a segment for bytes that no index entry names yet. A sealed segment without live bytes and pins is removed.
// - Numbers are never used twice: readers keep files open by number.

import { errorCode } from './disk.ts'
import type { FileHandle, SpoolFiles } from './disk.ts'
import type { SpoolLog } from './ports.ts'
import type { BodyShare, StoredBody } from './record.ts'

/** Where a run of body bytes lies. */
export interface Extent {
  readonly segment: number
  readonly offset: number
  readonly length: number
}

interface Segment {
  readonly number: number
  /** Bytes given away. */
  bytes: number
  live: number
  pins: number
  /** Appended chunks that are not written yet. */
  queued: number
  /** Syncs under way: the file must stay open. */
  syncing: number
  sealed: boolean
  /** Error code of its failure, '' while it works. */
  broken: string
  /** Has written bytes that are not synced. */
  dirty: boolean
  file: FileHandle | undefined
}

function makeSegment(number: number): Segment {
  return { number, bytes: 0, live: 0, pins: 0, queued: 0, syncing: 0, sealed: false, broken: '', dirty: false, file: undefined }
}

interface Chunk {
  readonly segment: Segment
  readonly offset: number
  readonly bytes: Buffer
  readonly written: () => void
}

interface Waiter {
  readonly target: number
  readonly resolve: () => void
}

export interface SegmentsOptions {
  readonly files: SpoolFiles
  readonly directory: string
  /** A segment is sealed at this size. */
  readonly segmentBytes: number
  /** A number that was never used before. */
  readonly takeNumber: () => number
  readonly log: SpoolLog
}

const WRITE_CHUNKS_MAX = 256
/** A sealed segment with less than this share of live bytes is worth copying. */
const COMPACT_BELOW = 0.25

export function segmentName(number: number): string {
  return `${String(number).padStart(8, '0')}.seg`
}

/** Number of a segment file, -1 for another name. */
export function segmentNumber(name: string): number {
  return /^\d{8,16}\.seg$/.test(name) ? Number(name.slice(0, -4)) : -1
}

/** What a body takes from each segment. */
export function sharesOf(body: StoredBody): Map<number, BodyShare> {
  const shares = new Map<number, BodyShare>()
  if (body.kind === 'inline') return shares
  for (const { segment, offset, length } of body.extents) {
    const share = shares.get(segment)
    shares.set(segment, { liveBytes: (share?.liveBytes ?? 0) + length, end: Math.max(share?.end ?? 0, offset + length) })
  }
  return shares
}

export class Segments {
  readonly #options: SegmentsOptions
  readonly #segments = new Map<number, Segment>()
  readonly #dirty = new Set<Segment>()
  #current: Segment | undefined
  #queue: Chunk[] = []
  #pumping = false
  #appended = 0
  #written = 0
  #waiters: Waiter[] = []
  #backlog = 0
  readonly #removals = new Set<Promise<void>>()

  constructor(options: SegmentsOptions) {
    this.#options = options
  }

  /** Bytes appended and not yet handed to the disk. */
  get backlogBytes(): number {
    return this.#backlog
  }

  get liveBytes(): number {
    let bytes = 0
    for (const segment of this.#segments.values()) bytes += segment.live
    return bytes
  }

  /** Takes over a segment of an earlier life; it is never appended to. */
  adopt(number: number, bytes: number, live: number): void {
    this.#segments.set(number, Object.assign(makeSegment(number), { bytes, live, sealed: true }))
  }

  /** Places `bytes` and pins their segment. They must not change until `written` is called, which happens on failure too. */
  append(bytes: Buffer, written: () => void): Extent {
    const segment = this.#open()
    const offset = segment.bytes
    segment.bytes += bytes.length
    segment.pins++
    segment.queued++
    if (segment.bytes >= this.#options.segmentBytes) this.#seal(segment)
    this.#queue.push({ segment, offset, bytes, written })
    this.#appended++
    this.#backlog += bytes.length
    if (!this.#pumping) void this.#pump()
    return { segment: segment.number, offset, length: bytes.length }
  }

  /** Ends the pin of one `append`. */
  unpin(number: number): void {
    const segment = this.#segments.get(number)
    if (!segment) return
    segment.pins--
    this.#collect(segment)
  }

  addLive(shares: ReadonlyMap<number, BodyShare>): void {
    for (const [number, share] of shares) {
      const segment = this.#segments.get(number)
      if (segment) segment.live += share.liveBytes
    }
  }

  removeLive(shares: ReadonlyMap<number, BodyShare>): void {
    for (const [number, share] of shares) {
      const segment = this.#segments.get(number)
      if (!segment) continue
      segment.live -= share.liveBytes
      this.#collect(segment)
    }
  }

  /** '' when all bytes of the extents can be trusted, which after `sync` means that they are on disk; else an error code. */
  failureOf(extents: readonly Extent[]): string {
    for (const { segment } of extents) {
      const broken = this.#segments.get(segment)?.broken ?? 'ENOENT'
      if (broken !== '') return broken
    }
    return ''
  }

  /** Everything appended before the call is on disk afterwards, or in a broken segment (see `failureOf`). Never rejects. */
  async sync(): Promise<void> {
    await this.#writtenUpTo(this.#appended)
    await Promise.all([...this.#dirty].map((segment) => this.#datasync(segment)))
  }

  /** On a full disk: what is dead in the segment that is being written comes back with it, not only when it is full. */
  seal(): void {
    const segment = this.#current
    if (!segment) return
    this.#seal(segment)
    this.#collect(segment)
  }

  /** A sealed segment that is mostly dead and has no more than `liveBytesMax` to copy, -1 when there is none. */
  compactable(liveBytesMax: number): number {
    for (const segment of this.#segments.values()) {
      const idle = segment.sealed && segment.pins === 0 && segment.queued === 0
      const worthIt = segment.live > 0 && segment.live < segment.bytes * COMPACT_BELOW
      if (idle && worthIt && segment.live <= liveBytesMax) return segment.number
    }
    return -1
  }

  /** Syncs and closes; what has no live bytes goes. */
  async close(): Promise<void> {
    await this.sync()
    for (const segment of this.#segments.values()) {
      this.#seal(segment)
      this.#collect(segment)
      await this.#closeFile(segment)
    }
    await Promise.all(this.#removals)
  }

  path(number: number): string {
    return `${this.#options.directory}/${segmentName(number)}`
  }

  #open(): Segment {
    if (this.#current) return this.#current
    const segment = makeSegment(this.#options.takeNumber())
    this.#segments.set(segment.number, segment)
    this.#current = segment
    return segment
  }

  #seal(segment: Segment): void {
    segment.sealed = true
    if (this.#current === segment) this.#current = undefined
  }

  #break(segment: Segment, error: unknown): void {
    this.#options.log.error({ segment: segment.number, error: String(error) }, 'body segment failed')
    segment.broken = errorCode(error) || 'EIO'
    this.#clean(segment)
    this.#seal(segment)
  }

  async #pump(): Promise<void> {
    this.#pumping = true
    while (this.#queue.length > 0) await this.#writeBatch(this.#takeBatch())
    this.#pumping = false
  }

  /** The chunks at the head of the queue that follow one another in one segment. */
  #takeBatch(): Chunk[] {
    const segment = this.#queue[0]?.segment
    let n = 0
    while (n < WRITE_CHUNKS_MAX && this.#queue[n]?.segment === segment) n++
    return this.#queue.splice(0, n)
  }

  async #writeBatch(batch: readonly Chunk[]): Promise<void> {
    const { segment, offset } = batch[0] as Chunk
    const buffers = batch.map((chunk) => chunk.bytes)
    if (segment.broken === '') {
      try {
        segment.file ??= await this.#create(segment)
        await this.#options.files.write(segment.file, buffers, offset)
        segment.dirty = true
        this.#dirty.add(segment)
      } catch (error) {
        this.#break(segment, error)
      }
    }
    segment.queued -= batch.length
    this.#written += batch.length
    for (const chunk of batch) {
      this.#backlog -= chunk.bytes.length
      chunk.written()
    }
    this.#wake()
    this.#collect(segment)
  }

  async #create(segment: Segment): Promise<FileHandle> {
    const { files, directory } = this.#options
    const file = await files.open(this.path(segment.number), 'write')
    segment.file = file
    await files.syncDirectory(directory)
    return file
  }

  #writtenUpTo(target: number): Promise<void> {
    if (this.#written >= target) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ target, resolve }))
  }

  #wake(): void {
    if (this.#waiters.length === 0) return
    const due = this.#waiters.filter((waiter) => waiter.target <= this.#written)
    this.#waiters = this.#waiters.filter((waiter) => waiter.target > this.#written)
    for (const waiter of due) waiter.resolve()
  }

  #clean(segment: Segment): void {
    segment.dirty = false
    this.#dirty.delete(segment)
  }

  async #datasync(segment: Segment): Promise<void> {
    this.#clean(segment)
    segment.syncing++
    try {
      await this.#options.files.datasync(segment.file as FileHandle)
    } catch (error) {
      this.#break(segment, error)
    }
    segment.syncing--
    const finished = segment.sealed && segment.queued === 0 && segment.syncing === 0 && !segment.dirty
    if (finished) await this.#closeFile(segment)
    this.#collect(segment)
  }

  async #closeFile(segment: Segment): Promise<void> {
    const { file } = segment
    segment.file = undefined
    if (file !== undefined) await this.#options.files.close(file)
  }

  /** Removes a sealed segment that nothing needs. */
  #collect(segment: Segment): void {
    if (!segment.sealed || segment.live > 0 || segment.pins > 0 || segment.queued > 0 || segment.syncing > 0) return
    if (!this.#segments.delete(segment.number)) return
    this.#clean(segment)
    const removal = this.#remove(segment).finally(() => this.#removals.delete(removal))
    this.#removals.add(removal)
  }

  async #remove(segment: Segment): Promise<void> {
    try {
      await this.#closeFile(segment)
      await this.#options.files.unlink(this.path(segment.number))
    } catch (error) {
      // It stays as an orphan that the next start removes.
      this.#options.log.warn({ segment: segment.number, error: String(error) }, 'body segment not removed')
    }
  }
}
