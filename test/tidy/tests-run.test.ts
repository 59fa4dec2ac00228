// No test is left out in silence: no `only`, no `todo`, and a skip says why.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identifier, literal, load, parse, propertyName, report, type Finding, type Node, type Source, walk } from './source.ts'

const RUNNERS = new Set(['test', 'it', 'describe', 'suite'])

/** `test.only(`, `t.skip()` and the like. */
function calledModifier(node: Node): string | undefined {
  const callee = node['callee'] as Node
  const name = propertyName(callee)
  const object = identifier(callee['object'])
  if (name === 'skip' && object !== undefined && !RUNNERS.has(object)) {
    const isContext = object === 't' || object === 'context'
    return isContext && (node['arguments'] as Node[]).length === 0 ? 'a skip without a reason' : undefined
  }
  if (!object || !RUNNERS.has(object)) return undefined
  if (name === 'skip') return 'test.skip without a reason: use { skip: reason }'
  return name === 'only' || name === 'todo' ? `test.${name}` : undefined
}

/** `{ only: true }`, `{ skip: true }`, `{ todo: … }` among the arguments of a runner's call. */
function optionModifiers(node: Node): string[] {
  if (!RUNNERS.has(identifier(node['callee']) ?? '')) return []
  const objects = (node['arguments'] as Node[]).filter((argument) => argument.type === 'ObjectExpression')
  return objects.flatMap((object) =>
    (object['properties'] as Node[]).flatMap((property) => {
      const key = identifier(property['key']) ?? literal(property['key'])
      const value = property['value'] as Node | undefined
      const isTrue = value?.type === 'Literal' && value['value'] === true
      if (key === 'only' || key === 'todo') return [`{ ${key} }`]
      return key === 'skip' && isTrue ? ['{ skip: true }: give the reason as text'] : []
    }),
  )
}

function leftOut(source: Source): Finding[] {
  const found: Finding[] = []
  walk(source.program, (node) => {
    if (node.type !== 'CallExpression') return
    const modifier = calledModifier(node)
    for (const message of [...(modifier ? [modifier] : []), ...optionModifiers(node)]) {
      found.push({ path: source.path, line: source.lineAt(node.start), message })
    }
  })
  return found
}

test('the rule finds tests that are left out', () => {
  const bad = [
    'test.only("x", f)',
    'describe.skip("x", f)',
    'test("x", { only: true }, f)',
    'it("x", { skip: true }, f)',
    'test("x", (t) => t.skip())',
    'suite.todo("x")',
  ]
  for (const text of bad) assert.equal(leftOut(parse('test/a.test.ts', text)).length, 1, text)
  const good = ['test("x", { skip: reason }, f)', 'test("x", (t) => t.skip("no swaks here"))', '// test.only(x)', 'cursor.skip()']
  for (const text of good) assert.deepEqual(leftOut(parse('test/a.test.ts', text)), [], text)
})

test('no test is left out', (t) => {
  const sources = load('test/**/*.ts')
  assert.ok(sources.length > 0, 'no test was read')
  t.diagnostic(`${sources.length} files`)
  const found = sources.flatMap(leftOut)
  assert.equal(found.length, 0, report(found))
})
