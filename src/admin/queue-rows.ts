// Rows of `queue list`: one recipient a line, from the spool, with what the scheduler knows of the moment. Pure but for the reader.

import { parseDuration } from '../config/units.ts'
import { idToText } from '../spool/ids.ts'
import type { LoggedEvent } from '../spool/events.ts'
import { replyText } from '../spool/outcome.ts'
import { EventType } from '../spool/ports.ts'
import type { Envelope, Group } from '../spool/types.ts'
import { EnvelopeFlag, QueueClass, waitingIn } from '../spool/types.ts'

/** One recipient in the queue, as people and scripts see it. Times are ISO 8601, '' where there is none. */
export interface QueueLine {
  readonly id: string
  readonly sender: string
  readonly recipient: string
  readonly tenant: string
  readonly class: string
  readonly site: string
  readonly state: QueueState
  readonly attempts: number
  readonly nextAttempt: string
  readonly expires: string
  readonly bytes: number
  readonly lastReply: string
}

/** `scheduled`: due later. `ready`: due, waits for its turn. `active`: granted to a connection. `held`: by an operator. */
export type QueueState = 'scheduled' | 'ready' | 'active' | 'held'

/** What the scheduler adds to a group. */
export interface Overlay {
  readonly site: string
  readonly state: QueueState
  /** ms since 1970, 0 when no time is known. */
  readonly nextAttempt: number
  /** What the site or the domain said last, '' when nothing or when it is not waited for. */
  readonly lastReply: string
}

/** An envelope as people and scripts see it: flags by their names, times in ISO 8601, what was not asked for left out. */
export function envelopeRow(envelope: Envelope): object {
  const { id, acceptedAt, flags, deliverBy, releaseAt = 0, class: given, ...rest } = envelope
  return {
    id: idToText(id),
    acceptedAt: iso(acceptedAt),
    ...rest,
    flags: Object.entries(EnvelopeFlag).flatMap(([name, bit]) => ((flags & bit) !== 0 ? [name] : [])),
    ...(given !== undefined && { class: className(given) }),
    ...(deliverBy !== 0 && { deliverBy: iso(deliverBy) }),
    ...(releaseAt !== 0 && { releaseAt: iso(releaseAt) }),
  }
}

/** What is told of a text that is no message id. */
export function noId(text: string): string {
  return `${text} is not a message id: eleven letters and digits, as in "queued as ID"`
}

/** What is told of a text that is no age. */
export function noAge(text: string): string {
  return `${text} is not an age, such as 30m, 4h or 2d`
}

/** What was said last of a message that has left: by a peer, or by us. Operators give orders, they do not reply. */
export function lastReplyIn(history: readonly LoggedEvent[]): string {
  const last = history.findLast(({ type }) => type !== EventType.admin && type !== EventType.reception)
  return last ? replyText({ code: last.code, enhanced: last.enhanced, text: last.reply }) : ''
}

/**
 * The history of a message by its groups: each is told what concerns its domains, so that a message to many does not tell
 * all of it with each. `rest` is that of domains that are done with.
 */
export function splitHistory(
  groups: readonly Group[],
  history: readonly LoggedEvent[],
): { readonly parts: readonly (readonly LoggedEvent[])[]; readonly rest: readonly LoggedEvent[] } {
  const byDomain = Map.groupBy(history, ({ recipient }) => domainOf(recipient))
  const waiting = groups.map((group) => [...new Set(waitingIn(group).map(({ address }) => domainOf(address)))])
  const parts = waiting.map((domains) => domains.flatMap((domain) => byDomain.get(domain) ?? []))
  for (const domain of waiting.flat()) byDomain.delete(domain)
  return { parts, rest: [...byDomain.values()].flat().sort((a, b) => a.offset - b.offset) }
}

/** Which lines are wanted; absent fields match everything. Addresses and domains compare without case. */
export interface QueueFilter {
  readonly id?: string
  readonly domain?: string
  readonly sender?: string
  readonly recipient?: string
  readonly tenant?: string
  readonly site?: string
  readonly state?: string
  /** Accepted at least so long ago: a duration such as `2h`. */
  readonly older?: string
}

export function className(given: QueueClass): string {
  return given === QueueClass.bulk ? 'bulk' : 'transactional'
}

/** The state that the stored record alone tells: enough when no server runs. */
export function storedOverlay(group: Group, now: number): Overlay {
  const state = group.held ? 'held' : group.due > now ? 'scheduled' : 'ready'
  return { site: group.domain, state, nextAttempt: group.held ? 0 : group.due, lastReply: '' }
}

/** ISO 8601, '' for 0. */
export function iso(ms: number): string {
  return ms > 0 ? new Date(ms).toISOString() : ''
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase()
}

function same(wanted: string | undefined, value: string): boolean {
  return wanted === undefined || wanted.toLowerCase() === value.toLowerCase()
}

/** By what a line does not show. */
export function matchesEnvelope({ older }: QueueFilter, envelope: Envelope, now: number): boolean {
  return older === undefined || envelope.acceptedAt <= now - (parseDuration(older) ?? Infinity)
}

export function matchesGroup(filter: QueueFilter, group: Group): boolean {
  return same(filter.id, idToText(group.id)) && same(filter.tenant, group.tenant)
}

export function matchesLine(filter: QueueFilter, line: QueueLine): boolean {
  const domain = filter.domain === undefined || same(filter.domain, domainOf(line.recipient))
  return (
    domain &&
    same(filter.sender, line.sender) &&
    same(filter.recipient, line.recipient) &&
    same(filter.site, line.site) &&
    same(filter.state, line.state)
  )
}

export function linesOf(group: Group, envelope: Envelope, overlay: Overlay): QueueLine[] {
  return waitingIn(group).map((recipient) => ({
    id: idToText(group.id),
    sender: envelope.sender,
    recipient: recipient.address,
    tenant: group.tenant,
    class: className(group.class),
    site: overlay.site,
    state: overlay.state,
    attempts: group.attempts,
    nextAttempt: iso(overlay.nextAttempt),
    expires: iso(group.expires),
    bytes: group.bytes,
    // Its own, where it was tried.
    lastReply: recipient.last ? replyText(recipient.last) : overlay.lastReply,
  }))
}
