// The configuration as the parts of the program want it. Pure; main's data in, their options out.

import type { Config } from '../config/schema.ts'
import { CidrSet } from '../lib/address.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import { RelayPolicy } from '../policy/relay.ts'
import type { SchedulerSettings } from '../queue/ports.ts'
import type { SpoolOptions } from '../spool/ports.ts'

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

export interface OwnerPorts {
  readonly clock: Clock
  readonly random: Random
  readonly composeDsn: NonNullable<SpoolOptions['composeDsn']>
}

export function ownerOptions(config: Config, ports: OwnerPorts): SpoolOptions {
  const { retry, limits, events } = config
  return {
    ...ports,
    retry: { firstMs: retry.firstMs, maxMs: retry.maxMs, expireMs: retry.expireMs },
    warnAfterMs: retry.warnAfterMs,
    minFreeBytes: limits.minFreeBytes,
    shards: limits.shards,
    settleDelayMsMax: limits.settleDelayMs,
    intakeBacklogBytes: limits.intakeBacklogBytes,
    segmentBytes: limits.segmentBytes,
    eventFileBytes: limits.eventSegmentBytes,
    eventRetentionDays: events.retentionDays,
  }
}

/** A set of validated prefixes: one that does not parse is a bug. */
export function cidrs(prefixes: readonly string[]): CidrSet {
  const set = CidrSet.parse(prefixes)
  if (!set.ok) throw new Error(set.error)
  return set.value
}

export function relayPolicy(config: Config): RelayPolicy {
  return new RelayPolicy({ hostname: config.hostname, domains: config.domains, routes: config.routes, relayFrom: cidrs(config.relayFrom) })
}
