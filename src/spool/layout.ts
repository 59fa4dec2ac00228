// Where things lie below the data directory, and `spool/meta.json`: format version and number of shards, fixed when made.

import { join } from 'node:path'
import type { SpoolFiles } from './disk.ts'
import { SHARDS_MAX } from './ids.ts'

const FORMAT = 2
const META_BYTES_MAX = 4096

export interface SpoolMeta {
  readonly format: number
  readonly shards: number
}

/** A shard has been made when its directory holds this. */
export const INDEX_FILE = 'data.mdb'

export function spoolDirectory(dataDir: string): string {
  return join(dataDir, 'spool')
}

export function shardDirectory(dataDir: string, shard: number): string {
  return join(dataDir, 'spool', String(shard).padStart(2, '0'))
}

export function bodiesDirectory(dataDir: string, shard: number): string {
  return join(shardDirectory(dataDir, shard), 'bodies')
}

export function eventsDirectory(dataDir: string, shard: number): string {
  return join(shardDirectory(dataDir, shard), 'events')
}

/** The spool on disk is not one that this program can use. */
export class SpoolFormatError extends Error {
  override readonly name = 'SpoolFormatError'
}

/** For a data directory in which no server was ever started. */
export function noSpool(dataDir: string): SpoolFormatError {
  return new SpoolFormatError(`no spool in ${dataDir}: the first start makes it, if this is the right configuration`)
}

function parseMeta(text: string): SpoolMeta {
  let meta: unknown
  try {
    meta = JSON.parse(text)
  } catch (error) {
    throw new SpoolFormatError('spool/meta.json is damaged', { cause: error })
  }
  const { format, shards } = (meta ?? {}) as { format?: unknown; shards?: unknown }
  if (format !== FORMAT) throw new SpoolFormatError(`spool/meta.json has format ${String(format)}, this program knows ${FORMAT}`)
  if (!Number.isInteger(shards) || (shards as number) < 1 || (shards as number) > SHARDS_MAX) {
    throw new SpoolFormatError(`spool/meta.json has ${String(shards)} shards, 1 to ${SHARDS_MAX} are possible`)
  }
  return { format, shards: shards as number }
}

/** undefined when there is no spool yet. */
export async function readMeta(files: SpoolFiles, dataDir: string): Promise<SpoolMeta | undefined> {
  const names = await files.list(spoolDirectory(dataDir))
  if (!names.includes('meta.json')) return undefined
  const file = await files.open(join(spoolDirectory(dataDir), 'meta.json'), 'read')
  try {
    const buffer = Buffer.alloc(META_BYTES_MAX)
    const bytes = await files.read(file, buffer, 0, buffer.length, 0)
    return parseMeta(buffer.toString('utf8', 0, bytes))
  } finally {
    await files.close(file)
  }
}

async function writeMeta(files: SpoolFiles, dataDir: string, meta: SpoolMeta): Promise<void> {
  const directory = spoolDirectory(dataDir)
  const text = Buffer.from(`${JSON.stringify(meta)}\n`)
  const file = await files.open(join(directory, 'meta.json.new'), 'write')
  try {
    await files.truncate(file, 0)
    await files.write(file, [text], 0)
    await files.datasync(file)
  } finally {
    await files.close(file)
  }
  await files.rename(join(directory, 'meta.json.new'), join(directory, 'meta.json'))
  await files.syncDirectory(directory)
}

/**
 * Makes the spool if there is none and says what it is. Main calls it before it starts owners: `shards` counts only
 * for a new one.
 */
export async function prepareSpool(files: SpoolFiles, dataDir: string, shards: number): Promise<SpoolMeta> {
  await files.mkdir(spoolDirectory(dataDir))
  await files.syncDirectory(dataDir)
  const found = await readMeta(files, dataDir)
  if (found) return found
  const meta = { format: FORMAT, shards }
  await writeMeta(files, dataDir, meta)
  return meta
}
