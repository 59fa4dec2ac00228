// Every file of src is reached from an entry: the program, the threads, the commands. A folder holds no empty rooms.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TOPOLOGY } from '../../src/threads/topology.ts'
import { byPath, closure, importsOf } from './graph.ts'
import { load, parse, paths, type Source } from './source.ts'

const ALL = ['static', 'type', 'dynamic', 'url'] as const

const ENTRIES: readonly string[] = [
  'src/rohrpost.js',
  'src/cli/main.ts',
  // The package's `exports`: what configurations import.
  'src/index.js',
  ...Object.values(TOPOLOGY).map((row) => `src/${row.entry}`),
]

/** In-memory twins of ports: they ship in the tree for tests and simulations, which must use them. */
const TWINS: readonly string[] = ['src/net/resolver-memory.ts', 'src/spool/memory.ts']

function unreached(sources: ReadonlyMap<string, Source>, entries: readonly string[]): string[] {
  const reached = new Set(entries.flatMap((entry) => [...closure(sources, entry, ALL).keys()]))
  return [...sources.keys()].filter((path) => !reached.has(path))
}

test('the rule finds a file that nothing imports', () => {
  const sources = byPath([
    parse('src/main.ts', "import './a.ts'; new URL('./b.ts', import.meta.url)"),
    parse('src/a.ts', ''),
    parse('src/b.ts', ''),
    parse('src/dead.ts', "import './a.ts'"),
  ])
  assert.deepEqual(unreached(sources, ['src/main.ts']), ['src/dead.ts'])
})

test('every file of src is reached from an entry', (t) => {
  const sources = byPath(load('src/**/*.{ts,js}'))
  t.diagnostic(`${sources.size} files`)
  assert.ok(sources.size > 0, 'no source was read')
  const dead = unreached(sources, [...ENTRIES, ...TWINS]).filter((path) => !path.endsWith('.d.ts'))
  assert.deepEqual(dead, [])
})

test('every in-memory twin is used by a test', () => {
  const used = new Set(load('test/**/*.ts').flatMap((source) => importsOf(source).map(({ target }) => target)))
  for (const twin of TWINS) assert.ok(used.has(twin), `${twin} is used by no test`)
})

test('src holds no empty files', () => {
  const empty = load('src/**/*.{ts,js}').filter((source) => (source.program['body'] as unknown[]).length === 0)
  assert.deepEqual(
    empty.map((source) => source.path),
    [],
  )
  assert.ok(paths('src/**/*.ts').length > 0)
})
