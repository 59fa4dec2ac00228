// queue: memory with many messages queued for a dead site.

import { join } from 'node:path'
import { mkdirSync } from 'node:fs'
import type { BenchOptions } from '../macro/options.ts'
import { during } from '../macro/progress.ts'
import { saveChart, say } from '../macro/report.ts'
import { runSource } from '../macro/source.ts'
import { curves } from '../macro/svg.ts'
import { table, whole } from '../macro/table.ts'
import { rohrpost, type RohrpostRunning } from '../peers/rohrpost.ts'

const MESSAGES = 1_000_000
const STEPS = 10

interface Point {
  readonly queued: number
  readonly memoryBytes: number
  readonly acceptedPerSecond: number
}

/** Queues messages in steps and notes the memory after each. */
async function fill(running: RohrpostRunning, options: BenchOptions, total: number): Promise<Point[]> {
  const points: Point[] = []
  for (let step = 1; step <= STEPS; step++) {
    const messages = Math.round((total * step) / STEPS) - Math.round((total * (step - 1)) / STEPS)
    const sending = runSource({
      ...options,
      port: running.port,
      messages,
      bytes: options.sizes[0] ?? 1024,
      perConnection: Number.MAX_SAFE_INTEGER,
    })
    const { seconds } = await during(() => `queueing ${whole((total * step) / STEPS)} of ${whole(total)}`, sending)
    points.push({
      queued: Math.round((total * step) / STEPS),
      memoryBytes: running.memoryBytes() ?? 0,
      acceptedPerSecond: messages / seconds,
    })
  }
  return points
}

export async function queue(options: BenchOptions, folder: string): Promise<unknown> {
  const total = options.messages || MESSAGES
  mkdirSync(join(folder, 'queue'))
  const running = await rohrpost.start({ folder: join(folder, 'queue'), nextPort: 1, tls: undefined, threads: options.threads })
  try {
    const empty = running.memoryBytes() ?? 0
    const points = await fill(running, options, total)
    const rows = points.map((point) => [whole(point.queued), whole(point.memoryBytes / 2 ** 20), whole(point.acceptedPerSecond)])
    say(table(['queued', 'RssAnon + RssShmem MiB', 'accepted/s'], [['0', whole(empty / 2 ** 20), ''], ...rows]))
    const curve = points.map((point) => [(100 * point.queued) / total, point.memoryBytes / 2 ** 20] as const)
    say(
      `chart: ${saveChart('queue-memory', curves('queue: RssAnon + RssShmem', `per cent of ${whole(total)} messages for a dead site`, 'MiB', [{ label: 'rohrpost', points: curve }]))}`,
    )
    return { total, emptyBytes: empty, points }
  } finally {
    await running.stop()
  }
}
