import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { idFromText, idToText, messageId, sequenceOf, shardOf, SHARDS_MAX } from '../../src/spool/ids.ts'

const anyId = fc.tuple(fc.integer({ min: 0, max: SHARDS_MAX - 1 }), fc.integer({ min: 0, max: 2 ** 46 - 1 }))

test('ids and texts translate both ways and keep their order', () => {
  fc.assert(
    fc.property(anyId, anyId, ([shardA, sequenceA], [shardB, sequenceB]) => {
      const a = messageId(shardA, sequenceA)
      const b = messageId(shardB, sequenceB)
      assert.equal(shardOf(a), shardA)
      assert.equal(sequenceOf(a), sequenceA)
      assert.equal(idFromText(idToText(a)), a)
      assert.equal(idFromText(idToText(a).toUpperCase()), a)
      assert.equal(idToText(a) < idToText(b), a < b)
    }),
  )
})

test('what is no id is refused', () => {
  for (const text of ['', 'abc', '0000000000l', '000000000000', 'zzzzzzzzzzz', '0000000000é']) assert.equal(idFromText(text), -1, text)
  assert.throws(() => messageId(SHARDS_MAX, 0))
  assert.throws(() => messageId(0, 2 ** 46))
})
