// What a command that talks to a server needs of the configuration.

import type { Config } from '../config/schema.ts'
import type { CommandContext, Exits } from './command.ts'

/** How a command ends that loads the configuration. */
export const CONFIG_EXITS: Exits = { config: 'the configuration or the data directory cannot be used' }
/** How a command ends that asks the server. */
export const CLIENT_EXITS: Exits = { notRunning: 'no server is running', config: 'the configuration cannot be used' }

/** The configuration that the server runs with; rejects with ConfigError. */
export async function loadForClient(context: CommandContext): Promise<Config> {
  // zod takes longer to load than most commands to run: only those that need it pay.
  const { loadConfig } = await import('../config/load.ts')
  return loadConfig(context.configFile)
}
