// A ratchet on function length. `function-length.json` lists the functions that are longer than the limit, with the
// lines they may have; an entry can be lowered or removed, never raised, and a shorter function must lower its entry.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { identifier, load, parse, propertyName, type Node, type Source, walk } from './source.ts'

const LINES_MAX = 60

interface Measured {
  /** `path#name`; nested names are joined by dots. */
  readonly name: string
  readonly lines: number
}

function nameOf(node: Node, parent: Node | undefined): string {
  const own = identifier(node['id'])
  if (own) return own
  if (parent?.type === 'VariableDeclarator') return identifier(parent['id']) ?? 'anonymous'
  const key = parent?.['key'] as Node | undefined
  if (key) return (key['name'] as string | undefined) ?? 'anonymous'
  if (parent?.type === 'AssignmentExpression') return propertyName(parent['left'] as Node) ?? 'anonymous'
  return 'anonymous'
}

function functionsOf(source: Source): Measured[] {
  const found: Measured[] = []
  walk(source.program, (node, ancestors) => {
    if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return
    const names = ancestors.flatMap((ancestor, index) => {
      if (ancestor.type === 'ClassDeclaration' || ancestor.type === 'ClassExpression') return [identifier(ancestor['id']) ?? 'class']
      return /^(Function|Arrow)/.test(ancestor.type) ? [nameOf(ancestor, ancestors[index - 1])] : []
    })
    const lines = source.lineAt(node.end) - source.lineAt(node.start) + 1
    found.push({ name: `${source.path}#${[...names, nameOf(node, ancestors.at(-1))].join('.')}`, lines })
  })
  return found
}

/** What is wrong with the tree or the list of exceptions, as sentences. */
function complaints(functions: readonly Measured[], allowed: Readonly<Record<string, number>>): string[] {
  const longest = new Map<string, number>()
  for (const { name, lines } of functions) longest.set(name, Math.max(lines, longest.get(name) ?? 0))
  const tooLong = [...longest]
    .filter(([name, lines]) => lines > (allowed[name] ?? LINES_MAX))
    .map(([name, lines]) => `${name} has ${lines} lines; at most ${allowed[name] ?? LINES_MAX}: make steps of it`)
  const stale = Object.entries(allowed).flatMap(([name, lines]) => {
    const now = longest.get(name)
    if (now === undefined) return [`function-length.json: ${name} is gone; remove it`]
    if (now <= LINES_MAX) return [`function-length.json: ${name} has ${now} lines now; remove it`]
    return now < lines ? [`function-length.json: ${name} has ${now} lines now; lower ${lines} to ${now}`] : []
  })
  return [...tooLong, ...stale]
}

function long(lines: number): string {
  return `class A { m(): void { const f = () => {${'\n'.repeat(lines - 1)}} } }`
}

test('the ratchet finds a function that is too long, and an exception that has become too generous', () => {
  const name = 'src/a.ts#A.m.f'
  const of = (lines: number): Measured[] => functionsOf(parse('src/a.ts', long(lines)))
  assert.ok(of(61).some((measured) => measured.name === name && measured.lines === 61))
  assert.match(complaints(of(61), {})[0] ?? '', /has 61 lines; at most 60/)
  assert.deepEqual(complaints(of(60), {}), [])
  assert.match(complaints(of(70), { [name]: 80 }).find((text) => text.includes(name)) ?? '', /lower 80 to 70/)
  assert.match(complaints(of(10), { [name]: 80 })[0] ?? '', /remove it/)
  assert.match(complaints([], { [name]: 80 })[0] ?? '', /is gone/)
})

test('no function is longer than the ratchet allows', (t) => {
  const functions = load('src/**/*.{ts,js}', 'scripts/**/*.ts', 'bench/**/*.ts').flatMap(functionsOf)
  const sorted = functions.map(({ lines }) => lines).toSorted((a, b) => a - b)
  assert.ok(sorted.length > 0, 'no function was measured')
  t.diagnostic(`${sorted.length} functions, median ${sorted[sorted.length >> 1]} lines, longest ${sorted.at(-1)}`)
  const allowed = JSON.parse(readFileSync(join(import.meta.dirname, 'function-length.json'), 'utf8')) as Record<string, number>
  assert.deepEqual(complaints(functions, allowed), [])
})
