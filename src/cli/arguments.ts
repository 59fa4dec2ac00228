// From words on the command line to a command and its options. Pure.

import { parseArgs } from 'node:util'
import { nearest } from '../config/suggest.ts'
import { usageError } from './command.ts'
import type { Command, OptionSpec } from './command.ts'

/** Options that every command takes. */
export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  config: { type: 'string', value: 'FILE', help: 'the configuration: .ts, .js or .json (default: the embedded one)' },
  json: { type: 'boolean', help: 'lines of JSON instead of text' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
}

export interface FoundCommand {
  readonly command: Command
  /** The words behind the command's name. */
  readonly rest: readonly string[]
}

/** The command that `words` begin with. Two words are tried first, so that `queue list` is not `queue`. */
export function findCommand(commands: readonly Command[], words: readonly string[]): FoundCommand {
  const [first = '', second = ''] = words
  const two = commands.find((command) => command.name === `${first} ${second}`)
  if (two) return { command: two, rest: words.slice(2) }
  const one = commands.find((command) => command.name === first)
  if (one) return { command: one, rest: words.slice(1) }
  throw usageError(unknownCommand(commands, first, second))
}

/** The commands that begin with the one word given, when there is no command of that name alone: a family such as `queue`. */
export function familyOf(commands: readonly Command[], words: readonly string[]): readonly Command[] {
  const [first = '', second = ''] = words
  const isWhole = second === '' || second === '--help' || second === '-h' || second === 'help'
  return isWhole ? commands.filter((command) => command.name.startsWith(`${first} `)) : []
}

function unknownCommand(commands: readonly Command[], first: string, second: string): string {
  if (first.startsWith('-')) return `the command comes first, then its options: rohrpost COMMAND ${first}`
  const family = commands.filter((command) => command.name.startsWith(`${first} `)).map((command) => command.name)
  if (family.length > 0 && (second === '' || second.startsWith('-'))) return `${first} needs a word more: ${family.join(', ')}`
  const wanted = family.length > 0 ? `${first} ${second}` : first
  const names = family.length > 0 ? family : [...new Set(commands.flatMap(({ name }) => [name, name.split(' ')[0] as string]))]
  const near = nearest(wanted, names)
  return `unknown command: ${wanted}${near === undefined ? '; rohrpost --help lists all' : `; did you mean ${near}?`}`
}

export interface ParsedOptions {
  readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>
  readonly positionals: readonly string[]
}

/** The options of `command` in `words`. */
export function parseOptions(command: Command, words: readonly string[]): ParsedOptions {
  const options: Record<string, OptionSpec> = { ...COMMON_OPTIONS, ...command.options }
  const accepted = Object.entries(options).map(([name, { type, multiple, short }]) => {
    return [name, { type, ...(multiple && { multiple }), ...(short !== undefined && { short }) }] as const
  })
  try {
    const { values, positionals } = parseArgs({ args: [...words], options: Object.fromEntries(accepted), allowPositionals: true })
    return { values: values as ParsedOptions['values'], positionals }
  } catch (error) {
    throw usageError(optionError(error as NodeJS.ErrnoException, command, options))
  }
}

/** What parseArgs says of an option, in our words. */
function optionError(error: NodeJS.ErrnoException, command: Command, options: Readonly<Record<string, OptionSpec>>): string {
  const name = /'(?:-\w, )?-{1,2}([^\s'<]+)/.exec(error.message)?.[1] ?? ''
  if (error.code === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE') {
    if (options[name]?.type === 'boolean') return `--${name} takes no value`
    const value = options[name]?.value ?? 'VALUE'
    const isDashed = error.message.includes('ambiguous')
    return `--${name} needs a value: --${name} ${value}${isDashed ? `; one that begins with a dash is written --${name}=-…` : ''}`
  }
  const near = nearest(name, Object.keys(options))
  const hint = near === undefined ? `rohrpost ${command.name} --help lists all` : `did you mean --${near}?`
  return `unknown option ${name.length === 1 ? '-' : '--'}${name}; ${hint}`
}

/** Refuses words that the command has no use for. */
export function checkArguments(command: Command, positionals: readonly string[]): void {
  const extra = positionals[command.arguments ?? 0]
  if (extra === undefined) return
  throw usageError(`unexpected argument: ${extra}; rohrpost ${command.name} --help says what it takes`)
}
