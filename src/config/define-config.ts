// What a configuration in TypeScript imports: types while it is written, nothing at run time.

import type { UserConfig } from './schema.ts'

/** Returns what it is given; the editor then knows keys and values. */
export function defineConfig(config: UserConfig): UserConfig {
  return config
}
