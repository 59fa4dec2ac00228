import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { messageId } from '../../src/spool/ids.ts'
import { bodyKey, groupKey, groupOf, idOf, leftKey, messageKey, readU56 } from '../../src/spool/keys.ts'
import {
  decodeEnvelope,
  decodeGroup,
  decodeHigh,
  decodeLeft,
  decodeMessage,
  decodeRow,
  decodeShare,
  encodeExtents,
  encodeGroup,
  encodeHigh,
  encodeInline,
  encodeLeft,
  encodeShare,
} from '../../src/spool/record.ts'
import type { GroupRecord } from '../../src/spool/record.ts'
import { Slab } from '../../src/spool/slab.ts'
import type { Envelope, QueueClass } from '../../src/spool/types.ts'

const id = fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 2 ** 46 - 1 })).map(([shard, n]) => messageId(shard, n))
const time = fc.integer({ min: 0, max: 2 ** 45 })
const text = fc.string({ unit: 'grapheme', maxLength: 80 })
const queueClass = fc.constantFrom<QueueClass[]>(0, 1)
const priority = fc.integer({ min: -9, max: 9 })
const bytes = fc.integer({ min: 0, max: 2 ** 40 })

const envelope: fc.Arbitrary<Envelope> = fc
  .record({
    id,
    acceptedAt: time,
    sender: text,
    flags: fc.integer({ min: 0, max: 1023 }),
    bytes,
    envid: text,
    tenant: text,
    account: text,
    client: text,
    priority,
    deliverBy: time,
  })
  .chain((fixed) =>
    fc
      .record(
        { releaseAt: fc.integer({ min: 1, max: 2 ** 45 }), holdForSeconds: fc.integer({ min: 1, max: 1e9 }), class: queueClass },
        { requiredKeys: [] },
      )
      .map((optional) => ({ ...fixed, ...optional })),
  )

const last = fc.record({ code: fc.constantFrom(0, 450, 451), enhanced: text, text }, { noNullPrototype: true })

const recipient = fc.record(
  { address: text, notify: fc.integer({ min: 0, max: 15 }), orcpt: text, apart: fc.constant(true), struck: fc.constant(true), last },
  { noNullPrototype: true, requiredKeys: ['address', 'notify', 'orcpt'] },
)

const group: fc.Arbitrary<GroupRecord> = fc
  .record({
    id,
    group: fc.integer({ min: 0, max: 65_535 }),
    domain: text,
    tenant: text,
    class: queueClass,
    priority,
    due: time,
    expires: time,
    warnAt: time,
    attempts: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    bytes,
    held: fc.boolean(),
    pending: fc.array(recipient, { maxLength: 20 }),
    lastReply: text,
    lastPeer: text,
    lastAttemptAt: time,
    hasExtents: fc.boolean(),
    alone: fc.boolean(),
    timed: fc.boolean(),
    traced: fc.boolean(),
    lastStartedAt: time,
  })
  .map((record) => ({ ...record, recipients: record.pending.length }))

const extent = fc.record({ segment: fc.integer({ min: 0, max: 2 ** 50 }), offset: bytes, length: bytes }, { noNullPrototype: true })

describe('records', () => {
  it('a message with its body inline comes back', () => {
    fc.assert(
      fc.property(envelope, fc.uint8Array({ maxLength: 300 }), (written, content) => {
        const body = Buffer.from(content)
        const value = encodeInline(new Slab(), written, body, body.length)
        assert.deepEqual(decodeMessage(written.id, value), { envelope: written, body: { kind: 'inline', bytes: body } })
        assert.deepEqual(decodeEnvelope(written.id, value), written)
      }),
    )
  })

  it('a message with extents comes back', () => {
    fc.assert(
      fc.property(envelope, fc.array(extent, { maxLength: 10 }), (written, extents) => {
        const value = encodeExtents(new Slab(), written, extents)
        assert.deepEqual(decodeMessage(written.id, value), { envelope: written, body: { kind: 'extents', extents } })
      }),
    )
  })

  it('a group comes back, and its row from the fixed part alone', () => {
    fc.assert(
      fc.property(group, (written) => {
        const value = encodeGroup(new Slab(), written)
        assert.deepEqual(decodeGroup(written.id, written.group, value), written)
        const {
          pending: _p,
          lastReply: _l,
          lastPeer: _q,
          lastAttemptAt: _a,
          hasExtents: _h,
          alone: _o,
          traced: _t,
          timed: _d,
          lastStartedAt: _s,
          ...row
        } = written
        // A scan's buffer is longer than the record.
        assert.deepEqual(decodeRow(written.id, written.group, Buffer.concat([value, Buffer.alloc(50, 0xff)])), row)
      }),
    )
  })

  it('counters, shares and high-water marks come back', () => {
    const slab = new Slab()
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 65_536 }), bytes, bytes, (left, a, b) => {
        slab.reset()
        assert.equal(decodeLeft(encodeLeft(slab, left)), left)
        assert.deepEqual(decodeShare(encodeShare(slab, { liveBytes: a, end: b })), { liveBytes: a, end: b })
        const high = { sequence: a, segment: b, messages: left, groups: 2 * left }
        assert.deepEqual(decodeHigh(encodeHigh(slab, high, high)), high)
      }),
    )
    assert.deepEqual(decodeHigh(undefined), { sequence: 0, segment: 0, messages: 0, groups: 0 })
  })

  it('a record of another version is refused', () => {
    fc.assert(
      fc.property(group, envelope, (record, written) => {
        const groupValue = encodeGroup(new Slab(), record)
        const messageValue = encodeInline(new Slab(), written, Buffer.alloc(0), 0)
        groupValue[0] = 2
        messageValue[0] = 2
        assert.throws(() => decodeGroup(record.id, record.group, groupValue), /unknown version/)
        assert.throws(() => decodeMessage(written.id, messageValue), /unknown version/)
      }),
      { numRuns: 5 },
    )
  })

  it('values that do not fit a slab have memory of their own', () => {
    const slab = new Slab()
    const first = slab.take(1000).fill(1)
    const large = slab.take(3_000_000)
    assert.equal(large.length, 3_000_000)
    for (let i = 0; i < 2000; i++) slab.take(1000).fill(2)
    assert.ok(first.every((byte) => byte === 1))
  })
})

describe('keys', () => {
  it('sort as their numbers do', () => {
    fc.assert(
      fc.property(id, id, fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 0, max: 65_535 }), (a, b, g, h) => {
        const compare = (make: (id: number) => Buffer): number => Buffer.compare(Buffer.from(make(a)), Buffer.from(make(b)))
        const expected = Math.sign(a - b)
        assert.equal(compare(messageKey), expected)
        assert.equal(compare(leftKey), expected)
        assert.equal(
          compare((n) => groupKey(n, g)),
          expected,
        )
        assert.equal(Buffer.compare(Buffer.from(groupKey(a, g)), Buffer.from(groupKey(a, h))), Math.sign(g - h))
      }),
    )
  })

  it('give their numbers back', () => {
    fc.assert(
      fc.property(id, id, fc.integer({ min: 0, max: 65_535 }), (a, b, g) => {
        const shifted = Buffer.concat([Buffer.alloc(3), groupKey(a, g)])
        assert.deepEqual([idOf(shifted, 3), groupOf(shifted, 3)], [a, g])
        const body = bodyKey(a, b)
        assert.deepEqual([readU56(body, 1), readU56(body, 8)], [a, b])
      }),
    )
  })
})
