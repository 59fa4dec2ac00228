// spool: the writer of one shard in this process, without sockets: how many messages a second become durable, how many
// share a commit, how long a commit is waited for. `accept` announces and keeps; `accept + settle` also takes each out
// again, as a delivery does.

import { join } from 'node:path'
import { build } from 'hdr-histogram-js'
import { systemClock } from '../../src/lib/clock.ts'
import { Prng } from '../../src/lib/prng.ts'
import { SpoolOwner } from '../../src/spool/owner.ts'
import type { SpoolHost, SpoolOptions } from '../../src/spool/ports.ts'
import { Outcome, type QueueRow, type Settlement } from '../../src/spool/types.ts'
import type { BenchOptions } from '../macro/options.ts'
import { during } from '../macro/progress.ts'
import { saveChart, say } from '../macro/report.ts'
import { latencyMs, median, type Latency } from '../macro/stats.ts'
import { bars } from '../macro/svg.ts'
import { brief, table, whole } from '../macro/table.ts'

const MESSAGES = 20_000
const CHUNK = Buffer.alloc(64 * 1024, 'The quick brown fox jumps over the lazy dog.\r\n')

const OPTIONS: SpoolOptions = {
  clock: systemClock,
  random: new Prng(1),
  retry: { firstMs: 300_000, maxMs: 14_400_000, expireMs: 432_000_000 },
  warnAfterMs: 14_400_000,
  minFreeBytes: 1,
}

interface Run {
  readonly perSecond: number
  readonly cpuUsPerMessage: number
  readonly messagesPerCommit: number
  readonly latency: Latency
}

interface Outcomes {
  readonly bytes: number
  readonly settle: boolean
  readonly runs: readonly Run[]
}

function settlementOf(row: QueueRow): Settlement {
  const now = systemClock.now()
  const results = [{ index: 0, outcome: Outcome.delivered, code: 250, enhanced: '2.0.0', text: 'ok' }]
  const where = {
    site: 'smtp://127.0.0.1:2526',
    source: 'default',
    peer: '127.0.0.1[127.0.0.1]:2526',
    peerDsn: false,
    peerDeliverBy: false,
    tls: '',
  }
  return { id: row.id, group: row.group, results, places: row.recipients, ...where, startedAt: now, finishedAt: now }
}

/** Keeps so many messages under way at once. */
class Clients {
  readonly #bytes: number
  readonly #connections: number
  readonly #settle: boolean
  readonly latency: ReturnType<typeof build> = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  })
  owner: SpoolOwner | undefined
  done = 0

  constructor(bytes: number, connections: number, settle: boolean) {
    this.#bytes = bytes
    this.#connections = connections
    this.#settle = settle
  }

  host(): SpoolHost {
    const fail = (fields: object, text: string): never => {
      throw new Error(`${text} ${JSON.stringify(fields)}`)
    }
    return {
      log: { info: () => undefined, warn: fail, error: fail },
      announce: (rows) => {
        if (this.#settle) this.owner?.settle(rows.map(settlementOf), () => undefined)
      },
      settled: () => undefined,
    }
  }

  async run(total: number): Promise<void> {
    this.done = 0
    let left = total
    const client = async (): Promise<void> => {
      while (left-- > 0) {
        await this.#one()
        this.done++
      }
    }
    await Promise.all(Array.from({ length: this.#connections }, client))
    await this.owner?.flush()
  }

  #one(): Promise<void> {
    const owner = this.owner as SpoolOwner
    const startedAt = systemClock.mono()
    const intake = owner.openMessage()
    for (let left = this.#bytes; left > 0; left -= CHUNK.length) intake.write(CHUNK, 0, Math.min(left, CHUNK.length))
    const names = { sender: 'a@example.org', envid: '', tenant: 'bench', account: '', client: '127.0.0.1' }
    const envelope = { id: intake.id, acceptedAt: systemClock.now(), flags: 0, bytes: this.#bytes, priority: 0, deliverBy: 0, ...names }
    const recipient = { address: 'b@example.net', notify: 0, orcpt: '', domain: 'example.net' }
    return new Promise((resolve, reject) => {
      intake.commit(envelope, [recipient], (error) => {
        this.latency.recordValue(Math.round((systemClock.mono() - startedAt) * 1000))
        if (error) reject(new Error(error.cause))
        else resolve()
      })
    })
  }
}

async function oneRun(clients: Clients, owner: SpoolOwner, messages: number): Promise<Run> {
  clients.latency.reset()
  const commits = owner.counts().commits
  const cpu = process.cpuUsage()
  const startedAt = systemClock.mono()
  await during(() => `${clients.done} of ${messages}`, clients.run(messages))
  const seconds = (systemClock.mono() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return {
    perSecond: messages / seconds,
    cpuUsPerMessage: (user + system) / messages,
    messagesPerCommit: messages / (owner.counts().commits - commits),
    latency: latencyMs(clients.latency),
  }
}

async function measure(options: BenchOptions, bytes: number, settle: boolean, folder: string): Promise<Outcomes> {
  const clients = new Clients(bytes, options.connections, settle)
  const owner = await SpoolOwner.open(join(folder, `spool-${bytes}-${settle ? 'settle' : 'accept'}`), [0], OPTIONS, clients.host())
  clients.owner = owner
  const messages = options.messages || MESSAGES
  try {
    await clients.run(Math.min(messages, 1_000))
    const runs: Run[] = []
    for (let run = 0; run < options.runs; run++) runs.push(await oneRun(clients, owner, messages))
    return { bytes, settle, runs }
  } finally {
    await owner.close()
  }
}

export async function spool(options: BenchOptions, folder: string): Promise<unknown> {
  const outcomes: Outcomes[] = []
  for (const bytes of options.sizes) {
    for (const settle of [false, true]) outcomes.push(await measure(options, bytes, settle, folder))
  }
  const of = (runs: readonly Run[], pick: (run: Run) => number): number => median(runs.map(pick))
  const rows = outcomes.map(({ bytes, settle, runs }) => [
    settle ? 'accept + settle' : 'accept',
    whole(bytes),
    whole(of(runs, (run) => run.perSecond)),
    whole(of(runs, (run) => run.cpuUsPerMessage)),
    brief(of(runs, (run) => run.messagesPerCommit)),
    brief(of(runs, (run) => run.latency.p50)),
    brief(of(runs, (run) => run.latency.p99)),
  ])
  say(table(['', 'bytes', 'msg/s', 'CPU µs/msg', 'msg/commit', 'p50 ms', 'p99'], rows))
  const items = outcomes.map(({ bytes, settle, runs }) => ({
    label: `${settle ? 'accept + settle' : 'accept'} ${bytes}`,
    value: of(runs, (run) => run.perSecond),
    series: settle ? 1 : 0,
  }))
  const note = `one shard, ${options.connections} messages under way, every commit on disk`
  say(`chart: ${saveChart('spool-rate', bars('spool: durable messages a second', note, '/s', items))}`)
  return outcomes
}
