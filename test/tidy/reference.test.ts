// REFERENCE.md says what the code says. `UPDATE_GOLDEN=1`, or `node scripts/reference.ts`, writes it anew.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { referenceText } from '../../scripts/reference.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import { defaultLimits } from '../../src/config/limits.ts'
import { METRICS } from '../../src/lib/metrics.ts'
import { EventType } from '../../src/spool/ports.ts'
import { matchesGolden } from '../support/golden.ts'

test('REFERENCE.md is up to date', () => {
  matchesGolden('../../REFERENCE.md', referenceText())
})

test('the reference has every limit, command, metric and event', () => {
  const text = referenceText()
  const wanted = [
    ...Object.keys(defaultLimits).map((name) => new RegExp(`^\\| \`(?:limits\\.)?${name}\` \\|`, 'm')),
    ...COMMANDS.map(({ name }) => new RegExp(`^### rohrpost ${name}$`, 'm')),
    ...[...METRICS.map(({ name }) => name), ...Object.keys(EventType)].map((name) => new RegExp(`^\\| \`${name}\` \\|`, 'm')),
    /^\| `tls\.names\[\]\.cert` \| a path \| required \|/m,
    /^\| `retry\.first` \| duration, 1ms to 365d \| 5m \|/m,
  ]
  for (const pattern of wanted) assert.match(text, pattern)
})
