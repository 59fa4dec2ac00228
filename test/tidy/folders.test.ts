// Each folder of src introduces itself on one screen.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './source.ts'

const SCREEN = { lines: 50, columns: 130 } as const

const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

test('src has folders', () => {
  assert.ok(folders.length > 0)
})

for (const folder of folders) {
  test(`src/${folder} has a README that fits on a screen`, () => {
    const text = readFileSync(join(ROOT, 'src', folder, 'README.md'), 'utf8')
    const lines = text.trimEnd().split('\n')
    assert.match(lines[0] ?? '', /^# \S/)
    assert.ok(lines.length > 2, 'says nothing')
    assert.ok(lines.length <= SCREEN.lines, `${lines.length} lines, at most ${SCREEN.lines}`)
    const wide = lines.findIndex((line) => line.length > SCREEN.columns && !line.startsWith('|'))
    assert.equal(wide, -1, `line ${wide + 1} is wider than ${SCREEN.columns} columns`)
  })
}
