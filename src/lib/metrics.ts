// Counters and latency histograms in shared memory: each thread writes its own row, main reads them all.
//
// A row has one writer, so plain stores do; a reader may see a value one store old, which counters bear.

/** Counters by name, in the order of their columns; `_total` names are Prometheus counters. */
const COUNTERS = [
  'rohrpost_accepted_total',
  'rohrpost_delivered_total',
  'rohrpost_bounced_total',
  'rohrpost_deferred_total',
  'rohrpost_refused_total',
  'rohrpost_commits_total',
  'rohrpost_connections_total',
  'rohrpost_bytes_accepted_total',
] as const
export type CounterName = (typeof COUNTERS)[number]

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

function histogramLines(all: Float64Array, threads: number, lines: string[]): void {
  lines.push('# TYPE rohrpost_accept_seconds histogram')
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
  for (const name of COUNTERS) lines.push(`# TYPE ${name} counter`, `${name} ${counterTotal(memory, name)}`)
  lines.push('# TYPE rohrpost_queue gauge')
  for (const [state, n] of Object.entries(queue)) lines.push(`rohrpost_queue{state="${state}"} ${n}`)
  histogramLines(all, memory.threads.length, lines)
  lines.push('# TYPE rohrpost_loop_delay_seconds gauge')
  memory.threads.forEach((thread, index) => {
    const mean = all[index * ROW + GAUGE_LOOP_DELAY_MEAN] as number
    const p99 = all[index * ROW + GAUGE_LOOP_DELAY_P99] as number
    lines.push(`rohrpost_loop_delay_seconds{thread="${thread}"} ${mean.toFixed(6)}`)
    lines.push(`rohrpost_loop_delay_seconds{thread="${thread}",quantile="0.99"} ${p99.toFixed(6)}`)
  })
  return lines.join('\n') + '\n'
}
