// rohrpost start: the server, until a signal ends it.

import { CliError, ExitCode } from './command.ts'
import type { Command, CommandContext } from './command.ts'

export const start: Command = {
  name: 'start',
  summary: 'Run the server in the foreground',
  usage: '[--config FILE]',
  options: {},
  exits: {
    busy: 'a port or the data directory is in use',
    config: 'the configuration, a certificate, an address or the data directory cannot be used',
  },
  details: [
    'Prints "rohrpost ready NAME=HOST:PORT …" on standard output when every listener is open; logs go to standard error.',
    'SIGTERM and SIGINT finish what is in hand and end with 0, SIGHUP reloads the configuration.',
  ].join('\n'),
  async run(context: CommandContext): Promise<number> {
    const { main } = await import('../main.ts')
    try {
      await main({ configFile: context.configFile })
    } catch (error) {
      throw startError(error)
    }
    return ExitCode.ok
  },
}

/** Reasons not to start carry the process's exit code; anything else is a bug and keeps its stack. */
function startError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = Object.values(ExitCode).find((known) => known === (error as { code?: unknown }).code)
  return code === undefined || error.name === 'ConfigError' ? error : new CliError(code, error.message)
}
