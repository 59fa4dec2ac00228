// The test runner behind `npm test`, `npm run test:interop` and `npm run test:crash`.
//
//   node scripts/test.ts                 every test but the groups that need more than `npm ci` brings
//   node scripts/test.ts interop         test/interop/** (real peers: scripts/install-peers.sh)
//   node scripts/test.ts crash           test/crash/** in full length
//   node scripts/test.ts wire tidy       those folders of test/
//   node scripts/test.ts FILE…           those files
//
// It prints the seed that random tests take from ROHRPOST_SEED, and ends with node:test's own summary. With CI=true a
// skipped test is a failure unless skips.json lists its reason.

import { globSync, existsSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { randomInt } from 'node:crypto'

const ROOT = join(import.meta.dirname, '..')

/** Groups that `npm test` leaves to a script of their own. */
const APART = ['interop']

/** A file that takes longer than this hangs. The long crash run takes minutes on purpose. */
const FILE_TIMEOUT_MS = 240_000
const LONG_FILE_TIMEOUT_MS = 900_000

/** Servers with several threads share two cores with the tests; more files at once only make deadlines slip. */
const FILES_AT_ONCE = Math.min(2, availableParallelism())

interface Allowed {
  readonly reason: string
  readonly because: string
}

function filesOf(argument: string): string[] {
  const path = join(ROOT, argument)
  if (existsSync(path) && statSync(path).isFile()) return [path]
  const found = globSync(`test/${argument}/**/*.test.ts`, { cwd: ROOT })
  if (found.length > 0) return found.map((file) => join(ROOT, file))
  process.stderr.write(`there is neither a file ${argument} nor a folder test/${argument} with tests\n`)
  return process.exit(2)
}

function everyFile(): string[] {
  const all = globSync('test/**/*.test.ts', { cwd: ROOT })
  return all.filter((file) => !APART.some((group) => file.startsWith(`test/${group}/`))).map((file) => join(ROOT, file))
}

/** Skips that CI accepts: a peer or a privilege that CI cannot have, each with its reason. */
function isAllowed(reason: string): boolean {
  const allowed = JSON.parse(readFileSync(join(import.meta.dirname, 'skips.json'), 'utf8')) as Allowed[]
  const withoutShared = !existsSync(join(ROOT, '../shared/testdata'))
  return allowed.some((entry) => reason.includes(entry.reason)) || (withoutShared && reason.includes('../shared/testdata'))
}

function reportSkips(skips: ReadonlyMap<string, string>): boolean {
  const refused = [...skips].filter(([, reason]) => !isAllowed(reason))
  if (skips.size > 0) process.stdout.write(`\n${skips.size} skipped:\n`)
  for (const [name, reason] of skips) process.stdout.write(`  ${name}: ${reason || 'no reason given'}\n`)
  if (process.env['CI'] !== 'true' || refused.length === 0) return true
  process.stdout.write(
    `${refused.length} of them must not be skipped in CI: install what they need, or list the reason in scripts/skips.json\n`,
  )
  return false
}

/** The counts of the whole run, in the words of node:test's spec reporter, so that they stand last whatever came before. */
function printSummary(counts: Readonly<Record<string, number>>, durationMs: number): void {
  for (const key of ['tests', 'suites', 'passed', 'failed', 'cancelled', 'skipped', 'todo']) {
    const word = key === 'passed' ? 'pass' : key === 'failed' ? 'fail' : key
    process.stdout.write(`ℹ ${word} ${counts[key] ?? 0}\n`)
  }
  process.stdout.write(`ℹ duration_ms ${durationMs.toFixed(0)}\n`)
}

async function main(): Promise<void> {
  const names = process.argv.slice(2)
  const files = (names.length > 0 ? names.flatMap(filesOf) : everyFile()).toSorted()
  const long = names.includes('crash')
  const seed = process.env['ROHRPOST_SEED'] ?? String(randomInt(2 ** 31))
  process.env['ROHRPOST_SEED'] = seed
  if (long) process.env['ROHRPOST_LONG'] = '1'
  process.stdout.write(`${files.length} files, node ${process.version}, ROHRPOST_SEED=${seed}\n`)

  const skips = new Map<string, string>()
  let ok = files.length > 0
  let summary: { counts: Record<string, number>; duration_ms: number } | undefined
  const stream = run({ files, concurrency: FILES_AT_ONCE, timeout: long ? LONG_FILE_TIMEOUT_MS : FILE_TIMEOUT_MS, cwd: ROOT })
  stream.on('test:fail', (event) => {
    if (event.todo === undefined) ok = false
  })
  stream.on('test:pass', (event) => {
    if (event.skip !== undefined)
      skips.set(`${relative(ROOT, event.file ?? '')} ${event.name}`, String(event.skip === true ? '' : event.skip))
  })
  stream.on('test:summary', (event) => {
    if (event.file === undefined) summary = event as unknown as typeof summary
  })
  const reporter = stream.compose(new spec())
  for await (const chunk of reporter) process.stdout.write(chunk as Buffer)

  if (!summary || summary.counts['tests'] === 0) {
    process.stdout.write('no test was run\n')
    ok = false
  }
  if (!reportSkips(skips)) ok = false
  if (!ok) process.stdout.write(`\nfailed; ROHRPOST_SEED=${seed} repeats this run\n`)
  process.stdout.write('\n')
  if (summary) printSummary(summary.counts, summary.duration_ms)
  process.exitCode = ok ? 0 : 1
}

await main()
