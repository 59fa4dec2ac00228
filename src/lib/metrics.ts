// Counters and latency histograms in shared memory: each thread writes its own row, main reads them all.
//
// A row has one writer, so plain stores do; a reader may see a value one store old, which counters bear.

/** Counters with their HELP, in the order of their columns. */
const COUNTER_HELP = {
  rohrpost_accepted_total: 'Recipients of messages on disk: those that were answered 250, and notifications of our own.',
  rohrpost_delivered_total: 'Recipients that a peer has taken.',
  rohrpost_bounced_total: 'Recipients given up: refused for good, or out of time.',
  rohrpost_deferred_total: 'Attempts that put a recipient off, each counted anew.',
  rohrpost_refused_total: 'Connections, commands, recipients and messages of clients that were refused.',
  rohrpost_commits_total: 'Commits of the spool index: one fdatasync for everything in the group.',
  rohrpost_connections_total: 'Connections of clients that were admitted.',
  rohrpost_bytes_accepted_total: 'Bytes of the messages that were answered 250.',
} as const
export type CounterName = keyof typeof COUNTER_HELP
const COUNTERS = Object.keys(COUNTER_HELP) as readonly CounterName[]

export interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  /** HELP of the text format: one line. */
  readonly help: string
}

const QUEUE: Metric = {
  name: 'rohrpost_queue',
  type: 'gauge',
  labels: ['state'],
  help: 'Entries of the queue, one a message and routing domain; those that wait on disk beyond limits.residentEntriesMax are paged.',
}
const ACCEPT_SECONDS: Metric = {
  name: 'rohrpost_accept_seconds',
  type: 'histogram',
  labels: ['le'],
  help: 'Seconds from the last byte of a message to its durable 250.',
}
const LOOP_DELAY: Metric = {
  name: 'rohrpost_loop_delay_seconds',
  type: 'gauge',
  labels: ['thread', 'quantile'],
  help: 'Delay of the event loop of a thread in the last second: the mean, and with the label quantile the 99th percentile.',
}

/** Every metric, in the order of the text. */
export const METRICS: readonly Metric[] = [
  ...COUNTERS.map((name): Metric => ({ name, type: 'counter', labels: [], help: COUNTER_HELP[name] })),
  QUEUE,
  ACCEPT_SECONDS,
  LOOP_DELAY,
]

// Log-linear buckets as in HdrHistogram: 8 steps an octave, from 1 µs to 2^36 µs (19 hours).
const STEPS_PER_OCTAVE = 8
const OCTAVES = 36
const BUCKETS = STEPS_PER_OCTAVE * OCTAVES

const GAUGE_LOOP_DELAY_MEAN = COUNTERS.length
const GAUGE_LOOP_DELAY_P99 = COUNTERS.length + 1
const HISTOGRAM_AT = COUNTERS.length + 2
const ROW = HISTOGRAM_AT + BUCKETS

export interface MetricsMemory {
  readonly buffer: SharedArrayBuffer
  readonly threads: readonly string[]
}

/** Makes zeroed memory with a row for each thread name. */
export function makeMetrics(threads: readonly string[]): MetricsMemory {
  return { buffer: new SharedArrayBuffer(threads.length * ROW * 8), threads }
}

function bucketOf(us: number): number {
  if (us < 1) return 0
  const octave = 31 - Math.clz32(us)
  const step = Math.floor((us / 2 ** octave - 1) * STEPS_PER_OCTAVE)
  return Math.min(octave * STEPS_PER_OCTAVE + step, BUCKETS - 1)
}

/** Upper bound of a bucket in µs. */
function bucketLimit(bucket: number): number {
  return 2 ** Math.floor(bucket / STEPS_PER_OCTAVE) * (1 + ((bucket % STEPS_PER_OCTAVE) + 1) / STEPS_PER_OCTAVE)
}

/** One thread's row. */
export class ThreadMetrics {
  readonly #row: Float64Array
  readonly #column = new Map<CounterName, number>(COUNTERS.map((name, index) => [name, index]))

  constructor(memory: MetricsMemory, thread: string) {
    const index = memory.threads.indexOf(thread)
    if (index < 0) throw new RangeError(`no metrics row for thread ${thread}`)
    this.#row = new Float64Array(memory.buffer, index * ROW * 8, ROW)
  }

  add(name: CounterName, n = 1): void {
    const column = this.#column.get(name) as number
    this.#row[column] = (this.#row[column] as number) + n
  }

  /** From the last body byte to the durable 250, in µs. */
  acceptLatency(us: number): void {
    const at = HISTOGRAM_AT + bucketOf(Math.min(us, 0x7fffffff))
    this.#row[at] = (this.#row[at] as number) + 1
  }

  /** Event-loop delay of this thread since the last call, in seconds. */
  loopDelay(mean: number, p99: number): void {
    this.#row[GAUGE_LOOP_DELAY_MEAN] = mean
    this.#row[GAUGE_LOOP_DELAY_P99] = p99
  }
}

/** Reads the sum of a counter over all threads. */
export function counterTotal(memory: MetricsMemory, name: CounterName): number {
  const column = COUNTERS.indexOf(name)
  const all = new Float64Array(memory.buffer)
  let total = 0
  for (let i = 0; i < memory.threads.length; i++) total += all[i * ROW + column] as number
  return total
}

/** What stands above the samples of a metric. */
function head({ name, type, help }: Metric): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}

function histogramLines(all: Float64Array, threads: number, lines: string[]): void {
  lines.push(...head(ACCEPT_SECONDS))
  let cumulative = 0
  let sum = 0
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    let n = 0
    for (let thread = 0; thread < threads; thread++) n += all[thread * ROW + HISTOGRAM_AT + bucket] as number
    if (n === 0) continue
    cumulative += n
    sum += n * bucketLimit(bucket)
    lines.push(`rohrpost_accept_seconds_bucket{le="${(bucketLimit(bucket) / 1e6).toPrecision(4)}"} ${cumulative}`)
  }
  lines.push(`rohrpost_accept_seconds_bucket{le="+Inf"} ${cumulative}`)
  lines.push(`rohrpost_accept_seconds_sum ${(sum / 1e6).toFixed(6)}`, `rohrpost_accept_seconds_count ${cumulative}`)
}

/** Prometheus text exposition (format 0.0.4). `queue` counts entries by state, from the scheduler. */
export function prometheusText(memory: MetricsMemory, queue: Readonly<Record<string, number>>): string {
  const all = new Float64Array(memory.buffer)
  const lines: string[] = []
  for (const metric of METRICS) {
    if (metric.type === 'counter') lines.push(...head(metric), `${metric.name} ${counterTotal(memory, metric.name as CounterName)}`)
  }
  lines.push(...head(QUEUE))
  for (const [state, n] of Object.entries(queue)) lines.push(`rohrpost_queue{state="${state}"} ${n}`)
  histogramLines(all, memory.threads.length, lines)
  lines.push(...head(LOOP_DELAY))
  memory.threads.forEach((thread, index) => {
    const mean = all[index * ROW + GAUGE_LOOP_DELAY_MEAN] as number
    const p99 = all[index * ROW + GAUGE_LOOP_DELAY_P99] as number
    lines.push(`rohrpost_loop_delay_seconds{thread="${thread}"} ${mean.toFixed(6)}`)
    lines.push(`rohrpost_loop_delay_seconds{thread="${thread}",quantile="0.99"} ${p99.toFixed(6)}`)
  })
  return lines.join('\n') + '\n'
}
