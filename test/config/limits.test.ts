import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brokenRelations, defaultLimits, tunableLimits } from '../../src/config/limits.ts'
import type { Limits } from '../../src/config/limits.ts'

const names = Object.keys(defaultLimits) as (keyof Limits)[]

test('every limit is a positive whole number and cannot be written to', () => {
  for (const name of names) assert.ok(Number.isSafeInteger(defaultLimits[name]) && defaultLimits[name] > 0, name)
  assert.ok(Object.isFrozen(defaultLimits))
})

test('every limit says its unit, or counts', () => {
  const counted = /Max$|^shards$|Attempts$/
  for (const name of names) assert.match(name, new RegExp(`Bytes|Ms|${counted.source}`), name)
})

test('the default of every limit that can be set is one that may be set', () => {
  for (const [name, { unit, min, max }] of Object.entries(tunableLimits)) {
    const value = defaultLimits[name as keyof Limits]
    assert.ok(min <= value && value <= max, name)
    assert.equal(unit, name.includes('Bytes') ? 'bytes' : name.includes('Ms') ? 'ms' : 'count', name)
  }
})

test('RFC 5321 minimums and timeouts hold', () => {
  assert.ok(defaultLimits.recipientsMax >= 100)
  assert.ok(defaultLimits.domainBytesMax >= 255)
  assert.ok(defaultLimits.pathBytesMax >= 256)
  assert.ok(defaultLimits.commandTimeoutMs >= 300_000)
  assert.ok(defaultLimits.finalDotTimeoutMs >= 600_000)
  assert.ok(defaultLimits.hopsMax >= 100)
})

test('the default limits fit each other, and a limit out of step is named', () => {
  assert.deepEqual(brokenRelations(defaultLimits), [])
  assert.deepEqual(brokenRelations({ ...defaultLimits, sessionMsMax: 1000 }), [
    'commandTimeoutMs is at most sessionMsMax',
    'transactionMsMax is at most sessionMsMax',
  ])
  assert.deepEqual(brokenRelations({ ...defaultLimits, commandLineBytesMax: 200 }), [
    'commandLineBytesMax is at least 512 (RFC 5321 §4.5.3.1.4)',
    'a path fits in a command line',
  ])
})
