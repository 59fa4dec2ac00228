// The source tree as the house rules see it: every file with its text and syntax tree. Comments and strings are not code.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, visitorKeys } from 'oxc-parser'

export const ROOT: string = join(import.meta.dirname, '../..')

/** A node of the ESTree that oxc-parser makes, read by property names. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

export interface Source {
  /** Path from the root of the project, with slashes. */
  readonly path: string
  readonly text: string
  readonly program: Node
  /** Number of the line, from 1, in which an offset lies. */
  lineAt(offset: number): number
}

/** A broken rule: where, what, and what to do instead. */
export interface Finding {
  readonly path: string
  readonly line: number
  readonly message: string
}

export function parse(path: string, text: string): Source {
  const result = parseSync(path, text, { preserveParens: false })
  const problem = result.errors.find((error) => error.severity === 'Error')
  if (problem) throw new SyntaxError(`${path}: ${problem.message}\n${problem.codeframe ?? ''}`)
  return { path, text, program: result.program as unknown as Node, lineAt: lineCounter(text) }
}

function lineCounter(text: string): (offset: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((starts[middle] as number) <= offset) low = middle
      else high = middle
    }
    return low + 1
  }
}

/** Paths of the files that match, from the root, sorted. */
export function paths(...patterns: string[]): string[] {
  return globSync(patterns, { cwd: ROOT })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
}

export function load(...patterns: string[]): Source[] {
  return paths(...patterns).map((path) => parse(path, readFileSync(join(ROOT, path), 'utf8')))
}

/** Calls `visit` for each node, parents first; `ancestors` ends with the parent. */
export function walk(root: Node, visit: (node: Node, ancestors: readonly Node[]) => void): void {
  const ancestors: Node[] = []
  const enter = (node: Node): void => {
    visit(node, ancestors)
    ancestors.push(node)
    for (const key of visitorKeys[node.type] ?? []) {
      const child = node[key]
      if (Array.isArray(child)) child.forEach((item) => item && enter(item as Node))
      else if (child) enter(child as Node)
    }
    ancestors.pop()
  }
  enter(root)
}

/** The text of a string literal or of a template without parts, else undefined. */
export function literal(node: unknown): string | undefined {
  const at = node as Node | undefined
  if (at?.type === 'Literal' && typeof at['value'] === 'string') return at['value']
  if (at?.type !== 'TemplateLiteral' || (at['expressions'] as Node[]).length > 0) return undefined
  return ((at['quasis'] as Node[])[0]?.['value'] as { cooked: string } | undefined)?.cooked
}

/** `a.b`, `a?.b` and `a['b']` alike: the name of the property, else undefined. */
export function propertyName(node: Node): string | undefined {
  if (node.type !== 'MemberExpression') return undefined
  const property = node['property'] as Node
  return node['computed'] === true ? literal(property) : (property['name'] as string | undefined)
}

/** The name when the node is an identifier, else undefined. */
export function identifier(node: unknown): string | undefined {
  const at = node as Node | undefined
  return at?.type === 'Identifier' ? (at['name'] as string) : undefined
}

/** One line a finding, for the message of a failed assertion. */
export function report(findings: readonly Finding[]): string {
  return findings.map(({ path, line, message }) => `${path}:${line} ${message}`).join('\n')
}
