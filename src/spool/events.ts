// Reads the event logs of all shards as one: in order of offset, while owners write them, or without a server.
//
// A line is held back for a moment, so that a shard that is a little later still comes first. One whose disk stalls for
// longer appears late, behind greater offsets: who resumes from an offset takes a margin and deduplicates by
// (id, recipient, attempt, type), as after a crash.

import type { Clock, Timer } from '../lib/clock.ts'
import { systemClock } from '../lib/clock.ts'
import type { FileHandle, SpoolDisk } from './disk.ts'
import { errorCode } from './disk.ts'
import { offsetOfLine, OFFSETS_A_MS, parseEventLine } from './eventline.ts'
import type { LoggedEvent } from './eventline.ts'
import { eventFileOffset, eventFiles } from './eventlog.ts'
import { idFromText, shardOf } from './ids.ts'
import { eventsDirectory, noSpool, readMeta } from './layout.ts'
import { nodeDisk } from './nodedisk.ts'

export type { LoggedEvent } from './eventline.ts'

/** One line of the log, without its line feed. */
export interface EventLine {
  readonly offset: number
  readonly line: string
}

export interface EventTailOptions {
  /** Default: the real ones. */
  readonly disk?: SpoolDisk
  readonly clock?: Clock
  /** The first offset wanted, or `end`: only what is written from now on. Default 0. */
  readonly from?: number | 'end'
  /** Default 200; 0 takes whatever is there. */
  readonly holdBackMs?: number
}

const READ_BYTES = 256 * 1024
const LINES_MAX = 1000
const HOLD_BACK_MS = 200
const POLL_MS = 200
/** How much of the log a history is looked for in. */
const HISTORY_BYTES_MAX = 1024 * 1024 * 1024
const LINE_FEED = 0x0a

/** undefined when the file was removed for its age meanwhile. */
async function openIfThere(disk: SpoolDisk, path: string): Promise<FileHandle | undefined> {
  try {
    return await disk.open(path, 'read')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Fills `buffer` from a file; answers the bytes read, 0 when the file was removed for its age meanwhile. */
async function readSome(disk: SpoolDisk, path: string, buffer: Buffer, position: number): Promise<number> {
  const file = await openIfThere(disk, path)
  if (!file) return 0
  try {
    return await disk.read(file, buffer, 0, buffer.length, position)
  } finally {
    await disk.close(file)
  }
}

/** A place in one shard's log. */
class ShardCursor {
  readonly #disk: SpoolDisk
  readonly #directory: string
  #name = ''
  #position = 0
  #from: number
  /** Read and not taken yet. */
  readonly lines: EventLine[] = []
  /** Everything written so far has been read. */
  atEnd = false

  constructor(disk: SpoolDisk, directory: string, from: number) {
    this.#disk = disk
    this.#directory = directory
    this.#from = from
  }

  /** Goes to the end of what is written. */
  async skip(): Promise<void> {
    const newest = (await eventFiles(this.#disk, this.#directory)).at(-1)
    if (newest === undefined) return
    this.#name = newest
    const file = await this.#disk.open(`${this.#directory}/${newest}`, 'read')
    this.#position = await this.#disk.size(file)
    await this.#disk.close(file)
  }

  /** Reads on, if all that was read has been taken. */
  async fill(): Promise<void> {
    if (this.lines.length > 0) return
    this.atEnd = false
    while (this.lines.length === 0 && !this.atEnd) {
      const names = await eventFiles(this.#disk, this.#directory)
      this.#name ||= this.#first(names)
      if (this.#name === '') this.atEnd = true
      else if (!(await this.#read())) this.#next(names)
    }
  }

  /** The last file that begins at or before the wanted offset. */
  #first(names: readonly string[]): string {
    return names.findLast((name) => eventFileOffset(name) <= this.#from) ?? names[0] ?? ''
  }

  /** After the end of a file: to its successor, when the listing from before reading its end shows one. */
  #next(names: readonly string[]): void {
    const next = names.find((name) => name > this.#name)
    if (next === undefined) this.atEnd = true
    else this.#name = next
    if (next !== undefined) this.#position = 0
  }

  /** Reads some lines; false when there is no further complete one. */
  async #read(): Promise<boolean> {
    const path = `${this.#directory}/${this.#name}`
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    const bytes = await readSome(this.#disk, path, buffer, this.#position)
    const end = buffer.subarray(0, bytes).lastIndexOf(LINE_FEED) + 1
    this.#position += end
    this.#take(buffer.toString('utf8', 0, end))
    return end > 0
  }

  #take(text: string): void {
    for (const line of text.split('\n')) {
      const offset = offsetOfLine(line)
      if (offset >= this.#from && offset > 0) this.lines.push({ offset, line })
    }
  }
}

export class EventTail {
  readonly #disk: SpoolDisk
  readonly #clock: Clock
  readonly #dataDir: string
  readonly #cursors: readonly ShardCursor[]
  readonly #holdBackMs: number
  #timer: Timer | undefined
  #wake: (() => void) | undefined
  #closed = false

  private constructor(dataDir: string, options: EventTailOptions, shards: number) {
    const { from = 0, holdBackMs = HOLD_BACK_MS } = options
    this.#disk = options.disk ?? nodeDisk
    this.#clock = options.clock ?? systemClock
    this.#dataDir = dataDir
    this.#holdBackMs = holdBackMs
    const first = from === 'end' ? 0 : from
    this.#cursors = Array.from({ length: shards }, (_, shard) => new ShardCursor(this.#disk, eventsDirectory(dataDir, shard), first))
  }

  /** Rejects with SpoolFormatError when there is no spool. */
  static async open(dataDir: string, options: EventTailOptions = {}): Promise<EventTail> {
    const meta = await readMeta(options.disk ?? nodeDisk, dataDir)
    if (!meta) throw noSpool(dataDir)
    const tail = new EventTail(dataDir, options, meta.shards)
    if (options.from === 'end') for (const cursor of tail.#cursors) await cursor.skip()
    return tail
  }

  /** The next lines in order of offset, at most `max`; none when there is nothing new (or not old enough). */
  async poll(max: number = LINES_MAX): Promise<EventLine[]> {
    const horizon = this.#holdBackMs > 0 ? (this.#clock.now() - this.#holdBackMs) * OFFSETS_A_MS : Infinity
    const taken: EventLine[] = []
    while (taken.length < max) {
      for (const cursor of this.#cursors) await cursor.fill()
      const next = this.#earliest()
      if (!next || (next.lines[0] as EventLine).offset > horizon) break
      takeRun(next, this.#limitFor(next, horizon), max, taken)
    }
    return taken
  }

  /** All lines from now on, as they come, until `close`. */
  async *follow(): AsyncGenerator<EventLine> {
    while (!this.#closed) {
      const lines = await this.poll()
      yield* lines
      if (lines.length === 0 && !this.#closed) await this.#pause()
    }
  }

  /** What became of one message, oldest first; looked for in the newest GiB of its shard's log. */
  async historyOf(id: string): Promise<LoggedEvent[]> {
    const number = idFromText(id)
    const shard = number < 0 ? -1 : shardOf(number)
    if (shard < 0 || shard >= this.#cursors.length) return []
    const directory = eventsDirectory(this.#dataDir, shard)
    const names = await eventFiles(this.#disk, directory)
    const history: LoggedEvent[] = []
    let left = HISTORY_BYTES_MAX
    for (const name of names.toReversed()) {
      if (left <= 0 || history.some((event) => event.type === 'reception')) break
      const found: LoggedEvent[] = []
      left -= await findIn(this.#disk, `${directory}/${name}`, id, found)
      history.unshift(...found)
    }
    return history
  }

  /** Ends `follow`. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#wake?.()
  }

  #earliest(): ShardCursor | undefined {
    let earliest: ShardCursor | undefined
    for (const cursor of this.#cursors) {
      const offset = cursor.lines[0]?.offset
      if (offset !== undefined && (!earliest || offset < (earliest.lines[0] as EventLine).offset)) earliest = cursor
    }
    return earliest
  }

  /** Up to where `next` may be taken without asking again: the first line of the others, and the horizon. */
  #limitFor(next: ShardCursor, horizon: number): number {
    let limit = horizon
    for (const cursor of this.#cursors) if (cursor !== next && cursor.lines[0]) limit = Math.min(limit, cursor.lines[0].offset)
    return limit
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#timer = this.#clock.after(POLL_MS, resolve)
    })
  }
}

/** Moves lines up to `limit` to `taken`. */
function takeRun(cursor: ShardCursor, limit: number, max: number, taken: EventLine[]): void {
  let n = 0
  while (n < cursor.lines.length && taken.length + n < max && (cursor.lines[n] as EventLine).offset <= limit) n++
  taken.push(...cursor.lines.splice(0, n))
}

/** Collects the events of one message from a file; answers the file's size, 0 when it was removed for its age meanwhile. */
async function findIn(disk: SpoolDisk, path: string, id: string, found: LoggedEvent[]): Promise<number> {
  const file = await openIfThere(disk, path)
  if (!file) return 0
  const needle = Buffer.from(`"id":"${id}"`)
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  let position = 0
  try {
    for (;;) {
      const bytes = await disk.read(file, buffer, 0, buffer.length, position)
      const end = buffer.subarray(0, bytes).lastIndexOf(LINE_FEED) + 1
      if (end === 0) return position
      collectLines(buffer.subarray(0, end), needle, found)
      position += end
    }
  } finally {
    await disk.close(file)
  }
}

function collectLines(lines: Buffer, needle: Buffer, found: LoggedEvent[]): void {
  for (let at = lines.indexOf(needle); at >= 0;) {
    const start = lines.lastIndexOf(LINE_FEED, at) + 1
    const end = lines.indexOf(LINE_FEED, at)
    const event = parseEventLine(lines.toString('utf8', start, end))
    if (event) found.push(event)
    at = lines.indexOf(needle, end)
  }
}
