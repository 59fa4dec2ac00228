// The thread closure: what each thread's entry loads, compared with the "never imports" column of threads/topology.ts.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { TOPOLOGY } from '../../src/threads/topology.ts'
import { byPath, chain, closure } from './graph.ts'
import { ROWS } from './layers.ts'
import { load, parse, paths, ROOT, type Source } from './source.ts'

const LOADED = ['static'] as const

/** Whether `target` is what a cell of the table means: a module's name, a folder of src, or a file of it. */
function means(cell: string, target: string): boolean {
  return target === cell || target === `src/${cell}` || target === `src/${cell}.ts` || target.startsWith(`src/${cell}/`)
}

function offences(sources: ReadonlyMap<string, Source>, entry: string, never: readonly string[]): string[] {
  const reached = closure(sources, entry, LOADED)
  return [...reached.keys()].filter((target) => never.some((cell) => means(cell, target))).map((target) => chain(reached, target))
}

test('the rule follows static imports through files and names the chain', () => {
  const sources = byPath([
    parse('src/threads/a.thread.ts', "import '../queue/b.ts'"),
    parse('src/queue/b.ts', "export { c } from './c.ts'\nimport type { D } from '../net/d.ts'"),
    parse('src/queue/c.ts', "import net from 'node:net'\nimport '../wire/smtp/e.ts'"),
  ])
  const entry = 'src/threads/a.thread.ts'
  assert.deepEqual(offences(sources, entry, ['node:net']), ['node:net <- src/queue/c.ts <- src/queue/b.ts <- src/threads/a.thread.ts'])
  assert.equal(offences(sources, entry, ['wire']).length, 1)
  assert.equal(offences(sources, entry, ['queue/c.ts']).length, 1)
  assert.deepEqual(offences(sources, entry, ['net', 'que']), [])
})

for (const [name, row] of Object.entries(TOPOLOGY)) {
  test(`the ${name} thread loads nothing that it must never import`, (t) => {
    const sources = byPath(load('src/**/*.ts'))
    const entry = `src/${row.entry}`
    assert.ok(sources.has(entry), `${entry} does not exist`)
    t.diagnostic(`${entry} loads ${closure(sources, entry, LOADED).size - 1} modules`)
    assert.deepEqual(offences(sources, entry, row.neverImports), [])
  })

  test(`the "never imports" cells of ${name} name what exists`, () => {
    const known = paths('src/**/*.ts')
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
    const isKnown = (cell: string): boolean =>
      (cell.startsWith('node:') && isBuiltin(cell)) || cell in dependencies || ROWS.flat().includes(cell)
    for (const cell of row.neverImports) {
      assert.ok(isKnown(cell) || known.some((path) => means(cell, path)), `${cell} is neither a module nor a layer nor in src`)
    }
  })
}

test('every thread and job file is an entry of the topology table', () => {
  const entries = new Set(Object.values(TOPOLOGY).map((row) => basename(row.entry)))
  const strays = paths('src/threads/*.thread.ts', 'src/threads/*.job.ts').filter((path) => !entries.has(basename(path)))
  assert.deepEqual(strays, [])
})
