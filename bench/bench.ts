// `npm run bench -- SUITE [OPTIONS]`: see bench/README.md for what each suite measures and what its figures do not say.

import { TempFolder } from '../test/support/process.ts'
import { machine } from './macro/machine.ts'
import { parseOptions, USAGE, type BenchOptions } from './macro/options.ts'
import { saveJson, say } from './macro/report.ts'
import { accept } from './suites/accept.ts'
import { fanout } from './suites/fanout.ts'
import { logins } from './suites/logins.ts'
import { queue } from './suites/queue.ts'
import { relay } from './suites/relay.ts'
import { restart } from './suites/restart.ts'
import { spool } from './suites/spool.ts'

type Suite = (options: BenchOptions, folder: string) => Promise<unknown>

const SUITES: Readonly<Record<string, Suite>> = { accept, relay, spool, queue, restart, fanout, logins }

const EXIT_USAGE = 2

function usage(problem: string): never {
  process.stderr.write(`${problem}\n\n${USAGE}`)
  return process.exit(EXIT_USAGE)
}

function read(): { suite: string; run: Suite; options: BenchOptions } {
  try {
    const { suite, options } = parseOptions(process.argv.slice(2))
    const run = SUITES[suite]
    return run ? { suite, run, options } : usage(`no suite called ${suite}`)
  } catch (error) {
    return usage((error as Error).message)
  }
}

async function main(): Promise<void> {
  const { suite, run, options } = read()
  using folder = new TempFolder('bench')
  const on = machine(folder.path)
  say(`${suite} on ${on.cores} cores of ${on.cpu}, ${on.memoryGiB} GiB, Linux ${on.kernel}, ${on.fileSystem}, node ${on.node}`)
  const results = await run(options, folder.path)
  if (options.json === '') return
  saveJson(options.json, { suite, at: new Date().toISOString(), machine: on, options, results })
  say(`json: ${options.json}`)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
