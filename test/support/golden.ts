// Expected output as files: `UPDATE_GOLDEN=1 npm test` writes them anew, and the diff is what a reviewer reads.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const FOLDER = join(import.meta.dirname, '../golden')

/** Compares `actual` with test/golden/`name`. */
export function matchesGolden(name: string, actual: string): void {
  const file = join(FOLDER, name)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, actual)
  }
  assert.equal(actual, readFileSync(file, 'utf8'), `differs from test/golden/${name}`)
}
