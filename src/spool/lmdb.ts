// The index on lmdb-js. Owner threads open it for writing, everybody else for reading.
//
// - `overlappingSync: false`: a commit resolves when it is on disk, not when it is visible.
// - One `batch` is one transaction. `eventTurnBatching: false`: with it lmdb-js makes a promise of its own for each turn,
//   which nobody can catch and which ends the process when a commit fails.
// - Scans decode from lmdb-js's shared buffer: copying each entry first costs six times as much.
// - Environments are shared inside a process and keep the flags of the first open: owners open before readers.

import { dirname, join } from 'node:path'
import { open } from 'lmdb'
import type { Database, RootDatabase } from 'lmdb'
import { atTurnEnd } from '../lib/turn.ts'
import type { IndexVisitor, IndexWriter, ScanOptions, SpoolFiles, SpoolIndex } from './disk.ts'
import { Headroom } from './headroom.ts'
import { INDEX_FILE, SpoolFormatError } from './layout.ts'

/** What a scan's decoder leaves behind for the visitor, instead of a copy. */
interface Shared {
  key: Buffer
  keyStart: number
  keyLength: number
  value: Buffer
  valueLength: number
}

const NOTHING = Buffer.alloc(0)

/** lmdb-js's page counts; its declaration says `{}`. */
interface Stats {
  readonly pageSize: number
  readonly entryCount: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
  readonly lastPageNumber: number
  readonly free: { readonly treeBranchPageCount: number; readonly treeLeafPageCount: number; readonly overflowPages: number }
}

const META_PAGES = 2
const PAGE_BYTES_MIN = 4096
/** LMDB's mark in a meta page, behind the page's own header. */
const MAGIC = 0xbeefc0de
const MAGIC_AT = 24
/** MDB_DATA_VERSION of the LMDB in lmdb-js, behind the mark. */
const FORMAT_VERSION = 2
const VERSION_AT = 28

/** LMDB passes on errno as a number. */
const ENOSPC = 28

function named(cause: Error): Error {
  const code = 'code' in cause && cause.code === ENOSPC ? 'ENOSPC' : 'EIO'
  return Object.assign(new Error(`index commit: ${cause.message}`, { cause }), { code })
}

/** The first error says only that the commit failed; its `commitError` says why, and must be caught too. */
async function commitFailure(error: unknown): Promise<Error> {
  const first = error instanceof Error ? error : new Error(String(error))
  const inner: unknown = 'commitError' in first ? first.commitError : undefined
  if (!(inner instanceof Promise)) return named(first)
  // lmdb-js leaves it pending for some codes: what is not known after a turn stays unknown.
  const unknown = new Promise<Error>((resolve) => atTurnEnd(() => resolve(first)))
  const why = inner.then(
    () => first,
    (cause: unknown) => (cause instanceof Error ? cause : first),
  )
  return named(await Promise.race([why, unknown]))
}

class LmdbIndex implements SpoolIndex {
  readonly #root: RootDatabase<Buffer, Buffer>
  readonly #view: Database<Buffer, Buffer>
  readonly #shared: Shared
  readonly #writer: IndexWriter
  /** Owners only. */
  #headroom: Headroom | undefined

  constructor(root: RootDatabase<Buffer, Buffer>, view: Database<Buffer, Buffer>, shared: Shared) {
    this.#root = root
    this.#view = view
    this.#shared = shared
    this.#writer = {
      put: (key, value) => void root.put(key, value),
      remove: (key) => void root.remove(key),
    }
  }

  get(key: Buffer): Buffer | undefined {
    return this.#root.getBinary(key)
  }

  scan(from: Buffer, to: Buffer, visit: IndexVisitor, options: ScanOptions = {}): void {
    const shared = this.#shared
    const { reverse = false, keysOnly = false } = options
    const range = reverse ? { start: to, end: from, reverse, exclusiveStart: true, inclusiveEnd: true } : { start: from, end: to }
    shared.value = NOTHING
    shared.valueLength = 0
    for (const _ of keysOnly ? this.#view.getKeys(range) : this.#view.getRange(range)) {
      if (!visit(shared.key, shared.keyStart, shared.keyLength, shared.value, shared.valueLength)) break
    }
  }

  count(from: Buffer, to: Buffer): number {
    return this.#root.getKeysCount({ start: from, end: to })
  }

  async commit(write: (writer: IndexWriter) => void): Promise<void> {
    // Our own snapshot must not keep pages from being used again.
    this.#root.resetReadTxn()
    try {
      await this.#root.batch(() => write(this.#writer))
    } catch (error) {
      throw await commitFailure(error)
    }
    this.#root.resetReadTxn()
  }

  refresh(): void {
    this.#root.resetReadTxn()
  }

  reusableBytes(): number {
    const stats = this.#root.getStats() as Stats
    const used = stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages
    const list = stats.free.treeBranchPageCount + stats.free.treeLeafPageCount + stats.free.overflowPages
    const pages = Math.max(0, stats.lastPageNumber + 1 - META_PAGES - used - list)
    return pages * stats.pageSize + (this.#headroom?.bytes ?? 0)
  }

  /** For the writer: `file` is where LMDB keeps its pages. Slots of readers that died are freed too. */
  async makeRoom(files: SpoolFiles, file: string): Promise<void> {
    this.#root.readerCheck()
    this.#headroom = await Headroom.open(files, file, () => {
      const stats = this.#root.getStats() as Stats
      return (stats.lastPageNumber + 1) * stats.pageSize
    })
  }

  async reserve(valueBytes: number, edits: number, newMail: boolean): Promise<void> {
    await this.#headroom?.reserve(valueBytes, edits, newMail)
  }

  async close(): Promise<void> {
    await this.#headroom?.close()
    await this.#root.close()
  }
}

/** lmdb-js says what is wrong, but not where; with `path` and `syscall` the error is one of the file system, like Node's. */
export function openError(path: string, error: unknown, hint = ''): Error {
  const why = error instanceof Error ? error.message : String(error)
  return Object.assign(new Error(`${path} cannot be opened: ${why}${hint}`, { cause: error }), { path, syscall: 'open' })
}

function openRoot(directory: string, mode: 'read' | 'write'): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({
    path: directory,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    overlappingSync: false,
    eventTurnBatching: false,
    noMemInit: true,
    maxDbs: 1,
    maxReaders: 512,
    readOnly: mode === 'read',
  })
}

/**
 * LMDB maps the file and believes it: one that is none of its own takes the process along, and so does lmdb-js when it
 * opens one of another version. A writer makes an empty one anew, as after a crash in the first moment of a shard.
 */
export async function checkHead(files: SpoolFiles, path: string, mode: 'read' | 'write'): Promise<void> {
  const names = await files.list(dirname(path))
  if (!names.includes(INDEX_FILE)) return
  const file = await files.open(path, 'read')
  try {
    const head = Buffer.alloc(VERSION_AT + 2)
    const size = await files.size(file)
    const count = await files.read(file, head, 0, head.length, 0)
    const isIndex = count === head.length && head.readUInt32LE(MAGIC_AT) === MAGIC && size >= META_PAGES * PAGE_BYTES_MIN
    if (!isIndex && (size > 0 || mode === 'read')) throw new SpoolFormatError(`${path} is damaged: it does not begin like an index`)
    const version = head.readUInt16LE(VERSION_AT)
    if (isIndex && version !== FORMAT_VERSION)
      throw new SpoolFormatError(`${path} has version ${version} of LMDB's format; ${FORMAT_VERSION} is known`)
  } finally {
    await files.close(file)
  }
}

/** Opens `directory`; `files` extends the data file ahead of the writer. */
export async function openLmdb(directory: string, mode: 'read' | 'write', files: SpoolFiles): Promise<SpoolIndex> {
  const shared: Shared = { key: NOTHING, keyStart: 0, keyLength: 0, value: NOTHING, valueLength: 0 }
  await checkHead(files, join(directory, INDEX_FILE), mode)
  let index: LmdbIndex
  try {
    const root = openRoot(directory, mode)
    index = new LmdbIndex(root, openView(root, shared), shared)
  } catch (error) {
    const hint = mode === 'write' ? ' (has a reader of this process opened it before its owner?)' : ''
    throw openError(directory, error, hint)
  }
  if (mode === 'write') await index.makeRoom(files, `${directory}/${INDEX_FILE}`)
  return index
}

/** The same records again through a decoder that only notes where they lie. */
function openView(root: RootDatabase<Buffer, Buffer>, shared: Shared): Database<Buffer, Buffer> {
  const keyEncoder = {
    writeKey: (key: Buffer, target: Buffer, start: number): number => {
      target.set(key, start)
      return start + key.length
    },
    readKey: (target: Buffer, start: number, end: number): number => {
      shared.key = target
      shared.keyStart = start
      shared.keyLength = end - start
      return 0
    },
  }
  const encoder = {
    encode: (value: Buffer): Buffer => value,
    decode: (bytes: Buffer, length: number): number => {
      shared.value = bytes
      shared.valueLength = length
      return 0
    },
  }
  return root.openDB<Buffer, Buffer>(null as unknown as string, { keyEncoder, encoder } as object)
}
