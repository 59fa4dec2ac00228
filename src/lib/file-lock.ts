// An exclusive lock that the kernel releases when the process dies, however it dies. Main thread.
//
// Node has no flock(2); SQLite, which it brings, takes POSIX record locks on an otherwise empty file.

import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

export class FileLock {
  readonly #database: DatabaseSync

  private constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Takes the lock of `path`, or returns undefined when another process holds it. Other errors are thrown. */
  static take(path: string): FileLock | undefined {
    const database = new DatabaseSync(path)
    try {
      database.exec('PRAGMA busy_timeout=0; PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE')
    } catch (error) {
      database.close()
      if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined
      throw error
    }
    writeFileSync(`${path}.pid`, `${process.pid}\n`)
    return new FileLock(database)
  }

  /** The process that holds the lock of `path`, as it wrote it down; undefined when it did not get that far. */
  static holder(path: string): number | undefined {
    try {
      const pid = Number(readFileSync(`${path}.pid`, 'latin1'))
      return Number.isInteger(pid) && pid > 0 ? pid : undefined
    } catch {
      return undefined
    }
  }

  release(): void {
    this.#database.close()
  }
}
