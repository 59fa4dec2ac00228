// The configuration as the scheduler wants it. Pure.

import type { Config } from '../config/schema.ts'
import type { SchedulerSettings } from '../queue/ports.ts'

/** A site that was not reached is tried again sooner than a message that was refused, but never later. */
const BACKOFF_MS_FIRST = 60_000
const BACKOFF_MS_MAX = 3_600_000

/** What limits and retry say to the scheduler; the rest are its defaults. */
export function schedulerSettings(config: Config): Partial<SchedulerSettings> {
  const { retry, limits, threads } = config
  return {
    grantSlotMs: limits.grantSlotMs,
    connectionsTotal: limits.outboundConnectionsMax * threads.deliver,
    backoff: { firstMs: Math.min(BACKOFF_MS_FIRST, retry.firstMs), maxMs: Math.min(BACKOFF_MS_MAX, retry.maxMs) },
  }
}
