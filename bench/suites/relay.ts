// relay: source -> server -> sink, from the first byte until the sink has the last message.

import type { BenchOptions } from '../macro/options.ts'
import { through } from './through.ts'

const MESSAGES = 20_000

export function relay(options: BenchOptions, folder: string): Promise<unknown> {
  return through('relay', options, folder, MESSAGES)
}
