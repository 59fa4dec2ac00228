// What a settlement, an expiry, a warning or an operator makes of a group. Pure.

import { unreachable } from '../lib/assert.ts'
import { backoffDelay } from '../lib/backoff.ts'
import type { Random } from '../lib/prng.ts'
import { EventType } from './ports.ts'
import type { AdminOrder, BlockedRef, DsnAction, DsnRecipient, RetryPolicy, SpoolEvent, SpoolReply } from './ports.ts'
import type { GroupRecord } from './record.ts'
import { Notify, Outcome, waitingIn } from './types.ts'
import type { Envelope, Recipient, RecipientResult, Settlement } from './types.ts'

/** A group after a change. */
export interface Change {
  /** undefined when no recipient is left. */
  readonly next: GroupRecord | undefined
  readonly events: readonly SpoolEvent[]
  /** Recipients whose sender asked to be told (RFC 3461 §4.1). Null senders are left out by the caller. */
  readonly reports: readonly DsnRecipient[]
  /** For the DSN: on whose word. */
  readonly origin: Origin
}

export interface Origin {
  readonly site: string
  readonly source: string
  readonly peer: string
  readonly peerDsn: boolean
  readonly peerDeliverBy: boolean
  readonly expired: boolean
  readonly lastAttemptAt: number
}

/** RFC 3461 §4.1: without NOTIFY failures and delays are reported, success is not. */
function wants(recipient: Recipient, action: DsnAction): boolean {
  const { notify } = recipient
  if ((notify & Notify.never) !== 0) return false
  if (action === 'failed') return notify === 0 || (notify & Notify.failure) !== 0
  if (action === 'delayed') return notify === 0 || (notify & Notify.delay) !== 0
  return (notify & Notify.success) !== 0
}

/** `451 4.7.1 try later`, or our own words when there was no reply. */
export function replyText({ code, enhanced, text }: SpoolReply): string {
  return [code > 0 ? String(code) : '', enhanced, text].filter((part) => part !== '').join(' ')
}

function report(recipient: Recipient, action: DsnAction, verdict: SpoolReply): DsnRecipient {
  const { address, notify, orcpt } = recipient
  return { address, notify, orcpt, action, code: verdict.code, enhanced: verdict.enhanced, text: verdict.text }
}

/** Handed to something that keeps mail itself, and does not report on that itself: delivery, not relaying (RFC 3464 §2.3.3). */
function isFinal({ site, peerDsn }: Settlement): boolean {
  return !peerDsn && /^(?:lmtp|capture|discard):/.test(site)
}

const EVENT_OF: Readonly<Record<Outcome, EventType>> = {
  [Outcome.delivered]: EventType.delivery,
  [Outcome.deferred]: EventType.delay,
  [Outcome.bounced]: EventType.bounce,
}

/** RFC 2852 §4.1.4: relaying is reported for a trace, and when the time is lost at a peer that knows nothing of it. */
function owesRelay(group: GroupRecord, recipient: Recipient, settlement: Settlement): boolean {
  return (group.traced || (group.timed && !settlement.peerDeliverBy)) && (recipient.notify & Notify.never) === 0
}

/** Success is reported when asked for, unless the peer's DSN makes that its duty (RFC 3461 §5.2.2), or for DELIVERBY. */
function wantsSuccess(group: GroupRecord, recipient: Recipient, action: DsnAction, settlement: Settlement): boolean {
  if (action === 'relayed' && owesRelay(group, recipient, settlement)) return true
  return wants(recipient, action) && (action === 'delivered' || !settlement.peerDsn)
}

/** A report on one recipient's final result, if it is final and wanted. */
function reportOn(group: GroupRecord, recipient: Recipient, result: RecipientResult, settlement: Settlement): DsnRecipient | undefined {
  if (result.outcome === Outcome.deferred) return undefined
  if (result.outcome === Outcome.bounced) return wants(recipient, 'failed') ? report(recipient, 'failed', result) : undefined
  const action = isFinal(settlement) ? 'delivered' : 'relayed'
  return wantsSuccess(group, recipient, action, settlement) ? report(recipient, action, result) : undefined
}

/**
 * Whether a settlement is on the books already, sent again because its acknowledgement was lost; or whether somebody has
 * left the group since its attempt began. That is an attempt beside another one, whose deliver thread had died before its
 * outcome was on disk: its results would be taken for those of others, so who is left is tried again.
 */
export function isStale(group: GroupRecord, settlement: Settlement): boolean {
  if (settlement.places !== group.pending.length) return true
  return group.attempts > 0 && settlement.finishedAt === group.lastAttemptAt && settlement.startedAt === group.lastStartedAt
}

function settlementEvent(group: GroupRecord, recipient: Recipient, result: RecipientResult, settlement: Settlement): SpoolEvent {
  return {
    type: EVENT_OF[result.outcome],
    time: settlement.finishedAt,
    id: group.id,
    recipient: recipient.address,
    tenant: group.tenant,
    source: settlement.source,
    site: settlement.site,
    code: result.code,
    enhanced: result.enhanced,
    reply: result.text,
    attempt: group.attempts + 1,
  }
}

/** Results by index; a recipient without one stays as it is. A second result for one is ignored. */
function byIndex(group: GroupRecord, settlement: Settlement): (RecipientResult | undefined)[] {
  const results = Array.from<RecipientResult | undefined>({ length: group.pending.length })
  for (const result of settlement.results) {
    if (result.index < results.length) results[result.index] ??= result
  }
  return results
}

/** The group with fewer recipients, due again later; expiry is looked at again when it is due (RFC 5321 §4.5.4.1). */
function reschedule(
  group: GroupRecord,
  pending: readonly Recipient[],
  settlement: Settlement,
  last: RecipientResult | undefined,
  retry: RetryPolicy,
  random: Random,
): GroupRecord {
  const attempts = group.attempts + 1
  const due = settlement.finishedAt + backoffDelay(attempts, retry, random)
  return {
    ...group,
    pending,
    recipients: pending.length,
    attempts,
    due: Math.max(Math.min(due, group.expires), settlement.finishedAt),
    lastReply: last ? replyText(last) : group.lastReply,
    lastPeer: settlement.peer,
    lastAttemptAt: settlement.finishedAt,
    lastStartedAt: settlement.startedAt,
  }
}

function tried(recipient: Recipient, { code, enhanced, text, apart }: RecipientResult): Recipient {
  return { ...recipient, ...(apart ? { apart } : undefined), last: { code, enhanced, text } }
}

export function applySettlement(group: GroupRecord, settlement: Settlement, retry: RetryPolicy, random: Random): Change {
  const results = byIndex(group, settlement)
  const events: SpoolEvent[] = []
  const reports: DsnRecipient[] = []
  const pending: Recipient[] = []
  let last: RecipientResult | undefined
  group.pending.forEach((recipient, index) => {
    const result = results[index]
    const stays = !recipient.struck && (!result || result.outcome === Outcome.deferred)
    if (stays) pending.push(result ? tried(recipient, result) : recipient)
    if (!result) return
    if (result.outcome === Outcome.deferred || !last) last = result
    events.push(settlementEvent(group, recipient, result, settlement))
    // Of who was struck the operator's word was the last.
    const told = recipient.struck ? undefined : reportOn(group, recipient, result, settlement)
    if (told) reports.push(told)
  })
  const next = pending.length > 0 ? reschedule(group, pending, settlement, last, retry, random) : undefined
  const { site, source, peer, peerDsn, peerDeliverBy, finishedAt } = settlement
  return { next, events, reports, origin: { site, source, peer, peerDsn, peerDeliverBy, expired: false, lastAttemptAt: finishedAt } }
}

/** Who is concerned by something that is no attempt: those of a group that wait, or some of them. */
interface Concern {
  readonly group: GroupRecord
  readonly recipients: readonly Recipient[]
}

/** One event for each. */
function eventsAbout(
  { group, recipients }: Concern,
  type: EventType,
  now: number,
  verdictOf: (one: Recipient) => SpoolReply,
): SpoolEvent[] {
  const shared = { type, time: now, id: group.id, tenant: group.tenant, source: '', site: '', attempt: group.attempts }
  return recipients.map((recipient) => {
    const { code, enhanced, text } = verdictOf(recipient)
    return { ...shared, recipient: recipient.address, code, enhanced, reply: text }
  })
}

/** A change that no attempt made. */
function originOf(group: GroupRecord, peer: string, expired: boolean): Origin {
  return { site: '', source: '', peer, peerDsn: false, peerDeliverBy: false, expired, lastAttemptAt: group.lastAttemptAt }
}

function all(group: GroupRecord): Concern {
  return { group, recipients: waitingIn(group) }
}

/** Reports to those who want them, each with what `verdictOf` says of it. */
function reportsAbout({ recipients }: Concern, action: DsnAction, verdictOf: (one: Recipient) => SpoolReply): DsnRecipient[] {
  return recipients.filter((recipient) => wants(recipient, action)).map((recipient) => report(recipient, action, verdictOf(recipient)))
}

const UNHEARD: SpoolReply = { code: 0, enhanced: '', text: '' }

/**
 * What a recipient waits for: the last words of its site or of the resolver, else those of its own last attempt. As they
 * were said, since a notification quotes them (RFC 3461 §9.2), and with the code of the real problem (RFC 3463 §3.5).
 */
function heardBy({ reply }: BlockedRef): (recipient: Recipient) => SpoolReply {
  return ({ last }) => reply ?? last ?? UNHEARD
}

function peerOf(group: GroupRecord, { reply, peer }: BlockedRef): string {
  return reply ? (peer ?? '') : group.lastPeer
}

/** RFC 3463 §3.5: X.4.7 "Delivery time expired". undefined when its time is not over. */
export function applyExpiry(group: GroupRecord, blocked: BlockedRef, now: number): Change | undefined {
  if (now < group.expires) return undefined
  const heard = heardBy(blocked)
  const event = (recipient: Recipient): SpoolReply => {
    const reply = heard(recipient)
    const last = replyText(reply)
    return {
      code: reply.code,
      enhanced: '4.4.7',
      text: last === '' ? 'delivery time expired' : `delivery time expired; last reply: ${last}`,
    }
  }
  return {
    next: undefined,
    events: eventsAbout(all(group), EventType.expiry, now, event),
    reports: reportsAbout(all(group), 'failed', heard),
    origin: originOf(group, peerOf(group, blocked), true),
  }
}

/**
 * undefined when it is not owed, or was sent already. `deliverBy` (0: none): news is owed again when that time passes, whatever was
 * told before (RFC 2852 §4.1.3).
 */
export function applyWarning(group: GroupRecord, blocked: BlockedRef, deliverBy: number, now: number): Change | undefined {
  if (group.warnAt === 0 || now < group.warnAt) return undefined
  const next = { ...group, warnAt: deliverBy > now ? deliverBy : 0 }
  return {
    next,
    events: [],
    reports: reportsAbout(all(group), 'delayed', heardBy(blocked)),
    origin: originOf(group, peerOf(group, blocked), false),
  }
}

/** The group without those concerned; undefined when nobody is left. */
function without({ group, recipients }: Concern): GroupRecord | undefined {
  if (recipients.length === waitingIn(group).length) return undefined
  const gone = new Set(recipients)
  return { ...group, pending: group.pending.map((recipient) => (gone.has(recipient) ? { ...recipient, struck: true } : recipient)) }
}

/** No route, or an operator's word. */
export function applyBounce(group: GroupRecord, reply: SpoolReply, now: number): Change {
  return bounced(all(group), reply, now)
}

function bounced(concern: Concern, reply: SpoolReply, now: number): Change {
  const verdict = (): SpoolReply => reply
  const events = eventsAbout(concern, EventType.bounce, now, verdict)
  return { next: without(concern), events, reports: reportsAbout(concern, 'failed', verdict), origin: originOf(concern.group, '', false) }
}

const RETURNED = 'returned to sender by the administrator'

/** undefined when the order changes nothing, as holding what is held. */
export function applyAdmin(group: GroupRecord, { action, reason, only }: AdminOrder, now: number): Change | undefined {
  const wanted = only && (action === 'remove' || action === 'bounce') ? new Set(only) : undefined
  const concern = wanted ? { group, recipients: waitingIn(group).filter(({ address }) => wanted.has(address)) } : all(group)
  if (concern.recipients.length === 0) return undefined
  const changed = (next: GroupRecord | undefined): Change => {
    const events = eventsAbout(concern, EventType.admin, now, () => ({ code: 0, enhanced: '', text: action }))
    return { next, events, reports: [], origin: originOf(group, '', false) }
  }
  switch (action) {
    case 'hold':
      return group.held ? undefined : changed({ ...group, held: true })
    case 'release':
      return group.held ? changed({ ...group, held: false }) : undefined
    case 'retry':
      return changed({ ...group, due: now })
    case 'remove':
      return changed(without(concern))
    case 'bounce':
      return bounced(concern, { code: 0, enhanced: '5.0.0', text: reason || RETURNED }, now)
    default:
      return unreachable(action)
  }
}

/** A message was made durable: one event a recipient. `source` is the client's address. */
export function receptionEvents(envelope: Envelope, groups: readonly GroupRecord[], now: number): SpoolEvent[] {
  const shared = { type: EventType.reception, time: now, id: envelope.id, tenant: envelope.tenant, source: envelope.client, site: '' }
  const events: SpoolEvent[] = []
  for (const group of groups) {
    for (const recipient of group.pending) {
      events.push({ ...shared, recipient: recipient.address, code: 250, enhanced: '2.0.0', reply: '', attempt: 0 })
    }
  }
  return events
}
