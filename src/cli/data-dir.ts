// What a command that talks to a server needs of the configuration.

import type { Config } from '../config/schema.ts'
import type { CommandContext } from './command.ts'

/** The configuration that the server runs with; rejects with ConfigError. */
export async function loadForClient(context: CommandContext): Promise<Config> {
  // zod takes longer to load than most commands to run: only those that need it pay.
  const { loadConfig } = await import('../config/load.ts')
  return loadConfig(context.configFile)
}
