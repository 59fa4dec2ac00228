// The disk's simulated twin: SpoolOwner and SpoolReader run on it unchanged, and deterministically.
//
// - What is not synced may be lost: `crash` keeps a random part of unsynced bytes, forgets names whose directory was
//   not synced, and may bring back files that were unlinked without a sync.
// - An index commit is applied as a whole, a moment before it is acknowledged: a crash in between leaves it done.
// - With `latencyMs` operations take simulated time; without it they end in a microtask.
// - `withFaults` makes chosen operations of any disk fail, the real one included.

import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import type { FileHandle, IndexVisitor, IndexWriter, ScanOptions, SpoolDisk, SpoolIndex } from './disk.ts'
import { INDEX_FILE } from './layout.ts'

export interface MemoryDiskOptions {
  readonly random: Random
  /** Bytes that fit; default: any number. */
  readonly capacityBytes?: number
  /** Duration of each operation, by `clock`. */
  readonly latency?: { readonly clock: Clock; readonly ms: () => number }
}

function diskError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}

class FileNode {
  data: Buffer = Buffer.alloc(0)
  size = 0
  synced = 0
  /** Its directory was synced since it got its name. */
  named = false

  write(bytes: Buffer, position: number): void {
    const end = position + bytes.length
    if (end > this.data.length) {
      const grown = Buffer.alloc(Math.max(end, this.data.length * 2))
      this.data.copy(grown, 0, 0, this.size)
      this.data = grown
    }
    bytes.copy(this.data, position)
    this.size = Math.max(this.size, end)
    this.synced = Math.min(this.synced, position)
  }

  truncate(bytes: number): void {
    this.data.fill(0, bytes, this.size)
    this.size = bytes
    this.synced = Math.min(this.synced, bytes)
  }

  /** What a crash leaves: everything synced, and some of the rest. */
  survivor(random: Random): FileNode {
    const node = new FileNode()
    node.size = this.synced + random.below(this.size - this.synced + 1)
    node.data = Buffer.from(this.data.subarray(0, node.size))
    node.synced = node.size
    node.named = true
    return node
  }
}

/** Keys as latin1 strings: they sort as their bytes do. */
class MemoryTable {
  readonly values = new Map<string, Buffer>()
  bytes = 0
  #sorted: string[] | undefined

  put(key: string, value: Buffer): void {
    const old = this.values.get(key)
    if (old === undefined) this.#sorted = undefined
    this.bytes += value.length + key.length - (old === undefined ? 0 : old.length + key.length)
    this.values.set(key, value)
  }

  remove(key: string): void {
    const old = this.values.get(key)
    if (old === undefined) return
    this.#sorted = undefined
    this.bytes -= old.length + key.length
    this.values.delete(key)
  }

  keys(from: string, to: string): string[] {
    this.#sorted ??= [...this.values.keys()].toSorted()
    const all = this.#sorted
    return all.slice(lowerBound(all, from), lowerBound(all, to))
  }

  copy(): MemoryTable {
    const table = new MemoryTable()
    for (const [key, value] of this.values) table.put(key, value)
    return table
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}

const text = (key: Buffer): string => key.toString('latin1')

class MemoryIndex implements SpoolIndex {
  readonly #disk: MemoryDisk
  readonly #table: MemoryTable

  constructor(disk: MemoryDisk, table: MemoryTable) {
    this.#disk = disk
    this.#table = table
  }

  get(key: Buffer): Buffer | undefined {
    const value = this.#table.values.get(text(key))
    return value && Buffer.from(value)
  }

  scan(from: Buffer, to: Buffer, visit: IndexVisitor, options: ScanOptions = {}): void {
    const keys = this.#table.keys(text(from), text(to))
    for (const name of options.reverse ? keys.toReversed() : keys) {
      const key = Buffer.from(name, 'latin1')
      const value = options.keysOnly ? Buffer.alloc(0) : Buffer.from(this.#table.values.get(name) as Buffer)
      if (!visit(key, 0, key.length, value, value.length)) break
    }
  }

  count(from: Buffer, to: Buffer): number {
    return this.#table.keys(text(from), text(to)).length
  }

  async commit(write: (writer: IndexWriter) => void): Promise<void> {
    const edits: [string, Buffer | undefined][] = []
    let bytes = 0
    write({
      put: (key, value) => {
        bytes += key.length + value.length
        edits.push([text(key), value])
      },
      remove: (key) => edits.push([text(key), undefined]),
    })
    await this.#disk.pass()
    this.#disk.reserve(bytes, 'index')
    for (const [key, value] of edits) {
      if (value) this.#table.put(key, Buffer.from(value))
      else this.#table.remove(key)
    }
    await this.#disk.pass()
  }

  async reserve(_valueBytes: number, _edits: number, _newMail: boolean): Promise<void> {
    // `commit` finds out by itself.
  }

  refresh(): void {
    // Memory has one state only.
  }

  reusableBytes(): number {
    return 0
  }

  async close(): Promise<void> {
    await this.#disk.pass()
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

export class MemoryDisk implements SpoolDisk {
  readonly #options: MemoryDiskOptions
  #files = new Map<string, FileNode>()
  #tables = new Map<string, MemoryTable>()
  /** Unlinked, and the directory not synced since. */
  #ghosts = new Map<string, FileNode>()
  readonly #open = new Map<FileHandle, FileNode>()
  #nextHandle = 1
  #dead = false
  readonly #capacity: number
  #taken = 0

  constructor(options: MemoryDiskOptions) {
    this.#options = options
    this.#capacity = options.capacityBytes ?? Infinity
  }

  /** Power is cut: operations under way and later ones never end. Answers the disk as the next start finds it. */
  crash(): MemoryDisk {
    this.#dead = true
    const { random } = this.#options
    const next = new MemoryDisk(this.#options)
    for (const [path, node] of this.#ghosts) if (node.named && random.float() < 0.5) next.#files.set(path, node.survivor(random))
    for (const [path, node] of this.#files) if (node.named) next.#files.set(path, node.survivor(random))
    for (const [directory, table] of this.#tables) next.#tables.set(directory, table.copy())
    return next
  }

  /** Bytes that others use; Infinity is all that is left. */
  take(bytes: number): void {
    this.#taken = 0
    this.#taken = bytes === Infinity ? Math.max(0, this.#capacity - this.usedBytes) : bytes
  }

  get usedBytes(): number {
    let bytes = this.#taken
    for (const node of this.#files.values()) bytes += node.size
    for (const table of this.#tables.values()) bytes += table.bytes
    return bytes
  }

  /** One operation's time; never ends on a dead disk. */
  async pass(): Promise<void> {
    const { latency } = this.#options
    if (latency) await new Promise<void>((resolve) => latency.clock.after(latency.ms(), resolve))
    else await Promise.resolve()
    if (this.#dead) await new Promise<never>(() => undefined)
  }

  /** Throws ENOSPC when `bytes` more do not fit. */
  reserve(bytes: number, what: string): void {
    if (this.#capacity !== Infinity && this.usedBytes + bytes > this.#capacity) throw diskError('ENOSPC', what)
  }

  async open(path: string, mode: 'read' | 'write'): Promise<FileHandle> {
    await this.pass()
    let node = this.#files.get(path)
    if (!node) {
      if (mode === 'read') throw diskError('ENOENT', path)
      node = new FileNode()
      this.#files.set(path, node)
    }
    const handle = this.#nextHandle++
    this.#open.set(handle, node)
    return handle
  }

  async close(file: FileHandle): Promise<void> {
    await this.pass()
    if (!this.#open.delete(file)) throw diskError('EBADF', 'close')
  }

  async size(file: FileHandle): Promise<number> {
    await this.pass()
    return this.#node(file).size
  }

  async read(file: FileHandle, buffer: Buffer, at: number, length: number, position: number): Promise<number> {
    await this.pass()
    return this.readNow(file, buffer, at, length, position)
  }

  readNow(file: FileHandle, buffer: Buffer, at: number, length: number, position: number): number {
    const node = this.#node(file)
    return node.data.copy(buffer, at, position, Math.max(position, Math.min(position + length, node.size)))
  }

  async write(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<void> {
    await this.pass()
    const node = this.#node(file)
    let at = position
    for (const bytes of buffers) {
      this.reserve(bytes.length, 'write')
      node.write(bytes, at)
      at += bytes.length
    }
  }

  async datasync(file: FileHandle): Promise<void> {
    const node = this.#node(file)
    const { size } = node
    await this.pass()
    node.synced = Math.max(node.synced, Math.min(size, node.size))
  }

  async truncate(file: FileHandle, bytes: number): Promise<void> {
    await this.pass()
    this.#node(file).truncate(bytes)
  }

  async unlink(path: string): Promise<void> {
    await this.pass()
    const node = this.#files.get(path)
    if (!node) throw diskError('ENOENT', path)
    this.#files.delete(path)
    this.#ghosts.set(path, node)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.pass()
    const node = this.#files.get(from)
    if (!node) throw diskError('ENOENT', from)
    this.#files.delete(from)
    node.named = false
    this.#files.set(to, node)
  }

  async mkdir(_path: string): Promise<void> {
    await this.pass()
  }

  async list(path: string): Promise<string[]> {
    await this.pass()
    const names = [...this.#files.keys()].filter((name) => parentOf(name) === path).map((name) => name.slice(path.length + 1))
    if (this.#tables.has(path)) names.push(INDEX_FILE)
    return names.toSorted()
  }

  async syncDirectory(path: string): Promise<void> {
    await this.pass()
    for (const [name, node] of this.#files) if (parentOf(name) === path) node.named = true
    for (const name of this.#ghosts.keys()) if (parentOf(name) === path) this.#ghosts.delete(name)
  }

  async freeBytes(_path: string): Promise<number> {
    await this.pass()
    return this.#capacity === Infinity ? Number.MAX_SAFE_INTEGER : Math.max(0, this.#capacity - this.usedBytes)
  }

  async openIndex(directory: string, mode: 'read' | 'write'): Promise<SpoolIndex> {
    await this.pass()
    let table = this.#tables.get(directory)
    if (!table) {
      if (mode === 'read') throw diskError('ENOENT', directory)
      table = new MemoryTable()
      this.#tables.set(directory, table)
    }
    return new MemoryIndex(this, table)
  }

  turn(fn: () => void): void {
    queueMicrotask(fn)
  }

  #node(file: FileHandle): FileNode {
    const node = this.#open.get(file)
    if (!node) throw diskError('EBADF', 'file')
    return node
  }
}

export type DiskOperation = 'open' | 'write' | 'datasync' | 'truncate' | 'unlink' | 'rename' | 'mkdir' | 'syncDirectory' | 'commit'

/** Errno code of the failure that `operation` shall have now, or undefined to let it be. */
export type Fault = (operation: DiskOperation, path: string) => string | undefined

/** `disk`, with what `fault` says failing before it has any effect. Reads are left alone. */
export function withFaults(disk: SpoolDisk, fault: Fault): SpoolDisk {
  const paths = new Map<FileHandle, string>()
  const check = (operation: DiskOperation, path: string): void => {
    const code = fault(operation, path)
    if (code) throw diskError(code, `${operation} ${path} (injected)`)
  }
  const pathOf = (file: FileHandle): string => paths.get(file) ?? ''
  return {
    open: async (path, mode) => {
      if (mode === 'write') check('open', path)
      const file = await disk.open(path, mode)
      paths.set(file, path)
      return file
    },
    close: (file) => disk.close(file),
    size: (file) => disk.size(file),
    read: (file, buffer, at, length, position) => disk.read(file, buffer, at, length, position),
    readNow: (file, buffer, at, length, position) => disk.readNow(file, buffer, at, length, position),
    write: async (file, buffers, position) => {
      check('write', pathOf(file))
      await disk.write(file, buffers, position)
    },
    datasync: async (file) => {
      check('datasync', pathOf(file))
      await disk.datasync(file)
    },
    truncate: async (file, bytes) => {
      check('truncate', pathOf(file))
      await disk.truncate(file, bytes)
    },
    unlink: async (path) => {
      check('unlink', path)
      await disk.unlink(path)
    },
    rename: async (from, to) => {
      check('rename', to)
      await disk.rename(from, to)
    },
    mkdir: async (path) => {
      check('mkdir', path)
      await disk.mkdir(path)
    },
    list: (path) => disk.list(path),
    syncDirectory: async (path) => {
      check('syncDirectory', path)
      await disk.syncDirectory(path)
    },
    freeBytes: (path) => disk.freeBytes(path),
    openIndex: async (directory, mode) => faultyIndex(await disk.openIndex(directory, mode), () => check('commit', directory)),
    turn: (fn) => disk.turn(fn),
  }
}

function faultyIndex(index: SpoolIndex, check: () => void): SpoolIndex {
  return {
    get: (key) => index.get(key),
    scan: (from, to, visit, options) => index.scan(from, to, visit, options),
    count: (from, to) => index.count(from, to),
    reserve: (valueBytes, edits, newMail) => index.reserve(valueBytes, edits, newMail),
    commit: async (write) => {
      check()
      await index.commit(write)
    },
    refresh: () => index.refresh(),
    reusableBytes: () => index.reusableBytes(),
    close: () => index.close(),
  }
}
