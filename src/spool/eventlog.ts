// The event log of one shard: NDJSON files that are appended to, rotated and thrown away by age. Owner thread.
//
// - A file is named after the offset of its first line, so that a reader finds its place.
// - Lines of settlements are written and synced before the index commit they belong to; reception lines follow their
//   commit, unsynced, and are written again by the next start if a crash lost them. Consumers deduplicate by
//   (id, recipient, attempt, type).
// - A write that fails leaves a torn tail: it is cut off before the next write, or by the next start.

import type { Clock } from '../lib/clock.ts'
import type { FileHandle, SpoolFiles } from './disk.ts'
import { eventLine, nextOffset, offsetOfLine, OFFSETS_A_MS } from './eventline.ts'
import type { SpoolEvent, SpoolLog } from './ports.ts'

export interface EventLogOptions {
  readonly files: SpoolFiles
  readonly directory: string
  readonly shard: number
  readonly clock: Clock
  /** A file is closed at this size. */
  readonly fileBytes: number
  readonly retentionMs: number
  readonly log: SpoolLog
}

/** Unsynced lines are synced at the latest with the first write this long after the last sync. */
const SYNC_EVERY_MS = 1000
/** Lines waiting for the disk beyond this are dropped, and counted in the log. */
const PENDING_CHARACTERS_MAX = 4 * 1024 * 1024
const TAIL_BYTES = 64 * 1024

export function eventFileName(offset: number): string {
  return `${String(offset).padStart(16, '0')}.ndjson`
}

/** Offset of a file's first line, -1 for another name. */
export function eventFileOffset(name: string): number {
  return /^\d{16}\.ndjson$/.test(name) ? Number(name.slice(0, 16)) : -1
}

/** Names of the event files in a directory, oldest first. */
export async function eventFiles(files: SpoolFiles, directory: string): Promise<string[]> {
  const names = await files.list(directory)
  return names.filter((name) => eventFileOffset(name) >= 0)
}

/** Bytes `from` to `to` of a file, or as many as there are. */
export async function readRange(files: SpoolFiles, file: FileHandle, from: number, to: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(to - from)
  let at = 0
  while (at < buffer.length) {
    const n = await files.read(file, buffer, at, buffer.length - at, from + at)
    if (n === 0) break
    at += n
  }
  return buffer.subarray(0, at)
}

interface Tail {
  /** Bytes up to the end of the last good line. */
  readonly bytes: number
  /** Its offset, 0 when there is none. */
  readonly offset: number
}

/** The last complete event line within `bytes`, which end at `end` of the file. */
function lastLine(bytes: Buffer, end: number): Tail | undefined {
  let lineEnd = bytes.lastIndexOf(0x0a)
  while (lineEnd >= 0) {
    const lineStart = lineEnd === 0 ? 0 : bytes.lastIndexOf(0x0a, lineEnd - 1) + 1
    const offset = offsetOfLine(bytes.toString('utf8', lineStart, lineEnd))
    const whole = lineStart > 0 || bytes.length === end
    if (offset > 0 && whole) return { bytes: end - bytes.length + lineEnd + 1, offset }
    lineEnd = lineStart - 1
  }
  return undefined
}

/** Where the good lines of a file end: a crash leaves half a line, a power cut perhaps zeros. */
export async function findTail(files: SpoolFiles, file: FileHandle): Promise<Tail> {
  const size = await files.size(file)
  for (let window = TAIL_BYTES; ; window *= 4) {
    const from = Math.max(0, size - window)
    const found = lastLine(await readRange(files, file, from, size), size)
    if (found) return found
    if (from === 0) return { bytes: 0, offset: 0 }
  }
}

export class EventLog {
  readonly #options: EventLogOptions
  #file: FileHandle | undefined
  #bytes = 0
  #lastOffset = 0
  #pending = ''
  #dropped = 0
  #torn = false
  #dirty = false
  #syncedAt = 0
  #busy: Promise<void> = Promise.resolve()

  private constructor(options: EventLogOptions) {
    this.#options = options
  }

  static async open(options: EventLogOptions): Promise<EventLog> {
    const log = new EventLog(options)
    await options.files.mkdir(options.directory)
    await log.#recover()
    await log.#removeOld()
    return log
  }

  /** Notes lines that may be written later: with the next `write`, or the next `flush`. */
  append(events: readonly SpoolEvent[]): void {
    if (this.#pending.length > PENDING_CHARACTERS_MAX) {
      if (this.#dropped === 0) this.#options.log.error({ shard: this.#options.shard }, 'event log does not keep up, events are dropped')
      this.#dropped += events.length
      return
    }
    this.#pending += this.#lines(events)
  }

  /** Much waits for the disk: more should not come before that is written. */
  get isBehind(): boolean {
    return this.#pending.length > PENDING_CHARACTERS_MAX / 4
  }

  get hasPending(): boolean {
    return this.#pending !== ''
  }

  /** Writes what was noted, then `events`, and syncs all of it. When it rejects, what was noted is still noted. */
  write(events: readonly SpoolEvent[]): Promise<void> {
    return this.#inTurn(() => this.#write(events, true))
  }

  /** Writes what was noted; syncs it once in a while. When it rejects, it is still noted. */
  flush(): Promise<void> {
    return this.#inTurn(() => this.#write([], this.#options.clock.now() - this.#syncedAt >= SYNC_EVERY_MS))
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#write([], true))
    if (this.#file !== undefined) await this.#options.files.close(this.#file)
    this.#file = undefined
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#busy.then(work)
    this.#busy = result.catch(() => undefined)
    return result
  }

  #lines(events: readonly SpoolEvent[]): string {
    const now = this.#options.clock.now()
    let lines = ''
    for (const event of events) {
      this.#lastOffset = nextOffset(this.#lastOffset, now, this.#options.shard)
      lines += eventLine(this.#lastOffset, event)
    }
    return lines
  }

  async #write(events: readonly SpoolEvent[], sync: boolean): Promise<void> {
    const noted = this.#pending
    this.#pending = ''
    const text = noted + this.#lines(events)
    try {
      if (text !== '') await this.#put(Buffer.from(text, 'utf8'))
      if (sync && this.#dirty) await this.#sync()
      this.#tellDropped()
    } catch (error) {
      this.#torn = true
      this.#pending = noted + this.#pending
      throw error
    }
    if (text !== '') this.#bytes += Buffer.byteLength(text)
  }

  async #put(bytes: Buffer): Promise<void> {
    const { files, fileBytes } = this.#options
    if (this.#torn && this.#file !== undefined) await files.truncate(this.#file, this.#bytes)
    this.#torn = false
    if (this.#file === undefined || this.#bytes >= fileBytes) await this.#rotate(offsetOfLine(bytes.toString('latin1', 0, 40)))
    await files.write(this.#file as FileHandle, [bytes], this.#bytes)
    this.#dirty = true
  }

  async #sync(): Promise<void> {
    await this.#options.files.datasync(this.#file as FileHandle)
    this.#dirty = false
    this.#syncedAt = this.#options.clock.now()
  }

  async #rotate(firstOffset: number): Promise<void> {
    const { files, directory } = this.#options
    if (this.#dirty) await this.#sync()
    const file = await files.open(`${directory}/${eventFileName(firstOffset)}`, 'write')
    const old = this.#file
    // Before its first line: a synced line in a file without a name would be lost.
    await files.syncDirectory(directory)
    this.#file = file
    this.#bytes = 0
    if (old !== undefined) await files.close(old)
    await this.#removeOld()
  }

  /** A file is old when its successor's first line is. */
  async #removeOld(): Promise<void> {
    const { files, directory, clock, retentionMs, log } = this.#options
    const limit = (clock.now() - retentionMs) * OFFSETS_A_MS
    const names = await eventFiles(files, directory)
    for (let i = 0; i + 1 < names.length && eventFileOffset(names[i + 1] as string) < limit; i++) {
      try {
        await files.unlink(`${directory}/${names[i] as string}`)
      } catch (error) {
        log.warn({ file: names[i], error: String(error) }, 'old event file not removed')
      }
    }
  }

  #tellDropped(): void {
    if (this.#dropped > 0) this.#options.log.error({ shard: this.#options.shard, events: this.#dropped }, 'events were dropped')
    this.#dropped = 0
  }

  /** Goes on after the last good line of the newest file. */
  async #recover(): Promise<void> {
    const { files, directory } = this.#options
    const newest = (await eventFiles(files, directory)).at(-1)
    if (newest === undefined) return
    const file = await files.open(`${directory}/${newest}`, 'write')
    const tail = await findTail(files, file)
    if (tail.bytes < (await files.size(file))) await files.truncate(file, tail.bytes)
    this.#file = file
    this.#bytes = tail.bytes
    this.#lastOffset = Math.max(tail.offset, eventFileOffset(newest))
  }
}
