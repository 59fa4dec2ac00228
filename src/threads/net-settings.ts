// The configuration as the parts of a net thread want it: spool, relay policy, networks. Pure.

import type { Config } from '../config/schema.ts'
import { CidrSet } from '../lib/address.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import { RelayPolicy } from '../policy/relay.ts'
import type { SpoolOptions } from '../spool/ports.ts'

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
  return new RelayPolicy({
    hostname: config.hostname,
    postmaster: config.postmaster,
    domains: config.domains,
    relayFrom: cidrs(config.relayFrom),
  })
}
