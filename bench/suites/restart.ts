// restart: many messages wait for a dead site and one for a live one. From the start of the process: when is it ready,
// when does the live site get its message, when is everything scheduled?

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { askServer } from '../../src/cli/control.ts'
import { freePort } from '../../test/support/ports.ts'
import { startServer, type Server } from '../../test/support/server.ts'
import { eventually } from '../../test/support/wait.ts'
import type { BenchOptions } from '../macro/options.ts'
import { memoryBytes } from '../macro/proc.ts'
import { during } from '../macro/progress.ts'
import { say } from '../macro/report.ts'
import { Sink } from '../macro/sink.ts'
import { runSource } from '../macro/source.ts'
import { median } from '../macro/stats.ts'
import { brief, table, whole } from '../macro/table.ts'

const MESSAGES = 1_000_000
const DEADLINE_MS = 120_000

interface Times {
  readonly readyMs: number
  readonly firstDeliveryMs: number
  readonly scheduledMs: number
  readonly memoryBytes: number
}

/**
 * Recipients that the scheduler knows, by the gauge of the metrics; NaN before it answers. Asked by the socket: a process
 * for each question would take one of the cores.
 */
async function scheduled(dataDir: string): Promise<number> {
  const rows: string[] = []
  await askServer({ dataDir, verb: 'metrics', args: {} }, (row) => void rows.push(String(row)))
  let sum = NaN
  for (const match of rows.join('\n').matchAll(/^rohrpost_queue\{[^}]*\} (\S+)$/gm)) sum = (Number.isNaN(sum) ? 0 : sum) + Number(match[1])
  return sum
}

async function oneRestart(config: Readonly<Record<string, unknown>>, folder: string, livePort: number, total: number): Promise<Times> {
  const sink = await Sink.start({ port: livePort })
  const startedAt = performance.timeOrigin + performance.now()
  const first = sink.reaches(1, DEADLINE_MS)
  const server = await startServer(config, folder)
  try {
    const readyMs = performance.timeOrigin + performance.now() - startedAt
    const scheduling = eventually(DEADLINE_MS, 'everything is scheduled', async () =>
      (await scheduled(server.dataDir)) >= total ? performance.timeOrigin + performance.now() : undefined,
    )
    const [firstAt, scheduledAt] = await Promise.all([first, scheduling])
    return { readyMs, firstDeliveryMs: firstAt - startedAt, scheduledMs: scheduledAt - startedAt, memoryBytes: memoryBytes(server.pid) }
  } finally {
    await server.stop(60_000)
    await sink.stop()
  }
}

/** Puts one message for the live site, which is down now, behind those for the dead one. */
async function fill(server: Server, options: BenchOptions, total: number): Promise<void> {
  const bytes = options.sizes[0] ?? 1024
  const common = { port: server.port(), bytes, connections: options.connections, pipelining: true }
  await during(() => `queueing ${whole(total)}`, runSource({ ...common, messages: total, recipients: ['b@dead.test'] }))
}

export async function restart(options: BenchOptions, folder: string): Promise<unknown> {
  const total = options.messages || MESSAGES
  const at = join(folder, 'restart')
  mkdirSync(at)
  const livePort = await freePort()
  const config = {
    hostname: 'mx.bench.test',
    threads: { ...options.threads, inspect: 1 },
    listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }],
    relayFrom: ['127.0.0.0/8'],
    routes: [
      { domain: 'live.test', to: `smtp://127.0.0.1:${livePort}` },
      { domain: '*', to: 'smtp://127.0.0.1:1' },
    ],
    log: { level: 'warn' },
  }
  const filling = await startServer(config, at)
  await fill(filling, options, total)
  await filling.stop(60_000)
  const runs: Times[] = []
  for (let run = 0; run < options.runs; run++) {
    const server = await startServer(config, at)
    await runSource({ port: server.port(), messages: 1, bytes: 1024, connections: 1, recipients: ['b@live.test'] })
    await server.stop(60_000)
    runs.push(await oneRestart(config, at, livePort, total))
  }
  const rows = [...runs, medians(runs)].map((times, index) => [
    index < runs.length ? `run ${index + 1}` : 'median',
    ...[times.readyMs, times.firstDeliveryMs, times.scheduledMs].map((ms) => brief(ms)),
    whole(times.memoryBytes / 2 ** 20),
  ])
  say(table([`${whole(total)} queued`, 'ready ms', 'first delivery ms', 'all scheduled ms', 'RssAnon + RssShmem MiB'], rows))
  return { total, runs }
}

function medians(runs: readonly Times[]): Times {
  const of = (key: keyof Times): number => median(runs.map((run) => run[key]))
  return { readyMs: of('readyMs'), firstDeliveryMs: of('firstDeliveryMs'), scheduledMs: of('scheduledMs'), memoryBytes: of('memoryBytes') }
}
