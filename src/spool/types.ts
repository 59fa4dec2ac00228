// The data model of a queued message: what is stored, what travels between threads. Types only, no thread.
//
// One immutable message record (Envelope + body), and one group record a (message, routing domain).
// STATES.md says which records exist in which state.

/**
 * A message id: shard * 2^46 + sequence, a safe integer. Never reused (the shard persists a high-water mark that
 * sequences stay below). As text, in `250 2.0.0 queued as ID`, Received, events and explain: see ids.ts.
 */
export type MessageId = number

/** Bits of Envelope.flags. */
export const EnvelopeFlag = {
  /** A body line starts with a dot, so that DATA must stuff. Without it the body goes out as it lies. */
  dots: 1,
  /** The body has bytes above 127: the peer needs 8BITMIME. */
  eightBit: 2,
  /** BODY=BINARYMIME: the peer needs BINARYMIME and CHUNKING, or the body is converted. */
  binary: 4,
  /** MAIL carried SMTPUTF8 and an address or header needs it (RFC 6531). */
  smtputf8: 8,
  /** The body does not end in CRLF: only BDAT can make one. */
  noFinalCrlf: 16,
  /** RET=HDRS (RFC 3461 §4.3). */
  retHdrs: 32,
  /** RET=FULL. */
  retFull: 64,
  /** DELIVERBY mode R, else N (RFC 2852). */
  deliverByReturn: 128,
  /** DELIVERBY trace modifier T. */
  deliverByTrace: 256,
  /** Submitted with AUTH, or over LMTP or a submission listener. */
  submission: 512,
} as const

/** What MAIL, AUTH and policy said of a message. Immutable after acceptance. */
export interface Envelope {
  readonly id: MessageId
  /** ms since 1970. */
  readonly acceptedAt: number
  /** Reverse path without brackets; '' is the null sender. */
  readonly sender: string
  /** EnvelopeFlag bits. */
  readonly flags: number
  /** Bytes of the body as stored: Received line included, dots unstuffed, CRLF line ends. */
  readonly bytes: number
  /** ENVID decoded from xtext, '' when absent. */
  readonly envid: string
  readonly tenant: string
  /** Authenticated account, '' when none. */
  readonly account: string
  /** Client's address as text, after PROXY and XCLIENT. */
  readonly client: string
  /** MT-PRIORITY, -9 to 9 (RFC 6710), 0 by default. */
  readonly priority: number
  /** DELIVERBY deadline in ms since 1970, 0 when none (RFC 2852). */
  readonly deliverBy: number
  /** Earliest first attempt in ms since 1970 (FUTURERELEASE, RFC 4865); absent or 0: at once. */
  readonly releaseAt?: number
  /** What HOLDFOR asked for, in seconds; absent or 0: `releaseAt` is what HOLDUNTIL asked for. */
  readonly holdForSeconds?: number
  /** Scheduling class; absent: transactional when `priority` is above 0, else bulk. */
  readonly class?: QueueClass
}

/** Bits of Recipient.notify; 0 is "no NOTIFY given", which means FAILURE and DELAY by RFC 3461 §4.1. */
export const Notify = { success: 1, failure: 2, delay: 4, never: 8 } as const

export const RecipientState = { pending: 0, delivered: 1, bounced: 2, expired: 3, removed: 4 } as const
export type RecipientState = (typeof RecipientState)[keyof typeof RecipientState]

/** What a peer or the resolver said, or our own words (`code` 0). */
export interface SpoolReply {
  readonly code: number
  /** '' when none. */
  readonly enhanced: string
  readonly text: string
}

export interface Recipient {
  /** Forward path without brackets, as the next hop shall see it. */
  readonly address: string
  readonly notify: number
  /** ORCPT as `type;address`, decoded from xtext, '' when absent. */
  readonly orcpt: string
  /** A transaction broke off at its RCPT: it goes in one of its own, behind the others. Absent: no. */
  readonly apart?: boolean
  /** What its last attempt came to, for `queue list` and notifications. Absent: none was made. */
  readonly last?: SpoolReply
  /**
   * An operator took it out of the queue, and not the others. It keeps its place until the next settlement, since the
   * results of an attempt that is under way name places. Absent: no.
   */
  readonly struck?: boolean
}

/** The recipients of a group that still wait. */
export function waitingIn({ pending }: Group): readonly Recipient[] {
  return pending.some(({ struck }) => struck) ? pending.filter(({ struck }) => !struck) : pending
}

/** Scheduling classes, the first goes first. */
export const QueueClass = { transactional: 0, bulk: 1 } as const
export type QueueClass = (typeof QueueClass)[keyof typeof QueueClass]

/**
 * What the scheduler knows of a group: one message's recipients in one routing domain.
 * `domain` is a lower-case A-label domain, an address literal, or a static route's URL such as `smtp://127.0.0.1:2526`.
 */
export interface QueueRow {
  readonly id: MessageId
  /** Index of the group in its message, from 0. */
  readonly group: number
  readonly domain: string
  readonly tenant: string
  readonly class: QueueClass
  readonly priority: number
  /** Earliest next attempt, ms since 1970. FUTURERELEASE and retries set it. */
  readonly due: number
  /** ms since 1970 when the pending recipients are given up. */
  readonly expires: number
  /** ms since 1970 when a DELAY notification is owed, 0 when none or already sent. */
  readonly warnAt: number
  readonly attempts: number
  readonly recipients: number
  readonly bytes: number
  readonly held: boolean
}

/** A group as stored: the row and its recipients that are still pending. */
export interface Group extends QueueRow {
  readonly pending: readonly Recipient[]
  /** Reply of the last attempt for `queue list` and `explain`, '' before the first. */
  readonly lastReply: string
  readonly lastAttemptAt: number
}

/** How one recipient fared in one attempt. */
export const Outcome = { delivered: 0, deferred: 1, bounced: 2 } as const
export type Outcome = (typeof Outcome)[keyof typeof Outcome]

export interface RecipientResult {
  /** Index into Group.pending as it was when the grant was made. */
  readonly index: number
  readonly outcome: Outcome
  /** Basic reply code, 0 when there was no reply. */
  readonly code: number
  /** Enhanced status `2.1.5`, '' when the peer gave none. */
  readonly enhanced: string
  /** Reply text without codes, lines joined by a space, at most limits.replyTextBytes. */
  readonly text: string
  /** From now on it goes apart from the others; see Recipient. Absent: no. */
  readonly apart?: boolean
}

/** The outcome of one attempt at one group; travels deliver -> owner. */
export interface Settlement {
  readonly id: MessageId
  readonly group: number
  readonly results: readonly RecipientResult[]
  /** Length of Group.pending as the attempt found it: an index means something only among so many. */
  readonly places: number
  /** Stable name of the destination, e.g. `smtp://127.0.0.1:2526` or `google`. */
  readonly site: string
  readonly source: string
  /** `host[address]:port` of the peer, '' when no connection was made. */
  readonly peer: string
  /** Whether the peer announced DSN, so that success reports are its duty (RFC 3461 §5.2.2). */
  readonly peerDsn: boolean
  /** Whether the peer announced DELIVERBY and was told the time that remains (RFC 2852 §4.1.4). */
  readonly peerDeliverBy: boolean
  /** `TLSv1.3` and the like, '' for plain. */
  readonly tls: string
  readonly startedAt: number
  readonly finishedAt: number
}

/** What became of a group after a change of it was committed; travels owner -> scheduler. */
export type Settled =
  | { readonly kind: 'gone'; readonly id: MessageId; readonly group: number }
  /** Its attempt is over, or its time is not: it is due again. */
  | { readonly kind: 'rescheduled'; readonly row: QueueRow }
  /** An operator changed it, or its warning was sent. An attempt that is under way goes on. */
  | { readonly kind: 'changed'; readonly row: QueueRow }
