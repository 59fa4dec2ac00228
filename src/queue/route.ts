// From domain to site: the router's answers, and what they do to the domain's rows. Scheduler thread.
//
// A domain without a route keeps its rows to itself, so that slow DNS delays nobody else. A route holds for its TTL.
// Rows that are ready when it runs out stay where they are; whichever of them is next goes back and asks again (grant.ts).

import type { Domain, SiteState } from './model.ts'
import { SiteState as NewSite } from './model.ts'
import { detach, dropDomain, leave, makeDue, rowRef } from './place.ts'
import type { Reply, RouteAnswer, RowRef, Site } from './ports.ts'
import { NONE, RowState } from './rows.ts'
import { wantRoute } from './route-questions.ts'
import type { QueueState } from './state.ts'

/** A shorter TTL would have the rows of a busy domain ask again and again. */
const ROUTE_TTL_MS_MIN = 30_000
const ROUTE_RETRY_MS_MIN = 1_000

export function routeAnswered<R>(q: QueueState<R>, name: string, answer: RouteAnswer<R>): void {
  const domain = q.domains.find(name)
  if (!domain) return
  q.asked.delete(domain)
  q.wanted.delete(domain)
  domain.question = 'none'
  switch (answer.kind) {
    case 'site':
      found(q, domain, siteFor(q, answer.site), answer.ttlMs)
      break
    case 'permanent':
      unroutable(q, domain, answer.reply)
      break
    case 'temporary':
      postpone(q, domain, answer.reply, answer.retryMs)
      break
  }
  if (domain.rows > 0) return
  if (q.routed(domain)) q.idleDomains.add(domain)
  else dropDomain(q, domain)
}

function siteFor<R>(q: QueueState<R>, site: Site<R>): SiteState<R> {
  let state = q.sites.get(site.key)
  if (state) state.update(site)
  else {
    state = new NewSite(site)
    q.sites.set(site.key, state)
    q.planJanitor()
  }
  return state
}

function found<R>(q: QueueState<R>, domain: Domain<R>, site: SiteState<R>, ttlMs: number): void {
  const moving = domain.site === site ? [] : readyRows(q, domain)
  for (const row of moving) detach(q, row)
  bind(domain, site)
  domain.routeUntil = q.now + Math.max(ttlMs, ROUTE_TTL_MS_MIN)
  domain.retryAt = 0
  domain.reply = undefined
  for (const row of moving) makeDue(q, row, false)
  for (const row of routingRows(q, domain)) {
    detach(q, row)
    makeDue(q, row, false)
  }
}

/** Every row that is due bounces; those due later ask for themselves. */
function unroutable<R>(q: QueueState<R>, domain: Domain<R>, reply: Reply): void {
  const rows = [...readyRows(q, domain), ...routingRows(q, domain)]
  const refs: RowRef[] = rows.map((row) => rowRef(q, row))
  for (const row of rows) leave(q, row)
  bind(domain, undefined)
  domain.routeUntil = 0
  domain.retryAt = 0
  domain.reply = reply
  if (refs.length > 0) q.outbox.bounced.push({ rows: refs, reply })
}

function postpone<R>(q: QueueState<R>, domain: Domain<R>, reply: Reply, retryMs: number): void {
  domain.reply = reply
  domain.retryAt = q.now + Math.max(retryMs, ROUTE_RETRY_MS_MIN)
  if (domain.head !== NONE) q.agenda.set(domain, domain.retryAt)
}

/** The domain's time to ask again has come. */
export function onDomainTime<R>(q: QueueState<R>, domain: Domain<R>): void {
  if (domain.head !== NONE) wantRoute(q, domain)
}

/** An operator wants the domain tried now. */
export function wakeDomain<R>(q: QueueState<R>, domain: Domain<R>): void {
  domain.retryAt = 0
  q.agenda.set(domain, Infinity)
  if (domain.head !== NONE) wantRoute(q, domain)
}

function bind<R>(domain: Domain<R>, site: SiteState<R> | undefined): void {
  if (domain.site === site) return
  if (domain.site) domain.site.domains--
  if (site) site.domains++
  domain.site = site
}

function routingRows<R>(q: QueueState<R>, domain: Domain<R>): number[] {
  const found: number[] = []
  for (let row = domain.head; row !== NONE; row = q.rows.next[row] as number) found.push(row)
  return found
}

/** A domain's rows that are ready, first come first: a scan of two columns, made only when a route changes. */
function readyRows<R>(q: QueueState<R>, domain: Domain<R>): number[] {
  const { rows } = q
  const found: number[] = []
  const count = domain.counts[RowState.ready] as number
  for (let row = 0; found.length < count && row < rows.end; row++) {
    if (rows.domain[row] === domain.number && rows.state[row] === RowState.ready) found.push(row)
  }
  return found.sort((a, b) => (rows.due[a] as number) - (rows.due[b] as number) || (rows.id[a] as number) - (rows.id[b] as number))
}

/** Every route is asked for again before it is used, at once where rows wait: their site may be one that is down. */
export function forgetRoutes<R>(q: QueueState<R>): void {
  for (const domain of q.domains.values()) {
    domain.routeUntil = 0
    domain.retryAt = 0
    if (domain.rows === 0) dropDomain(q, domain)
    else if (domain.head !== NONE || (domain.counts[RowState.ready] as number) > 0) wantRoute(q, domain)
  }
}
