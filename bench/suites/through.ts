// What the suites `accept` and `relay` share: the paired runs of several servers, the reference loop, table and charts.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { NeutralSink, runNeutralSource } from '../macro/neutral.ts'
import type { BenchOptions } from '../macro/options.ts'
import { cpuUs } from '../macro/proc.ts'
import { during, progress } from '../macro/progress.ts'
import { saveChart, say } from '../macro/report.ts'
import { Sink } from '../macro/sink.ts'
import { runSource } from '../macro/source.ts'
import { latencyMs, median, medianLatency, type Latency } from '../macro/stats.ts'
import { bars, curves } from '../macro/svg.ts'
import { brief, table, whole } from '../macro/table.ts'
import { haraka } from '../peers/haraka.ts'
import type { Peer, Running } from '../peers/peer.ts'
import { postfix } from '../peers/postfix.ts'
import { rohrpost } from '../peers/rohrpost.ts'
import { Child } from '../../test/support/process.ts'
import { SmtpClient } from '../../test/support/smtp-client.ts'
import { serverTls } from '../../test/support/tls.ts'

/** This checkout without TLS, for comparison with itself. */
const plain: Peer = { ...rohrpost, name: 'plain' }
const PEERS: Readonly<Record<string, Peer>> = { postfix, haraka, plain }
const STALL_MS = 30_000
const MESSAGES_MIN = 200
const HANDSHAKES = 400
const HANDSHAKES_AT_ONCE = 8

/** `accept` sends to a port where nobody listens; `relay` waits until the sink has everything. */
export type Mode = 'accept' | 'relay'

export interface Run {
  readonly messages: number
  readonly perSecond: number
  readonly cpuUsPerMessage: number
  /** Of acceptance: from the end of the content to its 250. Absent with a neutral source. */
  readonly latency: Latency | undefined
  readonly sourceHandshakes: number
  readonly sinkHandshakes: number
}

export interface Outcome {
  readonly peer: string
  readonly version: string
  readonly durability: string
  readonly bytes: number
  readonly runs: readonly Run[]
  readonly perSecond: number
  readonly cpuUsPerMessage: number
  readonly latency: Latency | undefined
  /** Median over the paired runs of Rohrpost's rate divided by this one's; 1 for itself. */
  readonly ratio: number
  /** With --tls. */
  readonly handshakesPerCore: number | undefined
}

export interface ThroughResult {
  readonly outcomes: readonly Outcome[]
  /** CPU a message of the reference loop in µs, by bytes. */
  readonly reference: Readonly<Record<string, number>>
}

interface Contestant {
  readonly peer: Peer
  readonly running: Running
  readonly sink: Sink | NeutralSink
  readonly version: string
}

interface Job {
  readonly options: BenchOptions
  readonly mode: Mode
  readonly bytes: number
}

function contestantsOf(options: BenchOptions): Peer[] {
  const unknown = options.peers.find((name) => !(name in PEERS))
  if (unknown !== undefined) throw new Error(`no peer called ${unknown}; there are ${Object.keys(PEERS).join(', ')}`)
  return [rohrpost, ...options.peers.map((name) => PEERS[name] as Peer)]
}

function speaksTls(peer: Peer, { options }: Job): boolean {
  return options.tls && peer !== plain
}

async function enter(peer: Peer, job: Job, folder: string): Promise<Contestant> {
  progress(`starting ${peer.name}`)
  const tls = speaksTls(peer, job) ? { cert: serverTls.cert, key: serverTls.key } : undefined
  const sinkTls = tls ? { cert: serverTls.certPem, key: serverTls.keyPem } : undefined
  const sink = job.options.neutral ? await NeutralSink.start() : await Sink.start({ tls: sinkTls })
  mkdirSync(folder, { recursive: true })
  const nextPort = job.mode === 'relay' ? sink.port : 1
  try {
    const running = await peer.start({ folder, nextPort, tls, threads: job.options.threads })
    return { peer, running, sink, version: await peer.version() }
  } catch (error) {
    await sink.stop()
    throw error
  }
}

async function leave(contestant: Contestant): Promise<void> {
  await contestant.running.stop()
  await contestant.sink.stop()
}

/** One run: sends the messages and, when relaying, waits for the sink. */
async function send(contestant: Contestant, job: Job, messages: number): Promise<Run> {
  const { running, sink, peer } = contestant
  const { options, bytes } = job
  sink.reset()
  const arrived = job.mode === 'relay' ? sink.reaches(messages, STALL_MS) : undefined
  const before = running.cpuUs()
  const sending = options.neutral
    ? runNeutralSource(running.port, messages, bytes, options.connections)
    : runSource({
        ...options,
        tls: speaksTls(peer, job),
        port: running.port,
        messages,
        bytes,
        perConnection: options.perConnection || Number.MAX_SAFE_INTEGER,
      })
  const both = Promise.all([sending, arrived])
  const [source, arrivedAt] = await during(() => `${peer.name} ${bytes} bytes: ${sink.messages} of ${messages}`, both)
  const seconds = arrivedAt === undefined ? source.seconds : (arrivedAt - source.startedAt) / 1000
  return {
    messages,
    perSecond: messages / seconds,
    cpuUsPerMessage: (running.cpuUs() - before) / messages,
    latency: 'latency' in source ? latencyMs(source.latency) : undefined,
    sourceHandshakes: 'handshakes' in source ? source.handshakes : 0,
    sinkHandshakes: sink instanceof Sink ? sink.handshakes : 0,
  }
}

/** CPU a message of the least that a Node process can do, under the same load. */
async function referenceUs(job: Job, messages: number): Promise<number> {
  const child = new Child([process.execPath, join(import.meta.dirname, '../macro/reference.process.ts')])
  try {
    const port = Number((await child.prints(/reference ready (\d+)/))[1])
    await runSource({ port, messages, bytes: job.bytes, connections: job.options.connections })
    const before = cpuUs(child.pid)
    await runSource({ port, messages, bytes: job.bytes, connections: job.options.connections })
    return (cpuUs(child.pid) - before) / messages
  } finally {
    await child.stop()
  }
}

function messagesFor(peer: Peer, messages: number): number {
  return Math.max(MESSAGES_MIN, Math.round(messages * peer.share))
}

function outcome(
  contestant: Contestant,
  bytes: number,
  runs: readonly Run[],
  ours: readonly Run[],
  handshakes: number | undefined,
): Outcome {
  const latencies = runs.flatMap((run) => run.latency ?? [])
  return {
    peer: contestant.peer.name,
    version: contestant.version,
    durability: contestant.peer.durability,
    bytes,
    runs,
    perSecond: median(runs.map((run) => run.perSecond)),
    cpuUsPerMessage: median(runs.map((run) => run.cpuUsPerMessage)),
    latency: latencies.length > 0 ? medianLatency(latencies) : undefined,
    ratio: median(runs.map((run, index) => (ours[index]?.perSecond ?? NaN) / run.perSecond)),
    handshakesPerCore: handshakes,
  }
}

/** All contestants at one size: warmed up, then in turn, run by run, so that what disturbs the machine disturbs all. */
async function oneSize(job: Job, messages: number, folder: string): Promise<Outcome[]> {
  const contestants: Contestant[] = []
  try {
    for (const peer of contestantsOf(job.options)) contestants.push(await enter(peer, job, join(folder, `${peer.name}-${job.bytes}`)))
    // One run that is not counted: a server that has been up for a minute is what people have.
    for (const contestant of contestants) await send(contestant, job, messagesFor(contestant.peer, messages))
    const runs = contestants.map((): Run[] => [])
    for (let run = 1; run <= job.options.runs; run++) {
      for (const [index, contestant] of contestants.entries()) {
        const result = await send(contestant, job, messagesFor(contestant.peer, messages))
        runs[index]?.push(result)
        say(
          `run ${run}  ${contestant.peer.name.padEnd(9)} ${job.bytes} bytes  ${whole(result.perSecond)}/s  ${whole(result.cpuUsPerMessage)} µs CPU`,
        )
      }
    }
    const outcomes: Outcome[] = []
    for (const [index, contestant] of contestants.entries()) {
      const handshakes = speaksTls(contestant.peer, job) ? await handshakesPerCore(contestant.running) : undefined
      outcomes.push(outcome(contestant, job.bytes, runs[index] ?? [], runs[0] ?? [], handshakes))
    }
    return outcomes
  } finally {
    for (const contestant of contestants) await leave(contestant)
  }
}

function printTable(result: ThroughResult): void {
  const rows = result.outcomes.map(({ peer, version, bytes, perSecond, ratio, cpuUsPerMessage, latency }) => [
    `${peer} ${version}`,
    whole(bytes),
    whole(perSecond),
    peer === 'rohrpost' ? '' : `${brief(ratio)} ×`,
    whole(cpuUsPerMessage),
    whole(result.reference[bytes] ?? NaN),
    ...(['p50', 'p99', 'p99.9', 'p100'] as const).map((key) => (latency ? brief(latency[key]) : '')),
  ])
  say('')
  say(table(['server', 'bytes', 'msg/s', 'rohrpost is', 'CPU µs/msg', 'reference', 'accept p50 ms', 'p99', 'p99.9', 'max'], rows))
}

/** Handshakes that one core of the server makes in a second, each on a connection of its own with EHLO and QUIT. */
async function handshakesPerCore(running: Running): Promise<number> {
  let left = HANDSHAKES
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      using connection = await SmtpClient.connect(running.port)
      await connection.expect(250, 'EHLO bench.test')
      await connection.startTls()
      await connection.expect(221, 'QUIT')
    }
  }
  const before = running.cpuUs()
  await Promise.all(Array.from({ length: HANDSHAKES_AT_ONCE }, client))
  return HANDSHAKES / ((running.cpuUs() - before) / 1e6)
}

function printHandshakes(outcomes: readonly Outcome[]): void {
  for (const { peer, bytes, handshakesPerCore: rate } of outcomes) {
    if (rate !== undefined) say(`${peer}, after the runs of ${bytes} bytes: ${whole(rate)} handshakes a second and core`)
  }
}

function charts(mode: Mode, options: BenchOptions, outcomes: readonly Outcome[]): string[] {
  const names = [...new Set(outcomes.map(({ peer }) => peer))]
  const note = `${options.connections} connections, ${options.neutral ? 'smtp-source and smtp-sink' : 'own source and sink'}${options.tls ? ', STARTTLS' : ''}, medians of ${options.runs}`
  const suffix = `${options.tls ? '-tls' : ''}${options.neutral ? '-neutral' : ''}`
  const rates = outcomes.map(({ peer, bytes, perSecond }) => ({ label: `${peer} ${bytes}`, value: perSecond, series: names.indexOf(peer) }))
  const paths = [saveChart(`${mode}${suffix}-rate`, bars(`${mode}: durable messages a second`, note, '/s', rates))]
  const lines = outcomes.flatMap(({ peer, bytes, latency }) =>
    latency
      ? [
          {
            label: `${peer} ${bytes}`,
            points: [
              [50, latency.p50],
              [90, latency.p90],
              [99, latency.p99],
              [99.9, latency['p99.9']],
              [99.99, latency.p100],
            ] as const,
          },
        ]
      : [],
  )
  if (lines.length > 0)
    paths.push(saveChart(`${mode}${suffix}-latency`, curves(`${mode}: from the final dot to the 250`, note, 'ms', lines)))
  return paths
}

/** Runs a suite in which messages go through servers. */
export async function through(mode: Mode, options: BenchOptions, folder: string, defaultMessages: number): Promise<ThroughResult> {
  const outcomes: Outcome[] = []
  const reference: Record<string, number> = {}
  for (const bytes of options.sizes) {
    const job: Job = { options, mode, bytes }
    const messages = options.messages || defaultMessages
    reference[bytes] = await referenceUs(job, messages)
    outcomes.push(...(await oneSize(job, messages, folder)))
  }
  const result = { outcomes, reference }
  printTable(result)
  printHandshakes(outcomes)
  for (const { peer, durability } of outcomes.filter((one) => one.bytes === options.sizes[0])) say(`${peer}: ${durability}`)
  for (const path of charts(mode, options, outcomes)) say(`chart: ${path}`)
  return result
}
