// Forgets what nobody needs: domains whose route ran out, sites without domains, tenants without rows. Scheduler thread.
//
// A site is kept as long as its rates remember something: a limit an hour must not start anew because the queue was empty.

import { dropDomain } from './place.ts'
import type { Path, SiteState } from './model.ts'
import type { QueueState } from './state.ts'

export function cleanUp<R>(q: QueueState<R>): void {
  for (const domain of q.idleDomains) if (!q.routed(domain)) dropDomain(q, domain)
  for (const site of q.sites.values()) tidySite(q, site)
  for (const tenant of q.tenants.values()) if (tenant.idle(q.now)) q.tenants.remove(tenant)
  for (const [key, { until }] of q.suspensions) if (until <= q.now) q.suspensions.delete(key)
  if (q.sites.size + q.tenants.size + q.idleDomains.size > 0) q.planJanitor()
}

function tidySite<R>(q: QueueState<R>, site: SiteState<R>): void {
  const memoryMs = q.settings.backoff.maxMs
  for (let i = site.queues.length - 1; i >= 0; i--) if (site.queues[i]?.count === 0) site.queues.splice(i, 1)
  for (let i = site.paths.length - 1; i >= 0; i--) if ((site.paths[i] as Path<R>).idle(q.now, memoryMs)) site.paths.splice(i, 1)
  if (site.domains > 0 || site.paths.length > 0 || site.ready > 0) return
  q.agenda.set(site, Infinity)
  q.starved.delete(site)
  q.sites.delete(site.key)
}
