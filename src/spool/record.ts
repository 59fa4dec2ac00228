// Values of the index: messages and groups as bytes. Pure.
//
// M: version u8, kind u8 (0 inline, 1 extents), metaBytes u32, meta (msgpack array), then the body or the extents
//    (msgpack array of segment, offset, length, …).
// R: a fixed header with everything of a QueueRow, domain, tenant, then lastReply and the pending recipients (msgpack);
//    after an attempt also its peer and what each of them was told.
//    A restart reads a million of them: the row is made without touching the msgpack part.
// Little-endian. The version is asserted on reading: another one is another program's spool.

import { Packr, Unpackr } from 'msgpackr'
import { assert } from '../lib/assert.ts'
import type { Extent } from './segments.ts'
import { TextCache } from './textcache.ts'
import type { Envelope, Group, MessageId, QueueClass, QueueRow, Recipient, SpoolReply } from './types.ts'

const VERSION = 1

const packr = new Packr({ useRecords: false, variableMapSize: true })
const unpackr = new Unpackr({ useRecords: false })

function unpackArray(bytes: Buffer): unknown[] {
  const value: unknown = unpackr.unpack(bytes)
  assert(Array.isArray(value), 'spool record is not an array')
  return value
}

function text(value: unknown): string {
  assert(typeof value === 'string', 'spool record: text expected')
  return value
}

function number(value: unknown): number {
  assert(typeof value === 'number', 'spool record: number expected')
  return value
}

// Messages

const MESSAGE_HEADER = 6
const INLINE = 0
const EXTENTS = 1

function packEnvelope(e: Envelope): Buffer {
  const fixed = [e.acceptedAt, e.sender, e.flags, e.bytes, e.envid, e.tenant, e.account, e.client, e.priority, e.deliverBy]
  return packr.pack([...fixed, e.releaseAt ?? 0, e.class ?? null, e.holdForSeconds ?? 0])
}

function unpackEnvelope(id: MessageId, bytes: Buffer): Envelope {
  const m = unpackArray(bytes)
  const releaseAt = number(m[10])
  const holdForSeconds = number(m[12] ?? 0)
  return {
    id,
    acceptedAt: number(m[0]),
    sender: text(m[1]),
    flags: number(m[2]),
    bytes: number(m[3]),
    envid: text(m[4]),
    tenant: text(m[5]),
    account: text(m[6]),
    client: text(m[7]),
    priority: number(m[8]),
    deliverBy: number(m[9]),
    ...(releaseAt > 0 ? { releaseAt } : undefined),
    ...(holdForSeconds > 0 ? { holdForSeconds } : undefined),
    ...(m[11] === null ? undefined : { class: number(m[11]) as QueueClass }),
  }
}

/** Where encoded values are written: memory that stays until the commit has ended. */
export interface ValueSpace {
  /** A buffer of exactly `bytes` bytes. */
  take(bytes: number): Buffer
}

function messageHeader(value: Buffer, kind: number, meta: Buffer): void {
  value[0] = VERSION
  value[1] = kind
  value.writeUInt32LE(meta.length, 2)
  meta.copy(value, MESSAGE_HEADER)
}

/** `body[0..bytes)` is the whole body. */
export function encodeInline(space: ValueSpace, envelope: Envelope, body: Buffer, bytes: number): Buffer {
  const meta = packEnvelope(envelope)
  const value = space.take(MESSAGE_HEADER + meta.length + bytes)
  messageHeader(value, INLINE, meta)
  body.copy(value, MESSAGE_HEADER + meta.length, 0, bytes)
  return value
}

export function encodeExtents(space: ValueSpace, envelope: Envelope, extents: readonly Extent[]): Buffer {
  const meta = packEnvelope(envelope)
  const packed = packr.pack(extents.flatMap((extent) => [extent.segment, extent.offset, extent.length]))
  const value = space.take(MESSAGE_HEADER + meta.length + packed.length)
  messageHeader(value, EXTENTS, meta)
  packed.copy(value, MESSAGE_HEADER + meta.length)
  return value
}

export type StoredBody =
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'extents'; readonly extents: readonly Extent[] }

export interface MessageRecord {
  readonly envelope: Envelope
  readonly body: StoredBody
}

function unpackExtents(bytes: Buffer): Extent[] {
  const flat = unpackArray(bytes)
  const extents: Extent[] = []
  for (let i = 0; i < flat.length; i += 3) {
    extents.push({ segment: number(flat[i]), offset: number(flat[i + 1]), length: number(flat[i + 2]) })
  }
  return extents
}

/** `value` is kept by the result when the body is inline. */
export function decodeMessage(id: MessageId, value: Buffer): MessageRecord {
  assert(value[0] === VERSION, 'message record of an unknown version')
  const bodyAt = MESSAGE_HEADER + value.readUInt32LE(2)
  const envelope = unpackEnvelope(id, value.subarray(MESSAGE_HEADER, bodyAt))
  const rest = value.subarray(bodyAt)
  const body: StoredBody = value[1] === INLINE ? { kind: 'inline', bytes: rest } : { kind: 'extents', extents: unpackExtents(rest) }
  return { envelope, body }
}

/** The envelope alone, from an entry that a scan shows. */
export function decodeEnvelope(id: MessageId, value: Buffer): Envelope {
  assert(value[0] === VERSION, 'message record of an unknown version')
  return unpackEnvelope(id, value.subarray(MESSAGE_HEADER, MESSAGE_HEADER + value.readUInt32LE(2)))
}

// Groups

const HELD = 1
const HAS_EXTENTS = 2
const ALONE = 4
const TRACED = 8
const CLASS_SHIFT = 4
const CLASS_MASK = 3
const TIMED = 64

const GROUP_HEADER = 64

const names = new TextCache()

/** A group as the owner handles it. */
export interface GroupRecord extends Group {
  /** The message's body lies in segments. */
  readonly hasExtents: boolean
  /** The message has no other group, and no C record. */
  readonly alone: boolean
  /** The message has a DELIVERBY time: relaying it to where that is unknown is reported (RFC 2852 §4.1.4.2). */
  readonly timed: boolean
  /** DELIVERBY asked for a trace: relaying is reported (RFC 2852 §4). */
  readonly traced: boolean
  /** Peer of the last attempt, `host[address]:port`; '' before the first and when no connection was made. */
  readonly lastPeer: string
  /** Start of the attempt that ended at `lastAttemptAt`; both together tell a settlement that is sent again. */
  readonly lastStartedAt: number
}

/** Recipient.apart and Recipient.struck, beside the bits of Recipient.notify. */
const APART = 16
const STRUCK = 32

function flagsOf(group: GroupRecord): number {
  const { held, hasExtents, alone, traced, timed } = group
  const bits = (held ? HELD : 0) | (hasExtents ? HAS_EXTENTS : 0) | (alone ? ALONE : 0) | (traced ? TRACED : 0) | (timed ? TIMED : 0)
  return bits | (group.class << CLASS_SHIFT)
}

function packRest(group: GroupRecord): Buffer {
  const rest: (string | number)[] = [group.lastReply]
  for (const { address, notify, orcpt, apart, struck } of group.pending)
    rest.push(address, notify | (apart ? APART : 0) | (struck ? STRUCK : 0), orcpt)
  if (group.lastPeer !== '' || group.pending.some(({ last }) => last)) packReplies(group, rest)
  return packr.pack(rest)
}

/** The peer, for each recipient the number of its reply (0: none), and the replies: most recipients were told the same. */
function packReplies({ lastPeer, pending }: GroupRecord, rest: (string | number)[]): void {
  const numbers = new Map<string, number>()
  const replies: (string | number)[] = []
  rest.push(lastPeer)
  for (const { last } of pending) {
    const key = last ? `${last.code} ${last.enhanced} ${last.text}` : ''
    const known = last ? numbers.get(key) : 0
    rest.push(known ?? numbers.size + 1)
    if (!last || known) continue
    numbers.set(key, numbers.size + 1)
    replies.push(last.code, last.enhanced, last.text)
  }
  rest.push(...replies)
}

export function encodeGroup(space: ValueSpace, group: GroupRecord): Buffer {
  const rest = packRest(group)
  const domainBytes = Buffer.byteLength(group.domain)
  const tenantBytes = Buffer.byteLength(group.tenant)
  const value = space.take(GROUP_HEADER + domainBytes + tenantBytes + rest.length)
  value[0] = VERSION
  value[1] = flagsOf(group)
  value.writeInt8(group.priority, 2)
  value.writeUInt16LE(domainBytes, 4)
  value.writeUInt16LE(tenantBytes, 6)
  value.writeDoubleLE(group.due, 8)
  value.writeDoubleLE(group.expires, 16)
  value.writeDoubleLE(group.warnAt, 24)
  value.writeDoubleLE(group.bytes, 32)
  value.writeUInt32LE(group.attempts, 40)
  value.writeUInt32LE(group.pending.length, 44)
  value.writeDoubleLE(group.lastAttemptAt, 48)
  value.writeDoubleLE(group.lastStartedAt, 56)
  value.write(group.domain, GROUP_HEADER)
  value.write(group.tenant, GROUP_HEADER + domainBytes)
  rest.copy(value, GROUP_HEADER + domainBytes + tenantBytes)
  return value
}

/** The row alone; `value` may be longer than the record. */
export function decodeRow(id: MessageId, group: number, value: Buffer): QueueRow {
  assert(value[0] === VERSION, 'group record of an unknown version')
  const flags = value[1] as number
  const tenantAt = GROUP_HEADER + value.readUInt16LE(4)
  return {
    id,
    group,
    domain: names.text(value, GROUP_HEADER, tenantAt),
    tenant: names.text(value, tenantAt, tenantAt + value.readUInt16LE(6)),
    class: ((flags >> CLASS_SHIFT) & CLASS_MASK) as QueueClass,
    priority: value.readInt8(2),
    due: value.readDoubleLE(8),
    expires: value.readDoubleLE(16),
    warnAt: value.readDoubleLE(24),
    attempts: value.readUInt32LE(40),
    recipients: value.readUInt32LE(44),
    bytes: value.readDoubleLE(32),
    held: (flags & HELD) !== 0,
  }
}

export function decodeGroup(id: MessageId, group: number, value: Buffer): GroupRecord {
  const row = decodeRow(id, group, value)
  const rest = unpackArray(value.subarray(GROUP_HEADER + value.readUInt16LE(4) + value.readUInt16LE(6)))
  const pending: Recipient[] = []
  const end = 1 + 3 * row.recipients
  assert(rest.length >= end, 'group record: recipients do not match')
  for (let i = 1; i < end; i += 3) {
    const last = rest.length > end ? replyAt(rest, end + 1 + row.recipients, number(rest[end + 1 + pending.length])) : undefined
    pending.push(recipientOf(text(rest[i]), number(rest[i + 1]), text(rest[i + 2]), last))
  }
  const flags = value[1] as number
  return {
    ...row,
    pending,
    lastReply: text(rest[0]),
    lastPeer: text(rest[end] ?? ''),
    lastAttemptAt: value.readDoubleLE(48),
    hasExtents: (flags & HAS_EXTENTS) !== 0,
    alone: (flags & ALONE) !== 0,
    timed: (flags & TIMED) !== 0,
    traced: (flags & TRACED) !== 0,
    lastStartedAt: value.readDoubleLE(56),
  }
}

function recipientOf(address: string, bits: number, orcpt: string, last: SpoolReply | undefined): Recipient {
  return {
    address,
    notify: bits & ~(APART | STRUCK),
    orcpt,
    ...((bits & APART) === 0 ? undefined : { apart: true }),
    ...((bits & STRUCK) === 0 ? undefined : { struck: true }),
    ...(last ? { last } : undefined),
  }
}

/** The `n`th of the replies that begin at `start`, from 1; 0 is none. */
function replyAt(rest: readonly unknown[], start: number, n: number): SpoolReply | undefined {
  const at = start + 3 * (n - 1)
  return n === 0 ? undefined : { code: number(rest[at]), enhanced: text(rest[at + 1]), text: text(rest[at + 2]) }
}

// Small ones

/** How many groups of a message are left. */
export function encodeLeft(space: ValueSpace, left: number): Buffer {
  const value = space.take(4)
  value.writeUInt32LE(left)
  return value
}

export function decodeLeft(value: Buffer): number {
  return value.readUInt32LE(0)
}

/** A message's share of a segment. */
export interface BodyShare {
  readonly liveBytes: number
  /** End of its last extent in the segment. */
  readonly end: number
}

export function encodeShare(space: ValueSpace, share: BodyShare): Buffer {
  const value = space.take(16)
  value.writeDoubleLE(share.liveBytes, 0)
  value.writeDoubleLE(share.end, 8)
  return value
}

export function decodeShare(value: Buffer): BodyShare {
  return { liveBytes: value.readDoubleLE(0), end: value.readDoubleLE(8) }
}

/** Sequences and segment numbers below these may be in use. */
export interface HighMarks {
  readonly sequence: number
  readonly segment: number
}

/** What the index holds: a start does not count a million records. */
export interface Totals {
  readonly messages: number
  readonly groups: number
}

const NO_MARKS: HighMarks & Totals = { sequence: 0, segment: 0, messages: 0, groups: 0 }

export function encodeHigh(space: ValueSpace, { sequence, segment }: HighMarks, { messages, groups }: Totals): Buffer {
  const value = space.take(32)
  value.writeDoubleLE(sequence, 0)
  value.writeDoubleLE(segment, 8)
  value.writeDoubleLE(messages, 16)
  value.writeDoubleLE(groups, 24)
  return value
}

export function decodeHigh(value: Buffer | undefined): HighMarks & Totals {
  if (!value) return NO_MARKS
  return {
    sequence: value.readDoubleLE(0),
    segment: value.readDoubleLE(8),
    messages: value.readDoubleLE(16),
    groups: value.readDoubleLE(24),
  }
}
