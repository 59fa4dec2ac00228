import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReply, Script } from '../../../src/cli/sink/script.ts'

test('shares are fractions, percents or everything', () => {
  assert.deepEqual(parseReply('451:0.1'), { ok: true, value: { code: 451, share: 0.1 } })
  assert.deepEqual(parseReply('550:5%'), { ok: true, value: { code: 550, share: 0.05 } })
  assert.deepEqual(parseReply('421'), { ok: true, value: { code: 421, share: 1 } })
  for (const text of ['', '451:', '451:-1', '351:1', '45:1', '451:x', '451:1%%', '451:101%', '600'])
    assert.equal(parseReply(text).ok, false, text)
})

test('answers have their shares, and the same seed gives the same ones', () => {
  const picks = (seed: number): number[] => {
    const script = new Script(
      'rcpt',
      [
        { code: 451, share: 0.1 },
        { code: 550, share: 0.2 },
      ],
      0,
      seed,
    )
    return Array.from({ length: 10_000 }, () => script.pick('rcpt'))
  }
  const first = picks(1)
  const part = (code: number): number => first.filter((picked) => picked === code).length / first.length
  assert.ok(Math.abs(part(451) - 0.1) < 0.01)
  assert.ok(Math.abs(part(550) - 0.2) < 0.01)
  assert.deepEqual(picks(1), first)
  assert.notDeepEqual(picks(2), first)
})

test('other stages get the usual answer', () => {
  const script = new Script('rcpt', [{ code: 550, share: 1 }], 0, 1)
  assert.deepEqual([script.pick('mail'), script.pick('rcpt'), script.pick('data'), script.pick('dot')], [0, 550, 0, 0])
})
