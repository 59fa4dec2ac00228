import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planOf } from '../../src/config/plan.ts'

test('a list of hosts of one kind is a plan, in its order; everything else stands alone', () => {
  const plan = planOf(['lmtp:/run/lmtp', 'lmtp://b.example'])
  assert(plan.ok && plan.value.kind === 'hosts')
  assert.deepEqual(
    plan.value.targets.map(({ key }) => key),
    ['lmtp:/run/lmtp', 'lmtp://b.example:24'],
  )
  for (const text of ['mx', 'discard:', 'capture:/mail']) assert.equal(planOf([text]).ok, true, text)
})

const BAD: readonly (readonly [texts: readonly string[], error: RegExp])[] = [
  [[], /has no target/],
  [['smtp://a.example', 'lmtp://b.example'], /differ in host and port only/],
  [['smtp://a.example', 'lmtp:/run/lmtp'], /differ in host and port only/],
  [['smtp://a.example', 'smtp://b.example?tls=off'], /differ in host and port only/],
  [['smtp://u:p@a.example', 'smtp://b.example'], /differ in host and port only/],
  [['smtp://a.example', 'discard:'], /can stand in a list/],
  [['mx', 'mx'], /can stand in a list/],
  [['smtp://a.example', 'x'], /unknown kind/],
]

for (const [texts, error] of BAD) {
  test(`a list is refused: ${texts.join(', ')}`, () => {
    const plan = planOf(texts)
    assert(!plan.ok)
    assert.match(plan.error, error)
  })
}
