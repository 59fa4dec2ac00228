import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from '../../src/config/suggest.ts'

const KEYS = ['listeners', 'relayFrom', 'proxyFrom', 'routes', 'retry', 'mxPort']

test('slips of the fingers find their word', () => {
  const slips: [string, string | undefined][] = [
    ['lissteners', 'listeners'],
    ['listners', 'listeners'],
    ['lsiteners', 'listeners'],
    ['relayfrom', 'relayFrom'],
    ['route', 'routes'],
    ['retyr', 'retry'],
    ['mxport', 'mxPort'],
    ['zebra', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ]
  for (const [slip, word] of slips) assert.equal(nearest(slip, KEYS), word, slip.slice(0, 20))
})

test('of two words as near the first is taken', () => {
  assert.equal(nearest('aa', ['ab', 'ac']), 'ab')
})
