// Help texts, made from the command table.

import { COMMON_OPTIONS } from './arguments.ts'
import { EXIT_MEANINGS, ExitCode } from './command.ts'
import type { Command, ExitName, Exits, OptionSpec } from './command.ts'

/** `rohrpost --help`; with the commands of one family `rohrpost queue --help`. */
export function globalHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length))
  const rows = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`)
  return [
    'rohrpost: a mail server',
    '',
    'Usage: rohrpost COMMAND [OPTIONS]',
    '',
    'Commands:',
    ...rows,
    '',
    'Each command takes --config FILE, --json and --help.',
    exitLine(EXIT_MEANINGS),
  ].join('\n')
}

/** `rohrpost COMMAND --help`. */
export function commandHelp(command: Command): string {
  const usage = `Usage: rohrpost ${command.name} ${command.usage}`.trimEnd()
  const options = { ...command.options, ...COMMON_OPTIONS }
  const labels = Object.entries(options).map(([name, spec]) => optionLabel(name, spec))
  const width = Math.max(...labels.map((label) => label.length))
  const rows = Object.values(options).map((spec, i) => `  ${(labels[i] as string).padEnd(width)}  ${spec.help}`)
  const details = command.details === undefined ? [] : ['', command.details]
  return [`${command.summary}.`, '', usage, '', 'Options:', ...rows, ...details, '', exitLine(exitsOf(command))].join('\n')
}

/** Every code that a command ends with, and what it means. */
export function exitsOf(command: Command): Exits {
  const { ok, usage } = EXIT_MEANINGS
  return { ok, usage, ...command.exits }
}

function exitLine(exits: Exits): string {
  const known = Object.entries(ExitCode).flatMap(([name, code]) => {
    const meaning = exits[name as ExitName]
    return meaning === undefined ? [] : [`${code} ${meaning}`]
  })
  return `Exit codes: ${known.join(', ')}.`
}

/** `-h, --help`, `--config FILE`. */
export function optionLabel(name: string, spec: OptionSpec): string {
  const short = spec.short === undefined ? '' : `-${spec.short}, `
  return `${short}--${name}${spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''}`
}
