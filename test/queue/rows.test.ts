import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { NONE, RowState, RowTable } from '../../src/queue/rows.ts'
import { messageId } from '../../src/spool/ids.ts'

test('a row is found by message and group from add to remove', () => {
  const table = new RowTable()
  const id = messageId(63, 2 ** 46 - 1)
  const row = table.add(id, 65_535)
  assert.equal(table.find(id, 65_535), row)
  assert.equal(table.find(id, 65_534), NONE)
  assert.equal(table.find(id - 1, 65_535), NONE)
  table.remove(row)
  assert.equal(table.find(id, 65_535), NONE)
  assert.equal(table.count, 0)
  assert.equal(table.state[row], RowState.free)
})

test('a removed row is used again before the table grows', () => {
  const table = new RowTable()
  const first = table.add(1, 0)
  table.add(2, 0)
  table.remove(first)
  assert.equal(table.add(3, 0), first)
  assert.equal(table.end, 2)
})

test('a group number beyond the column is refused', () => {
  assert.throws(() => new RowTable().add(1, 65_536), /group number/)
})

test('the table agrees with a Map over random additions and removals, through growth', () => {
  const random = new Prng(7)
  const table = new RowTable()
  const twin = new Map<string, number>()
  const keys: [number, number][] = []
  for (let i = 0; i < 60_000; i++) {
    if (keys.length > 0 && random.below(5) < 2) {
      const at = random.below(keys.length)
      const [id, group] = keys[at] as [number, number]
      keys[at] = keys.at(-1) as [number, number]
      keys.pop()
      const row = table.find(id, group)
      assert.equal(row, twin.get(`${id}/${group}`))
      table.remove(row)
      twin.delete(`${id}/${group}`)
    } else {
      const id = messageId(random.below(64), random.below(40_000))
      const group = random.below(3)
      if (twin.has(`${id}/${group}`)) continue
      twin.set(`${id}/${group}`, table.add(id, group))
      keys.push([id, group])
    }
  }
  assert.equal(table.count, twin.size)
  for (const [id, group] of keys) {
    const row = table.find(id, group)
    assert.equal(row, twin.get(`${id}/${group}`))
    assert.equal(table.id[row], id)
    assert.equal(table.group[row], group)
  }
})

test('columns keep their values when the table grows', () => {
  const table = new RowTable()
  for (let i = 0; i < 5_000; i++) {
    const row = table.add(i, 0)
    table.due[row] = i
    table.priority[row] = (i % 19) - 9
  }
  for (let i = 0; i < 5_000; i++) {
    assert.equal(table.due[table.find(i, 0)], i)
    assert.equal(table.priority[table.find(i, 0)], (i % 19) - 9)
  }
  assert.ok(table.capacity >= 5_000)
})
