// Calls that the house does without, each with what to use instead.

import { identifier, propertyName, type Finding, type Node, type Source, walk } from './source.ts'

interface Rule {
  /** Whether a file falls under the rule. */
  readonly in: (path: string) => boolean
  /** Whether this node is the banned thing; the parent tells names from property keys. */
  readonly is: (node: Node, parent: Node | undefined) => boolean
  readonly what: string
  readonly instead: string
}

const src = (path: string): boolean => path.startsWith('src/')
const outsideLib = (path: string): boolean => src(path) && !path.startsWith('src/lib/')
const hotPath = (path: string): boolean => /^src\/(wire|session|deliver)\//.test(path)
const outsideReader = (path: string): boolean => src(path) && path !== 'src/spool/reader.ts'

function member(object: string, property: string): Rule['is'] {
  return (node) => propertyName(node) === property && identifier(node['object']) === object
}

function anyMember(property: string): Rule['is'] {
  return (node) => propertyName(node) === property
}

/** A global by its bare name or through `globalThis`, but not a property or a type that is called the same. */
function global(name: string): Rule['is'] {
  return (node, parent) => {
    if (propertyName(node) === name) return identifier(node['object']) === 'globalThis'
    if (identifier(node) !== name || !parent) return false
    const isPropertyName = parent.type === 'MemberExpression' && parent['property'] === node && parent['computed'] !== true
    const isKey = parent['key'] === node && parent['computed'] !== true && parent['shorthand'] !== true
    const isType = parent.type.startsWith('TS') && parent.type !== 'TSNonNullExpression' && parent.type !== 'TSAsExpression'
    return !isPropertyName && !isKey && !isType
  }
}

function importOf(module: string): Rule['is'] {
  return (node) => node.type === 'ImportDeclaration' && node['importKind'] !== 'type' && (node['source'] as Node)['value'] === module
}

function wallClockDate(node: Node): boolean {
  const isDate = identifier(node['callee']) === 'Date'
  return isDate && (node.type === 'CallExpression' || (node.type === 'NewExpression' && (node['arguments'] as Node[]).length === 0))
}

const CLOCK = 'the Clock port of lib/clock.ts'
const TIMERS = 'clock.after() of lib/clock.ts, or lib/turn.ts'

export const RULES: readonly Rule[] = [
  { in: hotPath, is: member('Buffer', 'concat'), what: 'Buffer.concat', instead: 'slices, and own() of lib/bytes.ts for what is kept' },
  { in: hotPath, is: anyMember('toString'), what: 'toString', instead: 'latin1() or utf8() of lib/bytes.ts, String() for numbers' },
  {
    in: outsideReader,
    is: anyMember('getBinaryFast'),
    what: 'getBinaryFast',
    instead: 'spool/reader.ts: the buffer is overwritten by the next read',
  },
  { in: outsideLib, is: member('Date', 'now'), what: 'Date.now', instead: CLOCK },
  { in: outsideLib, is: wallClockDate, what: 'the present as a Date', instead: CLOCK },
  { in: outsideLib, is: member('performance', 'now'), what: 'performance.now', instead: CLOCK },
  { in: outsideLib, is: member('process', 'hrtime'), what: 'process.hrtime', instead: CLOCK },
  { in: outsideLib, is: member('Math', 'random'), what: 'Math.random', instead: 'the Random port of lib/prng.ts; node:crypto for secrets' },
  { in: outsideLib, is: global('setTimeout'), what: 'setTimeout', instead: TIMERS },
  { in: outsideLib, is: global('setInterval'), what: 'setInterval', instead: TIMERS },
  { in: outsideLib, is: global('setImmediate'), what: 'setImmediate', instead: TIMERS },
  { in: outsideLib, is: importOf('node:timers'), what: 'node:timers', instead: TIMERS },
  { in: outsideLib, is: importOf('node:timers/promises'), what: 'node:timers/promises', instead: TIMERS },
  { in: src, is: global('console'), what: 'console', instead: 'lib/log.ts; process.stdout.write in cli/' },
  { in: src, is: member('process', 'nextTick'), what: 'process.nextTick', instead: 'queueMicrotask, or a batch that ends with the turn' },
]

export function bannedCalls(source: Source): Finding[] {
  const rules = RULES.filter((rule) => rule.in(source.path))
  const found: Finding[] = []
  walk(source.program, (node, ancestors) => {
    for (const rule of rules) {
      if (!rule.is(node, ancestors.at(-1))) continue
      found.push({ path: source.path, line: source.lineAt(node.start), message: `${rule.what} is banned here; use ${rule.instead}` })
    }
  })
  return found
}
