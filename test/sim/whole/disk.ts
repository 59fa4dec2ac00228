// The disk as one life of a thread sees it: what the kernel was told to do is done, but a dead thread hears nothing of it.

import type { FileHandle, SpoolDisk, SpoolIndex } from '../../../src/spool/disk.ts'
import type { Life } from './life.ts'

/** Resolves or rejects as `work` does while the thread lives, else never. */
async function within<T>(life: Life, work: Promise<T>): Promise<T> {
  life.underWay++
  try {
    return await work
  } finally {
    life.underWay--
    if (!life.alive) await new Promise<never>(() => undefined)
  }
}

export function diskOf(life: Life, disk: SpoolDisk, opened: (directory: string, index: SpoolIndex) => void): SpoolDisk {
  const run = <T>(work: Promise<T>): Promise<T> => within(life, work)
  return {
    open: (path, mode) => run(disk.open(path, mode)),
    close: (file: FileHandle) => run(disk.close(file)),
    size: (file) => run(disk.size(file)),
    read: (file, buffer, at, length, position) => run(disk.read(file, buffer, at, length, position)),
    readNow: (file, buffer, at, length, position) => disk.readNow(file, buffer, at, length, position),
    write: (file, buffers, position) => run(disk.write(file, buffers, position)),
    datasync: (file) => run(disk.datasync(file)),
    truncate: (file, bytes) => run(disk.truncate(file, bytes)),
    unlink: (path) => run(disk.unlink(path)),
    rename: (from, to) => run(disk.rename(from, to)),
    mkdir: (path) => run(disk.mkdir(path)),
    list: (path) => run(disk.list(path)),
    syncDirectory: (path) => run(disk.syncDirectory(path)),
    freeBytes: (path) => run(disk.freeBytes(path)),
    openIndex: async (directory, mode) => {
      const index = await run(disk.openIndex(directory, mode))
      opened(directory, index)
      return indexOf(life, index)
    },
    turn: (fn) => disk.turn(() => life.enter(fn)),
  }
}

function indexOf(life: Life, index: SpoolIndex): SpoolIndex {
  return {
    get: (key) => index.get(key),
    scan: (from, to, visit, options) => index.scan(from, to, visit, options),
    count: (from, to) => index.count(from, to),
    reserve: (valueBytes, edits, newMail) => within(life, index.reserve(valueBytes, edits, newMail)),
    commit: (write) => within(life, index.commit(write)),
    refresh: () => index.refresh(),
    reusableBytes: () => index.reusableBytes(),
    close: () => within(life, index.close()),
  }
}
