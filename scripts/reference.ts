// REFERENCE.md: configuration, commands, metrics and events, from the code that has them. `node scripts/reference.ts`
// writes it; test/tidy/reference.test.ts holds it.
//
// Meanings are the doc comments of `UserConfig`, `Limits`, `LoggedEvent` and `EventType`; types and defaults of keys come
// from the schema that reads them; commands, exit codes and metrics from their own tables.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, visitorKeys } from 'oxc-parser'
import type { z } from 'zod'
import { COMMON_OPTIONS } from '../src/cli/arguments.ts'
import { ExitCode } from '../src/cli/command.ts'
import type { Command, ExitName, OptionSpec } from '../src/cli/command.ts'
import { COMMANDS } from '../src/cli/commands.ts'
import { exitsOf, optionLabel } from '../src/cli/help.ts'
import { defaultLimits, tunableLimits } from '../src/config/limits.ts'
import type { Limits } from '../src/config/limits.ts'
import { configShape } from '../src/config/shape.ts'
import { DURATION_FORM, SIZE_FORM, formatDuration, formatSize } from '../src/config/units.ts'
import { METRICS } from '../src/lib/metrics.ts'
import { EventType } from '../src/spool/ports.ts'

const ROOT = join(import.meta.dirname, '..')

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

interface Doc {
  readonly text: string
  /** Of `@default`; '' without one. */
  readonly default: string
}

const NO_DOC: Doc = { text: '', default: '' }

/** Doc comments of a declaration by path, such as `tls.names[].cert`: `[]` for the entries of lists and records. */
function docsOf(file: string, declaration: string): ReadonlyMap<string, Doc> {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const { program, comments } = parseSync(file, text)
  const docs = new Map<string, Doc>()
  const before = (node: Node): Doc => {
    const comment = comments.findLast(({ end }) => end <= node.start)
    return comment?.value.startsWith('*') && text.slice(comment.end, node.start).trim() === '' ? docOf(comment.value) : NO_DOC
  }
  const walk = (node: Node, path: string): void => {
    let inner = path
    if (node.type === 'TSPropertySignature' || node.type === 'Property') {
      inner = path === '' ? nameOf(node) : `${path}.${nameOf(node)}`
      docs.set(inner, before(node))
    } else if (node.type === 'TSArrayType' || (node.type === 'TSTypeReference' && nameOf(node, 'typeName') === 'Record'))
      inner = `${path}[]`
    for (const child of childrenOf(node)) walk(child, inner)
  }
  const found = nodesOf(program as unknown as Node).find((node) => 'id' in node && nameOf(node, 'id') === declaration)
  if (!found) throw new Error(`${file} declares no ${declaration}`)
  for (const child of childrenOf(found)) walk(child, '')
  return docs
}

function nameOf(node: Node, property = 'key'): string {
  return String((node[property] as { readonly name?: unknown } | null)?.name)
}

function childrenOf(node: Node): Node[] {
  return (visitorKeys[node.type] ?? [])
    .flatMap((key) => [node[key]].flat())
    .filter((child): child is Node => child !== null && child !== undefined)
}

function nodesOf(node: Node): Node[] {
  return [node, ...childrenOf(node).flatMap(nodesOf)]
}

function docOf(comment: string): Doc {
  const text = comment
    .replace(/^\*/, '')
    .replace(/\n\s*\* ?/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  const [meaning = '', computed = ''] = text.split(' @default ')
  return { text: meaning, default: computed }
}

/** A key of the configuration as its table has it. */
interface Key {
  readonly path: string
  readonly type: string
  readonly default: string
}

/** What zod's schemas have that is read here. */
interface Definition {
  readonly type: string
  readonly innerType?: z.ZodType
  readonly defaultValue?: unknown
  readonly in?: z.ZodType
  readonly out?: z.ZodType
  readonly element?: z.ZodType
  readonly valueType?: z.ZodType
  readonly shape?: Readonly<Record<string, z.ZodType>>
}

function definitionOf(schema: z.ZodType): Definition {
  return schema.def as unknown as Definition
}

/** Every key below `schema`, in the order in which they are declared. */
function keysOf(schema: z.ZodType, path: string): Key[] {
  const { value, given, isOptional } = unwrapped(schema)
  const definition = definitionOf(value)
  const own = { path, type: typeOf(value), default: given === undefined ? (isOptional ? '' : 'required') : shown(given, value) }
  const keys = Object.entries(definition.shape ?? {}).flatMap(([key, inner]) => keysOf(inner, path === '' ? key : `${path}.${key}`))
  const entries = definition.element ?? definition.valueType
  const below = entries === undefined ? keys : keysOf(entries, `${path}[]`).slice(1)
  return [own, ...below]
}

interface Unwrapped {
  readonly value: z.ZodType
  readonly given: unknown
  readonly isOptional: boolean
}

/** A schema without what stands around it: defaults, `optional`, and the steps before and after. */
function unwrapped(schema: z.ZodType): Unwrapped {
  let value = schema
  let given: unknown
  let isOptional = false
  for (;;) {
    const { type, innerType, defaultValue, in: before, out: after } = definitionOf(value)
    if (value.description !== undefined) break
    if (type === 'default' || type === 'prefault') given = defaultValue
    isOptional ||= type === 'optional'
    const next = innerType ?? (after && definitionOf(after).type !== 'transform' ? after : before)
    if (!next) break
    value = next
  }
  return { value, given, isOptional }
}

function typeOf(schema: z.ZodType): string {
  const { type, element } = definitionOf(schema)
  if (element) return `list: ${typeOf(unwrapped(element).value)}`
  if (type === 'record') return 'object with a key for each'
  return (schema.description ?? type).replace(`${DURATION_FORM}, from`, 'duration,').replace(`${SIZE_FORM}, from`, 'size,')
}

function shown(value: unknown, schema: z.ZodType): string {
  const type = typeOf(schema)
  if (typeof value === 'number' && type.startsWith('size')) return formatSize(value)
  if (typeof value === 'string') return value === '' ? 'none' : value
  if (typeof value !== 'object' || value === null) return String(value)
  if (Object.keys(value).length === 0) return Array.isArray(value) ? 'empty' : ''
  return Array.isArray(value)
    ? value.map((entry) => (typeof entry === 'string' ? entry : Object.values(entry as object).join(' '))).join(', ')
    : ''
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|') || '–').join(' | ')} |`
  return ['', line(titles), `| ${titles.map(() => '---').join(' | ')} |`, ...rows.map(line), '']
}

const code = (text: string): string => `\`${text}\``

function configuration(): string[] {
  const docs = docsOf('src/config/schema.ts', 'UserConfig')
  const around = { baseDir: '/', hostname: 'the name of the machine', cores: 1 }
  const keys = keysOf(configShape(around), '').filter(({ path }) => path !== '' && !path.startsWith('limits.'))
  const rows = keys.map(({ path, type, default: given }) => {
    const doc = docs.get(path)
    if (!doc?.text) throw new Error(`src/config/schema.ts says nothing of ${path}`)
    return [code(path), type, doc.default || given, doc.text]
  })
  return [
    '## Configuration',
    '',
    'A TypeScript, JavaScript or JSON file whose default export is an object. Every key may be left out but those that are required',
    'within their object. Paths begin at the directory of the file.',
    '',
    `A duration is ${DURATION_FORM}. A size is ${SIZE_FORM}.`,
    ...table(['key', 'type', 'default', 'meaning'], rows),
    ...limits(),
  ]
}

function limits(): string[] {
  const docs = docsOf('src/config/limits.ts', 'Limits')
  const names = Object.keys(defaultLimits) as (keyof Limits)[]
  const row = (name: keyof Limits): string[] => {
    const meaning = docs.get(name)?.text
    if (!meaning) throw new Error(`src/config/limits.ts says nothing of ${name}`)
    return [amount(name, defaultLimits[name]), meaning]
  }
  const tunable = names.filter((name) => tunableLimits[name])
  const range = (name: keyof Limits): string => {
    const { min, max } = tunableLimits[name] as { readonly min: number; readonly max: number }
    return `${amount(name, min)} to ${amount(name, max)}`
  }
  return [
    '### Limits',
    '',
    'Names that end in `Ms` take a duration, those with `Bytes` a size, the others a number.',
    ...table(
      ['key', 'from, to', 'default', 'meaning'],
      tunable.map((name) => [code(`limits.${name}`), range(name), ...row(name)]),
    ),
    'These are fixed, or set elsewhere:',
    ...table(
      ['limit', 'value', 'meaning'],
      names.filter((name) => !tunableLimits[name]).map((name) => [code(name), ...row(name)]),
    ),
  ]
}

function amount(name: string, value: number): string {
  if (name.includes('Ms')) return formatDuration(value)
  return name.includes('Bytes') ? formatSize(value) : String(value)
}

function commands(): string[] {
  return [
    '## Commands',
    '',
    'Every command takes these:',
    ...options(COMMON_OPTIONS),
    'and ends with 0 when it is done, and with 2 when it is used wrongly. What else it ends with stands with it.',
    '',
    ...COMMANDS.flatMap(commandSection),
  ]
}

function commandSection(command: Command): string[] {
  const exits = Object.entries(exitsOf(command)) as [ExitName, string][]
  const codes = exits.filter(([name]) => name !== 'ok' && name !== 'usage').map(([name, meaning]) => `- ${ExitCode[name]}: ${meaning}`)
  return [
    `### rohrpost ${command.name}`,
    '',
    `${command.summary}.${command.details === undefined ? '' : ` ${command.details.replaceAll('\n', ' ')}`}`,
    '',
    '```',
    `rohrpost ${command.name} ${command.usage}`.trimEnd(),
    '```',
    ...(Object.keys(command.options).length > 0 ? options(command.options) : ['']),
    ...(codes.length > 0 ? [...codes, ''] : []),
  ]
}

function options(specs: Readonly<Record<string, OptionSpec>>): string[] {
  return table(
    ['option', 'meaning'],
    Object.entries(specs).map(([name, spec]) => [code(optionLabel(name, spec)), spec.help]),
  )
}

function metrics(): string[] {
  const rows = METRICS.map(({ name, type, labels, help }) => [code(name), type, labels.map(code).join(', '), help])
  return [
    '## Metrics',
    '',
    '`rohrpost metrics` prints them in Prometheus text format 0.0.4.',
    ...table(['metric', 'type', 'labels', 'meaning'], rows),
  ]
}

function events(): string[] {
  const rows = (file: string, declaration: string): string[][] =>
    [...docsOf(file, declaration)].map(([name, { text }]) => {
      if (text === '') throw new Error(`${file} says nothing of ${declaration}.${name}`)
      return [code(name), text]
    })
  const types = rows('src/spool/ports.ts', 'EventType')
  if (types.length !== Object.keys(EventType).length) throw new Error('an event type is missing')
  return [
    '## Events',
    '',
    '`rohrpost events tail --json` prints one object a line. They are written at least once: who keeps them takes (type, id, recipient,',
    'attempt) as their key.',
    ...table(['type', 'when'], types),
    'Every event has these fields, in this order:',
    ...table(['field', 'meaning'], rows('src/spool/eventline.ts', 'LoggedEvent')),
  ]
}

/** The whole file. */
export function referenceText(): string {
  const head = ['# Reference', '', 'Made from the code by `node scripts/reference.ts`; a test holds it.', '']
  const lines = [...head, ...configuration(), ...commands(), ...metrics(), ...events()]
  return `${lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`
}

if (import.meta.main) writeFileSync(join(ROOT, 'REFERENCE.md'), referenceText())
