// Keys of a shard's index. Pure.
//
//   M id(7)            message: envelope and inline body or extents
//   R id(7) group(2)   group: queue row and pending recipients
//   C id(7)            number of groups left, of messages that began with more than one
//   B segment(7) id(7) a message's bytes in a body segment: liveness and compaction without reading messages
//   H                  high-water marks that ids and segment numbers stay below, and how many messages and groups there are
//
// Numbers are big-endian, so that keys sort as they do. The functions return one scratch buffer each, valid until
// their next call: the index copies keys at once.

import type { MessageId } from './types.ts'

const MESSAGE = 0x4d
const GROUP = 0x52
const LEFT = 0x43
const BODY = 0x42
const HIGH = 0x48

const U32 = 0x1_0000_0000

function writeU56(key: Buffer, at: number, n: number): void {
  const high = Math.floor(n / U32)
  const low = n >>> 0
  key[at] = high >>> 16
  key[at + 1] = high >>> 8
  key[at + 2] = high
  key[at + 3] = low >>> 24
  key[at + 4] = low >>> 16
  key[at + 5] = low >>> 8
  key[at + 6] = low
}

/** The 7-byte number at `at` of a key. */
export function readU56(key: Buffer, at: number): number {
  const high = ((key[at] as number) << 16) | ((key[at + 1] as number) << 8) | (key[at + 2] as number)
  const low =
    (((key[at + 3] as number) << 24) | ((key[at + 4] as number) << 16) | ((key[at + 5] as number) << 8) | (key[at + 6] as number)) >>> 0
  return high * U32 + low
}

function scratch(prefix: number, bytes: number): Buffer {
  const key = Buffer.alloc(bytes)
  key[0] = prefix
  return key
}

const messageScratch = scratch(MESSAGE, 8)
const groupScratch = scratch(GROUP, 10)
const leftScratch = scratch(LEFT, 8)
const bodyScratch = scratch(BODY, 15)

export function messageKey(id: MessageId): Buffer {
  writeU56(messageScratch, 1, id)
  return messageScratch
}

export function groupKey(id: MessageId, group: number): Buffer {
  writeU56(groupScratch, 1, id)
  groupScratch[8] = group >>> 8
  groupScratch[9] = group
  return groupScratch
}

export function leftKey(id: MessageId): Buffer {
  writeU56(leftScratch, 1, id)
  return leftScratch
}

export function bodyKey(segment: number, id: MessageId): Buffer {
  writeU56(bodyScratch, 1, segment)
  writeU56(bodyScratch, 8, id)
  return bodyScratch
}

export const HIGH_KEY: Buffer = Buffer.of(HIGH)

/** Id of an M, R or C key that begins at `start`. */
export function idOf(key: Buffer, start: number): MessageId {
  return readU56(key, start + 1)
}

export function groupOf(key: Buffer, start: number): number {
  return ((key[start + 8] as number) << 8) | (key[start + 9] as number)
}

/** From the first to after the last key of a kind. Buffers of their own, to be kept. */
export interface KeyRange {
  readonly from: Buffer
  readonly to: Buffer
}

const range = (prefix: number): KeyRange => ({ from: Buffer.of(prefix), to: Buffer.of(prefix + 1) })

export const MESSAGES: KeyRange = range(MESSAGE)
export const GROUPS: KeyRange = range(GROUP)
export const LEFTS: KeyRange = range(LEFT)
export const BODIES: KeyRange = range(BODY)

/** Keys of `kind` whose id is `from` or above and below `to`. */
export function idRange(kind: KeyRange, from: MessageId, to: MessageId): KeyRange {
  const start = scratch(kind.from[0] as number, 8)
  const end = scratch(kind.from[0] as number, 8)
  writeU56(start, 1, from)
  writeU56(end, 1, to)
  return { from: start, to: end }
}

/** Keys of the bodies in one segment. */
export function segmentRange(segment: number): KeyRange {
  return idRange(BODIES, segment, segment + 1)
}
