// Imports point inward only: the table of ARCHITECTURE.md as a test.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byPath, chain, closure, importsOf } from './graph.ts'
import { ROWS } from './layers.ts'
import { load, parse, report, type Finding, type Source } from './source.ts'

/** Folders of one row that must stay strangers. */
const STRANGERS: readonly (readonly [string, string])[] = [
  ['session', 'deliver'],
  ['deliver', 'session'],
]

/** Against the direction, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // `rohrpost start` is the one command that becomes the server.
  'src/cli/start.ts': ['src/main.ts'],
}

/** Packages and modules that one folder keeps for itself. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  'node:worker_threads': ['threads'],
  piscina: ['threads'],
}

function folderOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] as string) : '.'
}

function rowOf(folder: string): number {
  return ROWS.findIndex((row) => row.includes(folder))
}

function judge(from: string, target: string): string | undefined {
  const folder = folderOf(from)
  const keepers = KEPT[target]
  if (keepers && !keepers.includes(folder)) return `imports ${target}: only ${keepers.join(', ')}/ may; take it as a port instead`
  if (!target.startsWith('src/') || EXCEPTIONS[from]?.includes(target)) return undefined
  const other = folderOf(target)
  if (rowOf(other) < 0) return `imports ${target}, a folder that the table does not know`
  if (rowOf(other) > rowOf(folder)) return `imports ${target}: imports point inward; declare what you need in ${folder}/ports.ts instead`
  if (STRANGERS.some(([a, b]) => a === folder && b === other)) return `imports ${target}: ${folder} and ${other} share only wire/`
  return undefined
}

function findings(source: Source): Finding[] {
  if (rowOf(folderOf(source.path)) < 0) return [{ path: source.path, line: 1, message: 'lies in a folder that the table does not know' }]
  return importsOf(source)
    .filter(({ kind }) => kind !== 'url')
    .flatMap(({ target, line }) => {
      const message = judge(source.path, target)
      return message === undefined ? [] : [{ path: source.path, line, message }]
    })
}

test('the rule finds imports that point outward, strangers and kept packages', () => {
  const bad = [
    ['src/wire/smtp/command.ts', "import { x } from '../../session/smtp/session.ts'"],
    ['src/lib/log.ts', "import type { Config } from '../config/schema.ts'"],
    ['src/session/smtp/session.ts', "import { x } from '../../deliver/attempt.ts'"],
    ['src/deliver/attempt.ts', "export * from '../session/smtp/session.ts'"],
    ['src/spool/owner.ts', "const workers = await import('node:worker_threads')"],
    ['src/cli/queue.ts', "import { x } from '../threads/messages.ts'"],
    ['src/attic/old.ts', "import { x } from '../lib/bytes.ts'"],
  ] as const
  for (const [path, text] of bad) assert.equal(findings(parse(path, text)).length, 1, `${path}: ${text}`)
})

test('the rule lets inward imports pass, and does not read comments and strings', () => {
  const good = [
    ['src/session/smtp/session.ts', "import { own } from '../../lib/bytes.ts'\nimport type { Envelope } from '../../spool/types.ts'"],
    ['src/wire/smtp/command.ts', "// import '../session/x.ts'\nexport const text = \"import 'piscina'\""],
    ['src/threads/net.thread.ts', "import { parentPort } from 'node:worker_threads'"],
    ['src/cli/start.ts', "await import('../main.ts')"],
  ] as const
  for (const [path, text] of good) assert.deepEqual(findings(parse(path, text)), [], `${path}: ${text}`)
})

test('every import in src points inward', (t) => {
  const sources = load('src/**/*.{ts,js}')
  assert.ok(sources.length > 0, 'no source was read')
  const found = sources.flatMap(findings)
  t.diagnostic(`${sources.length} files, ${sources.flatMap(importsOf).length} imports`)
  assert.equal(found.length, 0, report(found))
})

/** What takes longer to load than `rohrpost sink` to listen: commands import it when they run. */
const HEAVY = ['lmdb', 'zod', 'piscina', 'pino', 'selfsigned']

test('the program loads nothing heavy before it knows its command', () => {
  const reached = closure(byPath(load('src/**/*.ts')), 'src/cli/main.ts', ['static'])
  assert.ok(reached.has('src/cli/account.ts'), 'the commands were not reached')
  assert.deepEqual(
    HEAVY.filter((name) => reached.has(name)).map((name) => chain(reached, name)),
    [],
  )
})
