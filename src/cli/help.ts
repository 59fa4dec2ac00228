// Help texts, made from the command table.

import { COMMON_OPTIONS } from './arguments.ts'
import type { Command, OptionSpec } from './command.ts'

/** `rohrpost --help`. */
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
    'Exit codes: 0 done, 1 findings, 2 usage, 69 server not running, 75 data directory in use, 78 configuration.',
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
  return [`${command.summary}.`, '', usage, '', 'Options:', ...rows, ...details].join('\n')
}

function optionLabel(name: string, spec: OptionSpec): string {
  const short = spec.short === undefined ? '' : `-${spec.short}, `
  return `${short}--${name}${spec.type === 'string' ? ` ${spec.value ?? 'VALUE'}` : ''}`
}
