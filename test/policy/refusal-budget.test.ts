import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RefusalBudget } from '../../src/policy/refusal-budget.ts'

test('a network has sixty refusals a minute written down, others are not concerned', () => {
  const budget = new RefusalBudget()
  let written = 0
  for (let i = 0; i < 1000; i++) if (budget.take(`2001:db8::${i.toString(16)}`, 5000)) written++
  assert.equal(written, 60)
  assert.equal(budget.dropped, 940)
  assert.equal(budget.take('192.0.2.1', 5000), true)
  assert.equal(budget.take('2001:db8::1', 65_000), true)
})

test('a flood from everywhere is bounded too', () => {
  const budget = new RefusalBudget()
  let written = 0
  for (let i = 0; i < 60_000; i++) if (budget.take(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0)) written++
  assert.equal(written, 50_060)
})
