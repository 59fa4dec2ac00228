import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.ts'

const DURATIONS: readonly [value: unknown, ms: number | undefined][] = [
  [0, 0],
  [1500, 1500],
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['5 min', 300_000],
  ['4h', 14_400_000],
  ['5d', 432_000_000],
  ['2w', 1_209_600_000],
  ['1.5h', 5_400_000],
  [' 5M ', 300_000],
  ['', undefined],
  ['5', undefined],
  ['m', undefined],
  ['-5m', undefined],
  ['5 m m', undefined],
  ['5constructor', undefined],
  ['1e3s', undefined],
  ['999999999999999w', undefined],
  [-1, undefined],
  [1.5, undefined],
  [NaN, undefined],
  [Infinity, undefined],
  [null, undefined],
  [undefined, undefined],
  [true, undefined],
  [['5m'], undefined],
]

const SIZES: readonly [value: unknown, bytes: number | undefined][] = [
  [0, 0],
  [4096, 4096],
  ['7 B', 7],
  ['512 MB', 512_000_000],
  ['16 KiB', 16_384],
  ['16kib', 16_384],
  ['1.5 GiB', 1_610_612_736],
  ['2TB', 2_000_000_000_000],
  ['2 TiB', 2 * 2 ** 40],
  ['16 K', undefined],
  ['16', undefined],
  ['MB', undefined],
  ['-1 MB', undefined],
  ['1 MB 2 KB', undefined],
  ['999999999999999 TiB', undefined],
  [-1, undefined],
  [0.5, undefined],
  [{}, undefined],
]

test('durations are ms, or text with a unit', () => {
  for (const [value, ms] of DURATIONS) assert.equal(parseDuration(value), ms, JSON.stringify(value))
})

test('sizes are bytes, or text with a decimal or binary unit', () => {
  for (const [value, bytes] of SIZES) assert.equal(parseSize(value), bytes, JSON.stringify(value))
})

test('no text makes a number that is no whole one', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const n of [parseDuration(text), parseSize(text)]) assert.ok(n === undefined || (Number.isSafeInteger(n) && n >= 0))
    }),
  )
})

test('durations are shown with at most two units', () => {
  const shown: [number, string][] = [
    [0, '0s'],
    [5, '5ms'],
    [90_000, '1m 30s'],
    [3_600_000, '1h'],
    [90_061_001, '1d 1h'],
    [-5, '0s'],
  ]
  for (const [ms, text] of shown) assert.equal(formatDuration(ms), text)
})

test('sizes are shown in the unit that fits', () => {
  const shown: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [2 ** 20, '1 MiB'],
    [50 * 2 ** 30, '50 GiB'],
  ]
  for (const [bytes, text] of shown) assert.equal(formatSize(bytes), text)
})
