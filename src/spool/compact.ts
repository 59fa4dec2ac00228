// Copies the live bodies of a mostly dead segment to the current one, so that the file can go. Owner thread, background.

import type { SpoolDisk } from './disk.ts'
import type { Committer } from './committer.ts'
import { idToText } from './ids.ts'
import { readU56, segmentRange } from './keys.ts'
import type { StoredBody } from './record.ts'
import type { Extent } from './segments.ts'
import type { Shard } from './shard.ts'
import type { ChunkPool } from './slab.ts'
import type { MessageId } from './types.ts'

/** Messages with bytes in a segment. */
function idsIn(shard: Shard, segment: number): MessageId[] {
  const ids: MessageId[] = []
  const { from, to } = segmentRange(segment)
  shard.index.scan(from, to, (key, start) => ids.push(readU56(key, start + 8)) > 0)
  return ids
}

/** Copies one extent; the new ones are pinned. */
async function copyExtent(disk: SpoolDisk, shard: Shard, pool: ChunkPool, extent: Extent): Promise<Extent[]> {
  const file = await disk.open(shard.segments.path(extent.segment), 'read')
  const copies: Extent[] = []
  try {
    for (let done = 0; done < extent.length;) {
      const chunk = pool.takeLarge()
      const n = await disk.read(file, chunk, 0, Math.min(chunk.length, extent.length - done), extent.offset + done)
      if (n === 0) throw Object.assign(new Error(`body segment ${extent.segment} is too short`), { code: 'EIO' })
      // One chunk at a time: a large message must not fill the memory.
      await new Promise<void>((written) => copies.push(shard.segments.append(chunk.subarray(0, n), written)))
      pool.give(chunk)
      done += n
    }
  } catch (error) {
    for (const copy of copies) shard.segments.unpin(copy.segment)
    throw error
  } finally {
    await disk.close(file)
  }
  return copies
}

/** Moves what one message has in `segment`. */
async function moveMessage(shard: Shard, committer: Committer, pool: ChunkPool, segment: number, id: MessageId): Promise<void> {
  const body: StoredBody | undefined = shard.message(id)?.body
  if (body?.kind !== 'extents') return
  const extents: Extent[] = []
  const pins: number[] = []
  try {
    for (const extent of body.extents) {
      const copies = extent.segment === segment ? await copyExtent(shard.disk, shard, pool, extent) : [extent]
      if (extent.segment === segment) pins.push(...copies.map((copy) => copy.segment))
      extents.push(...copies)
    }
    const to: StoredBody = { kind: 'extents', extents }
    const moved = await new Promise<boolean>((done) => committer.repair({ kind: 'relocate', id, from: body, to, done }))
    if (!moved) throw new Error(`message ${idToText(id)} could not be moved`)
  } finally {
    for (const pin of pins) shard.segments.unpin(pin)
  }
}

/**
 * Afterwards nothing lives in `segment`, unless `stop` ended it early or a body could not be copied: then it rejects,
 * and the segment stays.
 */
export async function compactSegment(
  shard: Shard,
  committer: Committer,
  pool: ChunkPool,
  segment: number,
  stop: () => boolean,
): Promise<void> {
  for (const id of idsIn(shard, segment)) {
    if (stop()) return
    await moveMessage(shard, committer, pool, segment, id)
  }
}
