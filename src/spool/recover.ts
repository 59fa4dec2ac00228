// What a start does about what a crash left in bodies and index: torn segment tails, orphan segments, stray messages.
// The event log cuts its own tail (eventlog.ts); lost reception lines come back by receptions.ts. Owner thread.

import type { Clock } from '../lib/clock.ts'
import type { SpoolDisk, SpoolFiles, SpoolIndex } from './disk.ts'
import { messageId } from './ids.ts'
import { BODIES, GROUPS, idOf, idRange, MESSAGES, readU56 } from './keys.ts'
import type { SpoolLog } from './ports.ts'
import { decodeShare } from './record.ts'
import { scanSome } from './scan.ts'
import type { Rest } from './scan.ts'
import { segmentName, segmentNumber } from './segments.ts'
import type { Segments } from './segments.ts'
import type { Shard } from './shard.ts'
import type { MessageId } from './types.ts'

interface Live {
  bytes: number
  end: number
}

/** Live bytes and end of the live part of each segment, from the B records. */
export function liveSegments(index: SpoolIndex): Map<number, Live> {
  const segments = new Map<number, Live>()
  index.scan(BODIES.from, BODIES.to, (key, start, _length, value) => {
    const share = decodeShare(value)
    const number = readU56(key, start + 1)
    const live = segments.get(number)
    if (live) {
      live.bytes += share.liveBytes
      live.end = Math.max(live.end, share.end)
    } else {
      segments.set(number, { bytes: share.liveBytes, end: share.end })
    }
    return true
  })
  return segments
}

/** Removes segments that no message needs; cuts bytes behind the last live one: their messages were never committed. */
export async function recoverSegments(
  disk: SpoolDisk,
  directory: string,
  index: SpoolIndex,
  segments: Segments,
  log: SpoolLog,
): Promise<void> {
  const live = liveSegments(index)
  for (const name of await disk.list(directory)) {
    const number = segmentNumber(name)
    if (number < 0) continue
    const found = live.get(number)
    live.delete(number)
    if (!found) await disk.unlink(`${directory}/${name}`)
    else segments.adopt(number, await cutTail(disk, `${directory}/${name}`, found.end, log), found.bytes)
  }
  for (const number of live.keys()) log.error({ segment: segmentName(number) }, 'body segment is missing: messages have lost their bodies')
}

/** Answers the size. */
async function cutTail(files: SpoolFiles, path: string, end: number, log: SpoolLog): Promise<number> {
  const file = await files.open(path, 'write')
  try {
    const size = await files.size(file)
    if (size > end) await files.truncate(file, end)
    if (size < end) log.error({ path, bytes: size, expected: end }, 'body segment is too short: messages have lost their bodies')
    return Math.min(size, end)
  } finally {
    await files.close(file)
  }
}

/** Messages looked at in one go; then there is a rest: nobody waits for this. */
const CHUNK = 500
const REST_MS = 20

/** Messages of a piece of the index that have no group. */
function straysAmong(index: SpoolIndex, ids: readonly MessageId[]): MessageId[] {
  const first = ids[0]
  const last = ids.at(-1)
  if (first === undefined || last === undefined) return []
  const stray = new Set(ids)
  const { from, to } = idRange(GROUPS, first, last + 1)
  index.scan(from, to, (key, start) => stray.delete(idOf(key, start)) || true, { keysOnly: true })
  return [...stray]
}

/**
 * Finds messages without groups. A commit never leaves one; they would come from a bug or a damaged index, and nobody
 * else would ever remove them.
 */
export async function sweepStrays(
  shard: Shard,
  clock: Clock,
  below: MessageId,
  drop: (id: MessageId) => Promise<boolean>,
  stop: () => boolean,
): Promise<number> {
  let dropped = 0
  let rest: Rest = idRange(MESSAGES, messageId(shard.number, 0), below)
  while (rest && !stop()) {
    const ids: MessageId[] = []
    rest = scanSome(shard.index, rest, CHUNK, (key, start) => ids.push(idOf(key, start)) > 0, { keysOnly: true })
    for (const id of straysAmong(shard.index, ids)) {
      if (await drop(id)) dropped++
    }
    await new Promise<void>((resolve) => clock.after(REST_MS, resolve))
  }
  return dropped
}
