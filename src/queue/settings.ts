// The scheduler's settings: what holds when nothing is set, and how a change takes effect while rows wait. Scheduler thread.

import type { Config } from '../config/schema.ts'
import { assert } from '../lib/assert.ts'
import type { QueueClass } from '../spool/types.ts'
import { poolNamed, type Tenant } from './model.ts'
import { detach, makeDue } from './place.ts'
import type { SchedulerSettings } from './ports.ts'
import { RowState } from './rows.ts'
import type { QueueState } from './state.ts'

export const DEFAULT_SETTINGS: SchedulerSettings = {
  transactionalShare: 0.9,
  grantSlotMs: 5_000,
  rowsPerConnection: 4,
  stallMs: 1_000,
  backoff: { firstMs: 60_000, unreachedFirstMs: 5_000, maxMs: 3_600_000 },
  connectionsTotal: 5_000,
  routeQuestions: 5_000,
  settleGraceMs: 1_000,
  errorDelayMs: 60_000,
  residentEntries: 3_000_000,
  rowsPerTick: 10_000,
  pools: [{ name: 'default', sources: [{ name: 'default', weight: 1 }] }],
  poolOf: () => 'default',
  tenant: () => ({ weight: 1, messageRate: undefined }),
}

/** What the configuration says of it. */
export function schedulerSettings(config: Pick<Config, 'limits' | 'threads' | 'retry'>): Partial<SchedulerSettings> {
  const { grantSlotMs, outboundConnectionsMax, residentEntriesMax } = config.limits
  const { backoff } = DEFAULT_SETTINGS
  const { firstMs, maxMs } = config.retry
  return {
    grantSlotMs,
    residentEntries: residentEntriesMax,
    connectionsTotal: outboundConnectionsMax * config.threads.deliver,
    // A site that was not reached is never tried later than a message that was refused.
    backoff: {
      firstMs: Math.min(backoff.firstMs, firstMs),
      unreachedFirstMs: Math.min(backoff.unreachedFirstMs, firstMs),
      maxMs: Math.min(backoff.maxMs, maxMs),
    },
  }
}

/** Relations that the algorithms rely on; the configuration's own check gives people their messages. */
export function checkSettings(settings: SchedulerSettings): void {
  const { transactionalShare, pools } = settings
  assert(transactionalShare >= 0.5 && transactionalShare <= 0.99, 'transactionalShare is 0.5 to 0.99')
  assert(settings.rowsPerConnection >= 1, 'rowsPerConnection is at least 1')
  assert(settings.connectionsTotal >= 1 && settings.routeQuestions >= 1 && settings.rowsPerTick >= 1, 'bounds are at least 1')
  assert(settings.residentEntries >= 16, 'residentEntries is at least 16')
  const { firstMs, unreachedFirstMs, maxMs } = settings.backoff
  assert(unreachedFirstMs > 0 && firstMs >= unreachedFirstMs && maxMs >= firstMs, 'backoff grows')
  assert(pools.length > 0 && pools.every((pool) => pool.sources.length > 0), 'each pool has a source')
  assert(
    pools.every((pool) => pool.sources.every((source) => source.weight > 0)),
    'weights are above 0',
  )
}

/** Weights, rates and pools of known tenants change; rows whose pool changed move to it. */
export function reconfigure<R>(q: QueueState<R>, settings: SchedulerSettings): void {
  checkSettings(settings)
  const moving = rowsChangingPool(q, settings)
  for (const row of moving) detach(q, row)
  q.settings = settings
  q.backlog.trimAt = settings.residentEntries
  for (const tenant of q.tenants.values()) tenant.configure(settings)
  for (const site of q.sites.values()) {
    // A pool that is gone has no rows left here.
    for (let i = site.queues.length - 1; i >= 0; i--) if (site.queues[i]?.count === 0) site.queues.splice(i, 1)
    for (const queue of site.queues) queue.pool = poolNamed(settings, queue.pool.name)
  }
  for (const row of moving) makeDue(q, row, false)
}

function rowsChangingPool<R>(q: QueueState<R>, settings: SchedulerSettings): number[] {
  const changes = new Map<Tenant, [boolean, boolean]>()
  const moving: number[] = []
  for (let row = 0; row < q.rows.end; row++) {
    if (q.rows.state[row] !== RowState.ready) continue
    const tenant = q.tenantOf(row)
    let changed = changes.get(tenant)
    if (!changed) {
      changed = [poolChanges(q, tenant, 0, settings), poolChanges(q, tenant, 1, settings)]
      changes.set(tenant, changed)
    }
    if (changed[q.rows.class[row] as QueueClass]) moving.push(row)
  }
  return moving.sort((a, b) => (q.rows.due[a] as number) - (q.rows.due[b] as number))
}

function poolChanges<R>(q: QueueState<R>, tenant: Tenant, cls: QueueClass, settings: SchedulerSettings): boolean {
  return tenant.pool(cls, q.settings).name !== poolNamed(settings, settings.poolOf(tenant.name, cls)).name
}
