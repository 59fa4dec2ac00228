// logins: acceptance under full load while a thousand connections guess passwords, against the same without them.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startServer, type Server } from '../../test/support/server.ts'
import { Guesser } from '../macro/guesser.ts'
import type { BenchOptions } from '../macro/options.ts'
import { during } from '../macro/progress.ts'
import { say } from '../macro/report.ts'
import { runSource } from '../macro/source.ts'
import { latencyMs, median, medianLatency, type Latency } from '../macro/stats.ts'
import { brief, table, whole } from '../macro/table.ts'

const GUESSERS = 1_000
const MESSAGES = 10_000
const ACCOUNT = 'anna@example.org'

interface Run {
  readonly perSecond: number
  readonly latency: Latency
  /** Logins refused a second, 0 without guessers. */
  readonly guesses: number
}

async function measure(server: Server, options: BenchOptions, guesser: Guesser | undefined): Promise<Run> {
  const messages = options.messages || MESSAGES
  const before = guesser?.answered ?? 0
  const source = runSource({ port: server.port(), messages, bytes: options.sizes[0] ?? 4096, connections: options.connections })
  const { sent, seconds, latency } = await during(() => (guesser ? `${guesser.answered} wrong logins` : 'nobody guesses'), source)
  return { perSecond: sent / seconds, latency: latencyMs(latency), guesses: ((guesser?.answered ?? 0) - before) / seconds }
}

async function guessing(server: Server, options: BenchOptions): Promise<Run> {
  const guesser = new Guesser(server.port(), GUESSERS, ACCOUNT)
  try {
    await guesser.started()
    return await measure(server, options, guesser)
  } finally {
    await guesser.stop()
  }
}

function row(name: string, runs: readonly Run[]): string[] {
  const { p50, p99, p100 } = medianLatency(runs.map((run) => run.latency))
  const perSecond = median(runs.map((run) => run.perSecond))
  return [name, whole(perSecond), brief(p50), brief(p99), brief(p100), whole(median(runs.map((run) => run.guesses)))]
}

export async function logins(options: BenchOptions, folder: string): Promise<unknown> {
  mkdirSync(join(folder, 'logins'))
  const config = {
    hostname: 'mx.bench.test',
    threads: { ...options.threads, inspect: 1 },
    listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }],
    relayFrom: ['127.0.0.0/8'],
    routes: [{ domain: '*', to: 'discard:' }],
    accounts: [{ name: ACCOUNT, password: 'secret' }],
    allowPlaintextAuth: true,
    limits: { connectionsPerClientMax: 2 * GUESSERS },
    log: { level: 'error' },
  }
  const server = await startServer(config, join(folder, 'logins'))
  const calm: Run[] = []
  const attacked: Run[] = []
  try {
    await measure(server, options, undefined)
    for (let run = 0; run < options.runs; run++) {
      calm.push(await measure(server, options, undefined))
      attacked.push(await guessing(server, options))
    }
  } finally {
    await server.stop(60_000)
  }
  const heads = ['', 'messages/s', 'accept p50 ms', 'p99', 'max', 'wrong logins/s']
  say(table(heads, [row('nobody guesses', calm), row(`${whole(GUESSERS)} guess`, attacked)]))
  return { calm, attacked }
}
