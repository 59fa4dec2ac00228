// `npm run check`: types, lint, format, dead code and house rules, one command for people and CI.
//
// A tool that looks at nothing is green too, so every step must name how many files it looked at, and knip must find
// the dead file of a canary project. Ends with a table and the test runner's summary.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')

interface Ran {
  readonly code: number
  readonly output: string
}

interface Verdict {
  readonly ok: boolean
  /** What was looked at, for the table. */
  readonly looked: string
  readonly output: string
}

interface Step {
  readonly name: string
  readonly check: () => Promise<Verdict>
}

function execute(command: readonly string[], cwd = ROOT): Promise<Ran> {
  const [file, ...args] = command as [string, ...string[]]
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

function tool(name: string): string {
  return join(ROOT, 'node_modules/.bin', name)
}

/** A verdict that needs both the exit code and a count above zero in the output. */
function counted(ran: Ran, files: number, unit: string): Verdict {
  const output = files > 0 ? ran.output : `${ran.output}\nit looked at nothing\n`
  return { ok: ran.code === 0 && files > 0, looked: `${files} ${unit}`, output }
}

function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}

async function types(): Promise<Verdict> {
  const ran = await execute([tool('tsc'), '--noEmit', '-p', 'tsconfig.json', '--listFiles'])
  const lines = ran.output.split('\n')
  const isFile = (line: string): boolean => line.startsWith('/') || /^[A-Z]:/.test(line)
  const own = lines.filter((line) => isFile(line) && !line.includes('node_modules'))
  return counted({ code: ran.code, output: lines.filter((line) => !isFile(line)).join('\n') }, own.length, 'files')
}

async function lint(): Promise<Verdict> {
  const ran = await execute([tool('oxlint'), '--type-aware', '--deny-warnings'])
  return counted(ran, numberIn(ran.output, /on (\d+) files? with/), 'files')
}

async function format(): Promise<Verdict> {
  // Code only: golden files are what the program writes, byte by byte.
  const code = ['src/**/*.{ts,js}', 'test/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts']
  const ran = await execute([tool('oxfmt'), '--check', ...code])
  return counted(ran, numberIn(ran.output, /on (\d+) files?/), 'files')
}

/** A project of two files of which one is dead: knip must say so, or its green means nothing. */
async function knipFindsTheCanary(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'rohrpost-knip-'))
  try {
    writeFileSync(join(folder, 'package.json'), '{ "name": "canary", "type": "module", "main": "alive.js" }')
    writeFileSync(join(folder, 'alive.js'), 'export const alive = 1\n')
    writeFileSync(join(folder, 'dead.js'), 'export const dead = 1\n')
    const ran = await execute([tool('knip'), '--no-progress'], folder)
    return ran.code !== 0 && ran.output.includes('dead.js')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function deadCode(): Promise<Verdict> {
  const [ran, canary] = await Promise.all([execute([tool('knip'), '--no-progress', '--performance-fn', 'parseFile']), knipFindsTheCanary()])
  const verdict = counted(ran, numberIn(ran.output, /^parseFile\S*\s+(\d+)/m), 'files')
  return canary ? verdict : { ...verdict, ok: false, output: `${ran.output}\nknip did not find the dead file of the canary\n` }
}

async function houseRules(): Promise<Verdict> {
  const ran = await execute([process.execPath, 'scripts/test.ts', 'tidy'])
  return counted(ran, numberIn(ran.output, /ℹ tests (\d+)\n(?!.*ℹ tests)/s), 'tests')
}

const STEPS: readonly Step[] = [
  { name: 'types', check: types },
  { name: 'lint', check: lint },
  { name: 'format', check: format },
  { name: 'dead code', check: deadCode },
  { name: 'house rules', check: houseRules },
]

async function main(): Promise<void> {
  const rows: string[] = []
  let failed = 0
  let last = ''
  for (const { name, check } of STEPS) {
    const started = performance.now()
    const verdict = await check()
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    if (!verdict.ok) {
      failed++
      process.stdout.write(`\n=== ${name} ===\n${verdict.output.trimEnd()}\n`)
    }
    rows.push(`${verdict.ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(12)} ${verdict.looked.padStart(10)} ${seconds.padStart(6)} s`)
    last = verdict.output
  }
  process.stdout.write(`\n${rows.join('\n')}\n\n`)
  process.stdout.write(`${last.slice(last.lastIndexOf('ℹ tests')).trimEnd()}\n`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main()
