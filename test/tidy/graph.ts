// Who imports whom. Imports of types are erased before anything runs, so they count for the layers, not for closures.

import { posix } from 'node:path'
import { literal, walk, type Node, type Source } from './source.ts'

export interface Import {
  /** `node:net`, `lmdb`, or for relative ones the path from the root. */
  readonly target: string
  readonly kind: 'static' | 'type' | 'dynamic' | 'url'
  readonly line: number
}

/** The imports of one file. `new URL('./x.ts', import.meta.url)` names a file too: the entry of a worker. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = []
  const add = (specifier: string | undefined, kind: Import['kind'], node: Node): void => {
    if (specifier === undefined) return
    found.push({ target: resolve(source.path, specifier), kind, line: source.lineAt(node.start) })
  }
  walk(source.program, (node) => {
    if (node.type === 'ImportDeclaration') add(literal(node['source']), node['importKind'] === 'type' ? 'type' : 'static', node)
    if (node.type === 'ExportNamedDeclaration' || node.type === 'ExportAllDeclaration') {
      add(literal(node['source']), node['exportKind'] === 'type' ? 'type' : 'static', node)
    }
    if (node.type === 'ImportExpression') add(literal(node['source']), 'dynamic', node)
    if (node.type === 'TSImportType') add(literal(node['source']), 'type', node)
    if (isModuleUrl(node)) add(literal((node['arguments'] as Node[])[0]), 'url', node)
  })
  return found
}

function isModuleUrl(node: Node): boolean {
  if (node.type !== 'NewExpression' || (node['callee'] as Node)['name'] !== 'URL') return false
  const base = (node['arguments'] as Node[])[1]
  return base?.type === 'MemberExpression' && (base['object'] as Node).type === 'MetaProperty'
}

function resolve(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier
}

/** All that is loaded when `entry` is: files by path from the root and packages by name, each with the file that asked first. */
export function closure(sources: ReadonlyMap<string, Source>, entry: string, kinds: readonly Import['kind'][]): Map<string, string> {
  const reached = new Map<string, string>([[entry, entry]])
  const open = [entry]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const source = sources.get(path)
    if (!source) continue
    for (const { target, kind } of importsOf(source)) {
      if (!kinds.includes(kind) || reached.has(target)) continue
      reached.set(target, path)
      open.push(target)
    }
  }
  return reached
}

/** `a <- b <- c`: how a closure came to hold `target`. */
export function chain(reached: ReadonlyMap<string, string>, target: string): string {
  const steps = [target]
  for (let at = target; reached.get(at) !== undefined && reached.get(at) !== at;) {
    at = reached.get(at) as string
    steps.push(at)
  }
  return steps.join(' <- ')
}

export function byPath(sources: readonly Source[]): Map<string, Source> {
  return new Map(sources.map((source) => [source.path, source]))
}
