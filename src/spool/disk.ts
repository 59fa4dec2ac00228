// The disk as a port: files and an ordered index. nodedisk.ts is the real one, memory.ts the simulated twin.
//
// Errors are those of Node: an Error with `code` ('ENOSPC', 'EIO', 'ENOENT', …).

/** A file that is open; only the disk that made it can use it. */
export type FileHandle = number

export interface SpoolFiles {
  /** `read`: an existing file. `write`: read and write, made when missing. */
  open(path: string, mode: 'read' | 'write'): Promise<FileHandle>
  close(file: FileHandle): Promise<void>
  size(file: FileHandle): Promise<number>
  /** Resolves with the number of bytes read, 0 at the end of the file. */
  read(file: FileHandle, buffer: Buffer, at: number, length: number, position: number): Promise<number>
  /** The same at once, for what was written so lately that it is still in memory: a trip through the thread pool costs more. */
  readNow(file: FileHandle, buffer: Buffer, at: number, length: number, position: number): number
  /** Writes all of `buffers` from `position` on. They must not change until then. After an error any part may be written. */
  write(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<void>
  /** Contents and size are on disk afterwards. */
  datasync(file: FileHandle): Promise<void>
  truncate(file: FileHandle, bytes: number): Promise<void>
  unlink(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  mkdir(path: string): Promise<void>
  /** Names in a directory, sorted; none when there is no such directory. */
  list(path: string): Promise<string[]>
  /** Names made in a directory are on disk afterwards. */
  syncDirectory(path: string): Promise<void>
  /** Bytes that an unprivileged writer can still use. */
  freeBytes(path: string): Promise<number>
}

/** Called inside `SpoolIndex.commit` only. Keys are copied at once; values must not change until the commit has ended. */
export interface IndexWriter {
  put(key: Buffer, value: Buffer): void
  remove(key: Buffer): void
}

/**
 * Sees one entry during a scan; `key` and `value` are overwritten afterwards and may be longer than their lengths.
 * Returns false to stop. Must not call the index.
 */
export type IndexVisitor = (key: Buffer, keyStart: number, keyLength: number, value: Buffer, valueLength: number) => boolean

export interface ScanOptions {
  /** From the last key to the first. */
  readonly reverse?: boolean
  /** Values are not fetched: large ones lie on pages of their own. The visitor sees an empty one. */
  readonly keysOnly?: boolean
}

/** An ordered map of bytes to bytes with atomic, durable commits. One writer at a time. */
export interface SpoolIndex {
  /** A copy of the value that was last committed (to a reader: at the last `refresh`). */
  get(key: Buffer): Buffer | undefined
  /** Visits keys from `from` (inclusive) up to `to` (exclusive). */
  scan(from: Buffer, to: Buffer, visit: IndexVisitor, options?: ScanOptions): void
  count(from: Buffer, to: Buffer): number
  /**
   * Before `commit`: room on the disk for so many bytes of values in so many edits; with `newMail` some is left for
   * others. Rejects (ENOSPC) when there is none.
   */
  reserve(valueBytes: number, edits: number, newMail: boolean): Promise<void>
  /** Runs `write` at once; what it writes is one transaction. Resolves when that is on disk, rejects when none of it is. */
  commit(write: (writer: IndexWriter) => void): Promise<void>
  /** Lets `get` and `scan` see what others have committed. */
  refresh(): void
  /** Bytes inside the index's file that new data will use before the file grows. */
  reusableBytes(): number
  close(): Promise<void>
}

export interface SpoolDisk extends SpoolFiles {
  openIndex(directory: string, mode: 'read' | 'write'): Promise<SpoolIndex>
  /** Calls `fn` after what is under way in this turn of the event loop. */
  turn(fn: () => void): void
}

/** `code` of an error of the disk, '' when it has none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Resolves in the next turn. */
export function nextTurn(disk: SpoolDisk): Promise<void> {
  return new Promise((resolve) => disk.turn(resolve))
}
