// What a command is and what it may use. The table in main.ts lists them all; help, parsing and errors derive from it.

import type { Readable } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import type { Output } from './output.ts'

/** sysexits.h where it has a number for it. */
export const ExitCode = {
  ok: 0,
  /** The command ran and found something: broken records, nothing that matches, a refused message. */
  findings: 1,
  usage: 2,
  /** EX_UNAVAILABLE: the server is not running. */
  notRunning: 69,
  /** EX_TEMPFAIL: a port or the data directory belongs to another process. */
  busy: 75,
  /** EX_CONFIG. */
  config: 78,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
export type ExitName = keyof typeof ExitCode
/** What the codes mean that a command ends with. */
export type Exits = Readonly<Partial<Record<ExitName, string>>>

/** What a code means where a command has no words of its own for it. */
export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done',
  findings: 'findings',
  usage: 'usage',
  notRunning: 'server not running',
  busy: 'port or data directory in use',
  config: 'configuration',
}

export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly multiple?: boolean
  /** One letter. */
  readonly short?: string
  /** Placeholder of a string's value in help, such as `FILE`. */
  readonly value?: string
  readonly help: string
}

export interface Command {
  /** One word, or two such as `queue list`. */
  readonly name: string
  /** One line, no full stop. */
  readonly summary: string
  /** What follows the name, such as `ID [--follow]`. */
  readonly usage: string
  /** `--config`, `--json` and `--help` are added to each. */
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Words that it takes beside options; none by default. */
  readonly arguments?: number
  /** The exit codes beyond 0 and 2 that it ends with, and what each means here. */
  readonly exits: Exits
  /** Further help: what is worth knowing, examples. */
  readonly details?: string
  /** Resolves to the exit code. Throws CliError for what the user is told in one line. */
  run(context: CommandContext): Promise<number>
}

export interface CommandContext {
  readonly positionals: readonly string[]
  /** Value of a string option, undefined when it was not given. */
  text(option: string): string | undefined
  /** Values of an option with `multiple`. */
  texts(option: string): readonly string[]
  flag(option: string): boolean
  /** `--json`: NDJSON on standard output. */
  readonly json: boolean
  /** `--config FILE`. */
  readonly configFile: string | undefined
  /** Standard output. */
  readonly out: Output
  /** Standard error. */
  readonly err: Output
  readonly stdin: Readable
  readonly clock: Clock
  /** Aborted by SIGINT and SIGTERM, for commands that listen to it (`signal.aborted` is enough). */
  readonly signal: AbortSignal
}

/** Ends a command with one line on standard error and an exit code. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: ExitCode

  constructor(code: ExitCode, text: string) {
    super(text)
    this.code = code
  }
}

export function usageError(text: string): CliError {
  return new CliError(ExitCode.usage, text)
}
