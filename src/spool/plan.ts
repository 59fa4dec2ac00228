// Which groups a new message has: its recipients by routing domain, and when each is due. Pure.

import { assert } from '../lib/assert.ts'
import type { AcceptedRecipient, RetryPolicy } from './ports.ts'
import type { GroupRecord } from './record.ts'
import { EnvelopeFlag, QueueClass } from './types.ts'
import type { Envelope, Recipient } from './types.ts'

/** Recipients of one domain beyond this many form another group. */
export const GROUP_RECIPIENTS_MAX = 1000
/** A group's index has 16 bits. More recipients than this are not taken, so that each may have a domain of its own. */
export const RECIPIENTS_MAX = 0x1_0000
const ROUTE_BYTES_MAX = 0xffff

export interface PlanPolicy {
  readonly retry: RetryPolicy
  readonly warnAfterMs: number
}

export function classOf(envelope: Envelope): QueueClass {
  return envelope.class ?? (envelope.priority > 0 ? QueueClass.transactional : QueueClass.bulk)
}

interface Times {
  readonly due: number
  readonly expires: number
  readonly warnAt: number
}

/** Retrying begins at acceptance, or at release (RFC 4865 §4); DELIVERBY may end it or ask for news earlier (RFC 2852 §4.1). */
function timesOf(envelope: Envelope, policy: PlanPolicy): Times {
  const due = Math.max(envelope.acceptedAt, envelope.releaseAt ?? 0)
  const expires = due + policy.retry.expireMs
  const warnAt = policy.warnAfterMs > 0 ? due + policy.warnAfterMs : 0
  if (envelope.deliverBy === 0) return { due, expires, warnAt }
  if ((envelope.flags & EnvelopeFlag.deliverByReturn) !== 0) return { due, expires: Math.min(expires, envelope.deliverBy), warnAt }
  return { due, expires, warnAt: warnAt > 0 ? Math.min(warnAt, envelope.deliverBy) : envelope.deliverBy }
}

interface Share {
  readonly domain: string
  readonly pending: Recipient[]
}

function sharesOf(recipients: readonly AcceptedRecipient[]): Share[] {
  const shares: Share[] = []
  const open = new Map<string, Share>()
  for (const { address, notify, orcpt, domain } of recipients) {
    let share = open.get(domain)
    if (!share || share.pending.length === GROUP_RECIPIENTS_MAX) {
      share = { domain, pending: [] }
      open.set(domain, share)
      shares.push(share)
    }
    share.pending.push({ address, notify, orcpt })
  }
  return shares
}

/** The groups of a new message, in order of the first recipient of each. */
export function planGroups(
  envelope: Envelope,
  recipients: readonly AcceptedRecipient[],
  hasExtents: boolean,
  policy: PlanPolicy,
): GroupRecord[] {
  const shares = sharesOf(recipients)
  assert(shares.length > 0 && shares.length <= RECIPIENTS_MAX, 'number of groups out of range')
  const times = timesOf(envelope, policy)
  return shares.map(({ domain, pending }, group) => {
    assert(domain.length <= ROUTE_BYTES_MAX, 'routing domain too long')
    return {
      id: envelope.id,
      group,
      domain,
      tenant: envelope.tenant,
      class: classOf(envelope),
      priority: envelope.priority,
      ...times,
      attempts: 0,
      recipients: pending.length,
      bytes: envelope.bytes,
      held: false,
      pending,
      lastReply: '',
      lastPeer: '',
      lastAttemptAt: 0,
      hasExtents,
      alone: shares.length === 1,
      timed: envelope.deliverBy !== 0,
      traced: (envelope.flags & EnvelopeFlag.deliverByTrace) !== 0,
      lastStartedAt: 0,
    }
  })
}
