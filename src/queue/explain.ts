// What people ask the scheduler: how much waits where, which rows, and why one does not move. Scheduler thread.

import { replyText } from '../spool/outcome.ts'
import type { MessageId, QueueClass } from '../spool/types.ts'
import { choosePath, isPath, type Hindrance } from './connect.ts'
import type { Domain, Path, SiteState } from './model.ts'
import { readyQueueOf } from './place.ts'
import type { Binding, GroupExplanation, Rate, Reply, RowFilter, RowPage, RowStateName, RowView, SiteSummary } from './ports.ts'
import { RowState } from './rows.ts'
import type { QueueState } from './state.ts'

/** Rows that one page looks at, so that a filter which matches nothing does not stop the mail either. */
const SCAN_ROWS_MAX = 100_000

const STATE_NAMES: Readonly<Record<number, RowStateName>> = {
  [RowState.held]: 'held',
  [RowState.scheduled]: 'scheduled',
  [RowState.routing]: 'routing',
  [RowState.ready]: 'ready',
  [RowState.inFlight]: 'inFlight',
  [RowState.orphaned]: 'inFlight',
  [RowState.leaving]: 'leaving',
}

function wordsOf(reply: Reply | undefined): string {
  return reply ? replyText(reply) : ''
}

export function viewOf<R>(q: QueueState<R>, row: number): RowView {
  const { rows } = q
  const domain = q.domainOf(row)
  return {
    id: rows.id[row] as MessageId,
    group: rows.group[row] as number,
    domain: domain.name,
    tenant: q.tenantOf(row).name,
    class: rows.class[row] as QueueClass,
    site: domain.site?.key ?? '',
    state: STATE_NAMES[rows.state[row] as number] ?? 'leaving',
    attempts: rows.attempts[row] as number,
    nextAttempt: nextAttemptOf(q, row),
    lastReply: wordsOf(replyOf(q, row)),
  }
}

/** What its site or its domain said last, while it waits for that. */
function replyOf<R>(q: QueueState<R>, row: number): Reply | undefined {
  const domain = q.domainOf(row)
  if (q.rows.state[row] === RowState.routing) return domain.reply
  return q.rows.state[row] === RowState.ready ? domain.site?.paths.find((path) => path.reply)?.reply : undefined
}

/** Its due time, or a later one before which its domain or site will not be tried; 0 when no time ends the wait. */
function nextAttemptOf<R>(q: QueueState<R>, row: number): number {
  const until = blockedUntil(q, row)
  return until === Infinity ? 0 : Math.max(q.ticks.ms(q.rows.due[row] as number), until)
}

function blockedUntil<R>(q: QueueState<R>, row: number): number {
  const domain = q.domainOf(row)
  if (q.rows.state[row] === RowState.held) return Infinity
  if (q.rows.state[row] === RowState.routing) return domain.retryAt
  if (q.rows.state[row] !== RowState.ready || !domain.site) return 0
  const suspension = q.suspension(domain.site)
  if (suspension) return suspension.until
  const answer = choosePath(q, domain.site, readyQueueOf(q, row))
  // Whether a connection comes free is no question of time; nor is one needed where one is open.
  const isFree = isPath(answer) || answer.until === Infinity || domain.site.paths.some((path) => path.up > 0)
  const tenantAt = q.tenantOf(row).freeAt(q.now)
  return Math.max(tenantAt > q.now ? tenantAt : 0, isFree ? 0 : answer.until)
}

export function pageOfRows<R>(q: QueueState<R>, filter: RowFilter, cursor: number, max: number): RowPage {
  const found: RowView[] = []
  const end = Math.min(q.rows.end, cursor + SCAN_ROWS_MAX)
  let row = cursor
  for (; row < end && found.length < max; row++) {
    if (q.rows.state[row] !== RowState.free && matches(q, row, filter)) found.push(viewOf(q, row))
  }
  return { rows: found, next: row < q.rows.end ? row : undefined }
}

function matches<R>(q: QueueState<R>, row: number, { site, domain, tenant, class: cls, state }: RowFilter): boolean {
  return (
    (state === undefined || STATE_NAMES[q.rows.state[row] as number] === state) &&
    (cls === undefined || q.rows.class[row] === cls) &&
    (domain === undefined || q.domainOf(row).name === domain) &&
    (tenant === undefined || q.tenantOf(row).name === tenant) &&
    (site === undefined || (q.domainOf(row).site?.key ?? '') === site)
  )
}

export function summarise<R>(q: QueueState<R>): SiteSummary[] {
  const byKey = new Map<string, { -readonly [K in keyof SiteSummary]: SiteSummary[K] }>()
  for (const site of q.sites.values()) byKey.set(site.key, { ...emptySummary(site.key), ...siteFigures(q, site) })
  for (const domain of q.domains.values()) {
    const key = domain.site?.key ?? ''
    let summary = byKey.get(key)
    if (!summary) byKey.set(key, (summary = emptySummary(key)))
    const count = (state: number): number => domain.counts[state] as number
    summary.domains++
    summary.scheduled += count(RowState.scheduled)
    summary.routing += count(RowState.routing)
    summary.ready += count(RowState.ready)
    summary.inFlight += count(RowState.inFlight) + count(RowState.orphaned)
    summary.held += count(RowState.held)
    if (summary.lastReply === '') summary.lastReply = wordsOf(domain.reply)
  }
  return [...byKey.values()]
}

function emptySummary(site: string): { -readonly [K in keyof SiteSummary]: SiteSummary[K] } {
  return { site, domains: 0, scheduled: 0, routing: 0, ready: 0, inFlight: 0, held: 0, connections: 0, backoffUntil: 0, lastReply: '' }
}

function siteFigures<R>(q: QueueState<R>, site: SiteState<R>): Pick<SiteSummary, 'connections' | 'backoffUntil' | 'lastReply'> {
  const backoffUntil = Math.max(0, ...site.paths.map((path) => path.backoffUntil), q.suspension(site)?.until ?? 0)
  return {
    connections: site.connections,
    backoffUntil: backoffUntil > q.now ? backoffUntil : 0,
    lastReply: wordsOf(site.paths.find((path) => path.reply)?.reply),
  }
}

export function explanationOf<R>(q: QueueState<R>, row: number): GroupExplanation {
  return { ...viewOf(q, row), binding: bindingOf(q, row) }
}

/** Why a group that is in the spool has no row here; undefined when none is left out. */
export function absentBinding<R>(q: QueueState<R>): Binding | undefined {
  if (!q.backlog.absent) return undefined
  const value = `${q.settings.residentEntries} in memory; read from the spool when its queue runs low`
  return { limit: 'residentEntries', value, origin: 'limits.residentEntriesMax' }
}

function bindingOf<R>(q: QueueState<R>, row: number): Binding {
  const due = date(q.ticks.ms(q.rows.due[row] as number))
  const domain = q.domainOf(row)
  switch (q.rows.state[row]) {
    case RowState.held:
      return { limit: 'held', value: 'until released', origin: 'operator' }
    case RowState.scheduled:
      return { limit: 'due', value: due, origin: (q.rows.attempts[row] as number) > 0 ? 'retry' : 'not before' }
    case RowState.routing:
      return routeBinding(q, domain)
    case RowState.ready:
      return readyBinding(q, row, domain.site as SiteState<R>)
    case RowState.inFlight:
    case RowState.orphaned:
      return { limit: 'inFlight', value: due, origin: holderOf(q, row) }
    default:
      return { limit: 'leaving', value: 'expired or bounced', origin: 'its owner writes the report' }
  }
}

function routeBinding<R>(q: QueueState<R>, domain: Domain<R>): Binding {
  const origin = domain.reply ? wordsOf(domain.reply) : `router, ${domain.name}`
  if (domain.retryAt > q.now) return { limit: 'route', value: date(domain.retryAt), origin }
  return { limit: 'route', value: domain.question === 'asked' ? 'asked' : 'to be asked', origin }
}

function readyBinding<R>(q: QueueState<R>, row: number, site: SiteState<R>): Binding {
  const suspension = q.suspension(site)
  if (suspension) return { limit: 'suspended', value: date(suspension.until), origin: suspension.reason }
  if (q.threadsUp().length === 0) return { limit: 'deliverThread', value: 'none', origin: 'threads.deliver' }
  if (q.threadsUp().every((thread) => thread.behind))
    return { limit: 'outcomes', value: 'wait to be written', origin: 'the spool cannot be written, or is slower than the deliveries' }
  const tenant = q.tenantOf(row)
  const tenantFreeAt = tenant.freeAt(q.now)
  if (tenantFreeAt > q.now)
    return { limit: 'tenantRate', value: date(tenantFreeAt), origin: `${tenant.name}: ${rateText(tenant.settings.messageRate)}` }
  return siteBinding(q, row, site) ?? turnBinding(q, row)
}

/** What keeps the whole queue from moving faster, if anything does. */
function siteBinding<R>(q: QueueState<R>, row: number, site: SiteState<R>): Binding | undefined {
  const queue = readyQueueOf(q, row)
  const answer = choosePath(q, site, queue)
  if (isPath(answer))
    return q.starved.has(site)
      ? { limit: 'connectionsTotal', value: String(q.settings.connectionsTotal), origin: 'limits.outboundConnectionsMax' }
      : undefined
  const paths = queue.pool.sources.map((source) => site.path(source))
  // A back-off forbids new connections; where one still works the queue moves.
  if (answer.limit === 'backoff' && paths.some((path) => path.up > 0)) return undefined
  return hindranceBinding(q, site, paths, answer)
}

function hindranceBinding<R>(q: QueueState<R>, site: SiteState<R>, paths: Path<R>[], { limit, until }: Hindrance): Binding | undefined {
  const { limits } = site.site
  switch (limit) {
    case 'backoff': {
      const path = paths.find((candidate) => candidate.backoffUntil > q.now)
      return { limit, value: date(until), origin: `${path?.source} at ${path?.peer || site.key}: ${wordsOf(path?.reply)}` }
    }
    case 'connections':
      return { limit, value: String(limits.connections), origin: originOf(site, limit) }
    case 'connectionRate':
      return { limit, value: rateText(limits.connectionRate), origin: originOf(site, limit) }
    case 'messageRate':
      return {
        limit,
        value: date(until),
        origin: limits.messageRate ? `${originOf(site, limit)}: ${rateText(limits.messageRate)}` : 'asked for by the peer',
      }
    case 'rampUp':
      return paths.some((path) => path.up > 0)
        ? undefined
        : { limit: 'connecting', value: 'first connection is being opened', origin: site.key }
  }
}

function turnBinding<R>(q: QueueState<R>, row: number): Binding {
  const queue = readyQueueOf(q, row)
  const origin = queue.outranked(row) ? 'transactional goes first' : `tenant ${q.tenantOf(row).name}, in its order`
  return { limit: 'turn', value: `${queue.count} ready`, origin }
}

function holderOf<R>(q: QueueState<R>, row: number): string {
  const conn = q.connections.get(q.rows.prev[row] as number)
  if (!conn) return 'a deliver thread'
  return conn.path ? `deliver thread ${conn.thread}, connection ${conn.number}` : `deliver thread ${conn.thread}, from before the restart`
}

function originOf<R>(site: SiteState<R>, limit: string): string {
  return site.site.limits.origins[limit] ?? 'default'
}

function rateText(rate: Rate | undefined): string {
  return rate ? `${rate.count} per ${rate.periodMs / 1000} s` : ''
}

function date(ms: number): string {
  return ms === Infinity ? 'until woken' : new Date(ms).toISOString()
}
