// The real disk: node:fs for files, lmdb.ts for the index.

import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { atTurnEnd } from '../lib/turn.ts'
import type { FileHandle, SpoolDisk, SpoolFiles } from './disk.ts'
import { openLmdb } from './lmdb.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

const open = promisify(fs.open)
const close = promisify(fs.close)
const fstat = promisify(fs.fstat)
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)
const ftruncate = promisify(fs.ftruncate)

function read(file: FileHandle, buffer: Buffer, at: number, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(file, buffer, at, length, position, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)))
  })
}

function writeSome(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.writev(file, buffers, position, (error, written) => (error ? reject(error) : resolve(written)))
  })
}

/** What is left of `buffers` after their first `written` bytes. */
function rest(buffers: readonly Buffer[], written: number): Buffer[] {
  const left: Buffer[] = []
  let skip = written
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length
    else {
      left.push(skip > 0 ? buffer.subarray(skip) : buffer)
      skip = 0
    }
  }
  return left
}

/** A nearly full disk takes a part of a write and answers ENOSPC to the next. */
async function write(file: FileHandle, buffers: readonly Buffer[], position: number): Promise<void> {
  let left = buffers
  let at = position
  while (left.length > 0) {
    const written = await writeSome(file, left, at)
    at += written
    left = rest(left, written)
  }
}

async function list(path: string): Promise<string[]> {
  try {
    const names = await fs.promises.readdir(path)
    return names.toSorted()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await fsync(directory)
  } finally {
    await close(directory)
  }
}

const WRITE = fs.constants.O_RDWR | fs.constants.O_CREAT

const files: SpoolFiles = {
  open: (path, mode) => open(path, mode === 'read' ? 'r' : WRITE, FILE_MODE),
  close: (file) => close(file),
  size: async (file) => (await fstat(file)).size,
  read,
  readNow: (file, buffer, at, length, position) => fs.readSync(file, buffer, at, length, position),
  write,
  datasync: (file) => fdatasync(file),
  truncate: (file, bytes) => ftruncate(file, bytes),
  unlink: (path) => fs.promises.unlink(path),
  rename: (from, to) => fs.promises.rename(from, to),
  mkdir: async (path) => void (await fs.promises.mkdir(path, { recursive: true, mode: DIRECTORY_MODE })),
  list,
  syncDirectory,
  freeBytes: async (path) => {
    const stats = await fs.promises.statfs(path)
    return stats.bavail * stats.bsize
  },
}

export const nodeDisk: SpoolDisk = {
  ...files,
  openIndex: (directory, mode) => openLmdb(directory, mode, files),
  turn: atTurnEnd,
}
