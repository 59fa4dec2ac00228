// accept: what a durable 250 costs, alone. Everything is for a site that is down, so nothing is delivered meanwhile.

import type { BenchOptions } from '../macro/options.ts'
import { through } from './through.ts'

const MESSAGES = 20_000

export function accept(options: BenchOptions, folder: string): Promise<unknown> {
  return through('accept', options, folder, MESSAGES)
}
