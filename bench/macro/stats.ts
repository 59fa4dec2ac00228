// Small statistics: medians of a few runs, percentiles of many latencies.

import type { Histogram } from 'hdr-histogram-js'

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export const PERCENTILES = [50, 90, 99, 99.9, 100] as const

/** ms by percentile. */
export type Latency = Readonly<Record<`p${(typeof PERCENTILES)[number]}`, number>>

export function latencyMs(histogram: Histogram): Latency {
  return Object.fromEntries(PERCENTILES.map((p) => [`p${p}`, histogram.getValueAtPercentile(p) / 1000])) as Latency
}

/** Median of each percentile over the runs. */
export function medianLatency(runs: readonly Latency[]): Latency {
  return Object.fromEntries(PERCENTILES.map((p) => [`p${p}`, median(runs.map((run) => run[`p${p}`]))])) as Latency
}
