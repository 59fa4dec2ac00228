// The program: finds the command, reads its options, runs it, turns errors into one line and an exit code.

import type { Readable, Writable } from 'node:stream'
import { ConfigError } from '../config/problems.ts'
import { keepAlive, systemClock } from '../lib/clock.ts'
import { SpoolFormatError } from '../spool/layout.ts'
import { checkArguments, familyOf, findCommand, parseOptions } from './arguments.ts'
import { CliError, ExitCode } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { COMMANDS } from './commands.ts'
import { commandHelp, globalHelp } from './help.ts'
import { Output } from './output.ts'
import { version } from './version.ts'

/** Where a run reads and writes. */
export interface CliStreams {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
  /** Called when a command wants to be told of SIGINT and SIGTERM instead of being ended by them. */
  signal(): AbortSignal
}

/** Runs one command line, without the program's name; resolves to the exit code. */
export async function runCli(words: readonly string[], streams: CliStreams): Promise<number> {
  const out = new Output(streams.stdout)
  const err = new Output(streams.stderr)
  try {
    return await dispatch(words, streams, out, err)
  } catch (error) {
    const { code, text } = outcomeOf(error)
    await err.line(text)
    return code
  } finally {
    await out.end()
    await err.end()
  }
}

async function dispatch(words: readonly string[], streams: CliStreams, out: Output, err: Output): Promise<number> {
  const [first] = words
  if (first === undefined) {
    await err.line(globalHelp(COMMANDS))
    return ExitCode.usage
  }
  if (first === '--version') {
    await out.line(version())
    return ExitCode.ok
  }
  if (first === '--help' || first === '-h' || first === 'help') {
    await out.line(helpFor(words.slice(1)))
    return ExitCode.ok
  }
  if (words.length > 1 && familyOf(COMMANDS, words).length > 0) {
    await out.line(helpFor(words.slice(0, 1)))
    return ExitCode.ok
  }
  const { command, rest } = findCommand(COMMANDS, words)
  const context = contextOf(command, rest, streams, out, err)
  if (context.flag('help')) {
    await out.line(commandHelp(command))
    return ExitCode.ok
  }
  checkArguments(command, context.positionals)
  return await command.run(context)
}

/** Help for everything, for a family of commands such as `queue`, or for one command. */
function helpFor(words: readonly string[]): string {
  if (words.length === 0) return globalHelp(COMMANDS)
  const family = familyOf(COMMANDS, words)
  return family.length > 0 ? globalHelp(family) : commandHelp(findCommand(COMMANDS, words).command)
}

function contextOf(command: Command, rest: readonly string[], streams: CliStreams, out: Output, err: Output): CommandContext {
  const { values, positionals } = parseOptions(command, rest)
  const text = (option: string): string | undefined => {
    const value = values[option]
    return typeof value === 'string' ? value : undefined
  }
  return {
    positionals,
    text,
    texts: (option) => {
      const value = values[option]
      return Array.isArray(value) ? value.map(String) : []
    },
    flag: (option) => values[option] === true,
    json: values['json'] === true,
    configFile: text('config'),
    out,
    err,
    stdin: streams.stdin,
    clock: systemClock,
    get signal() {
      return streams.signal()
    },
  }
}

/** What the user is told. A stack only for bugs. */
function outcomeOf(error: unknown): { readonly code: number; readonly text: string } {
  if (error instanceof CliError) return { code: error.code, text: `rohrpost: ${error.message}` }
  if (error instanceof ConfigError) return { code: error.code, text: error.message }
  if (error instanceof SpoolFormatError) return { code: ExitCode.config, text: `rohrpost: ${error.message}` }
  if (isFileError(error)) {
    const { path, message } = error
    return { code: ExitCode.config, text: `rohrpost: ${message.startsWith(path) ? message : `cannot use ${path}: ${message}`}` }
  }
  return { code: ExitCode.findings, text: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

/** What the system says of a path in the configuration, such as a data directory that is a file: the operator's matter. */
function isFileError(error: unknown): error is NodeJS.ErrnoException & { readonly path: string } {
  return error instanceof Error && 'syscall' in error && 'path' in error && typeof error.path === 'string'
}

/** Runs the process's own command line. */
export async function main(): Promise<void> {
  // Whoever reads us may stop: `rohrpost queue list | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? ExitCode.ok : ExitCode.findings))
  let controller: AbortController | undefined
  const signal = (): AbortSignal => {
    if (!controller) {
      const made = new AbortController()
      controller = made
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => made.abort())
    }
    return controller.signal
  }
  const words = process.argv.slice(2)
  // A command that follows something may have nothing but a timer to wait for.
  const alive = keepAlive()
  const code = await runCli(words, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, signal })
  // The server goes on; everything else is done, whatever timers and sockets are left.
  if (words[0] === 'start' && code === ExitCode.ok) return alive.cancel()
  process.exit(code)
}
