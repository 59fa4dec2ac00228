// What the spool gives to its host and asks of it: intake, settling, events, delivery status notifications. Types only.
//
// `Intake`, `AcceptedRecipient` and `SpoolError` are structurally those of session/smtp/ports.ts: the spool stands
// further in than sessions and cannot import from there.

import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/prng.ts'
import type { SpoolDisk } from './disk.ts'
import type { Envelope, MessageId, QueueRow, Recipient, Settled, SpoolReply } from './types.ts'

export type { SpoolReply }

/** A message being received. Exactly one of `commit` and `abort` ends it. */
export interface Intake {
  readonly id: MessageId
  /** Appends body bytes; copies them before it returns. */
  write(buf: Buffer, start: number, end: number): void
  /** Bytes written but not yet handed to the disk; the session stops reading above limits.intakeBacklogBytes. */
  backlogBytes(): number
  /** Calls `fn` once when the backlog has drained below the limit. */
  onDrain(fn: () => void): void
  abort(): void
  /** Calls `done` once: without error only after the message is on disk (fdatasync). Never throws. */
  commit(envelope: Envelope, recipients: readonly AcceptedRecipient[], done: (error: SpoolError | undefined) => void): void
}

export interface AcceptedRecipient extends Recipient {
  /** Routing domain or static route, from policy. */
  readonly domain: string
}

/** Why the spool refused: `full` is 452 4.3.1, `stress` 451 4.3.2, `failed` 451 4.3.0. */
export interface SpoolError {
  readonly kind: 'full' | 'stress' | 'failed'
  readonly cause: string
}

/** Names a group; a QueueRow is one. */
export interface RowRef {
  readonly id: MessageId
  readonly group: number
}

/** A group whose time has come while its site or domain did not answer: with what was heard of it last. */
export interface BlockedRef extends RowRef {
  readonly reply?: SpoolReply | undefined
  /** `host[address]:port`, '' when no connection was made. */
  readonly peer?: string
}

/** The part of lib/log.ts that the spool uses. */
export interface SpoolLog {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** The thread that owns shards. All calls come in event turns of their own, after the commit they speak of. */
export interface SpoolHost {
  readonly log: SpoolLog
  /** Groups of new messages (accepted ones and DSNs) that are durable now. */
  announce(rows: readonly QueueRow[]): void
  /** What became of groups that were settled, expired, warned about or changed by an operator. Before the `ack` of their batch. */
  settled(items: readonly Settled[]): void
  /** Each event as it is logged, for counters. */
  event?(event: SpoolEvent): void
}

/** Retry intervals in ms: doubling from `firstMs` to `maxMs`, ±10 %, until `expireMs` after acceptance. */
export interface RetryPolicy {
  readonly firstMs: number
  readonly maxMs: number
  readonly expireMs: number
}

export interface SpoolOptions {
  /** Default: the real one. */
  readonly disk?: SpoolDisk
  readonly clock: Clock
  readonly random: Random
  readonly retry: RetryPolicy
  /** ms after acceptance (or release) when a DELAY notification is owed; 0 = never. */
  readonly warnAfterMs: number
  /** Below this many free bytes (reusable index pages included) messages are refused as `full`. */
  readonly minFreeBytes: number
  /** Writes the notification for `facts`, or says that none is wanted. Pure: a retried settlement asks again. */
  readonly composeDsn?: (facts: DsnFacts) => ComposedDsn | undefined
  /** Number of shards of a data directory made now; an existing one keeps its own. Default 4. */
  readonly shards?: number
  /** A group of settlements alone waits at most so long for company. Default 20. */
  readonly settleDelayMsMax?: number
  /** An accept waits so long for company when nothing is in flight. Default 0. */
  readonly commitDelayMs?: number
  /** `Intake.onDrain` calls back below this backlog. Default 256 KiB. */
  readonly intakeBacklogBytes?: number
  /** A body segment is sealed at this size. Default 64 MiB. */
  readonly segmentBytes?: number
  /** An event file is closed at this size. Default 64 MiB. */
  readonly eventFileBytes?: number
  /** Closed event files older than this are removed. Default 30. */
  readonly eventRetentionDays?: number
}

export type AdminAction = 'hold' | 'release' | 'retry' | 'remove' | 'bounce'

/** What an operator orders for a group. */
export interface AdminOrder {
  readonly action: AdminAction
  /** What the senders of bounced messages are told; '' for a general word. */
  readonly reason: string
  /** Addresses that are removed or bounced; undefined: all of the group. It is held, released and retried as a whole. */
  readonly only: readonly string[] | undefined
}

/** A group and those of its recipients that an order is for. */
export interface AdminRef extends RowRef {
  readonly only?: readonly string[] | undefined
}

export interface SpoolCounts {
  /** Index commits since the owner was opened. */
  readonly commits: number
  readonly messages: number
  readonly groups: number
  /** Bytes of live bodies in segments; inline bodies are not counted. */
  readonly segmentBytes: number
}

/** How the disk keeps up, for the admission signal. The worst of all owned shards. */
export interface SpoolStress {
  /** Duration of the last commit in ms; grows while one is in flight. */
  readonly commitMs: number
  /** Operations waiting for a commit. */
  readonly waiting: number
  /** Body bytes waiting for the disk. */
  readonly backlogBytes: number
  /** Free bytes of the file system, reusable index pages included. */
  readonly freeBytes: number
  /** Below `minFreeBytes`: messages are refused as `full`. */
  readonly full: boolean
  /** The last commit failed; settlements are being retried. */
  readonly failing: boolean
}

export const EventType = {
  /** A recipient of a message that was answered 250, or of a notification of ours. */
  reception: 'reception',
  /** A peer has taken the recipient, or a target of ours such as `capture:`. */
  delivery: 'delivery',
  /** The recipient was given up after a reply for good, by an operator, or because its domain takes no mail. */
  bounce: 'bounce',
  /** An attempt put the recipient off; it will be tried again. */
  delay: 'delay',
  /** The recipient was given up because its time was over; `reply` is what was heard last. */
  expiry: 'expiry',
  /** A client was refused: a command, a recipient or a message. No message was made of it. */
  rejection: 'rejection',
  /** An operator held, released, retried or removed the recipient; `reply` says which. */
  admin: 'admin',
} as const
export type EventType = (typeof EventType)[keyof typeof EventType]

/** One line of the event log before it has its offset. `source` of a reception is the client's address. */
export interface SpoolEvent {
  readonly type: EventType
  /** ms since 1970. */
  readonly time: number
  /** 0 when no message was made, as with rejections. */
  readonly id: MessageId
  readonly recipient: string
  readonly tenant: string
  readonly source: string
  readonly site: string
  readonly code: number
  readonly enhanced: string
  readonly reply: string
  /** Number of the attempt from 1; for what is not one, of the attempts made so far. */
  readonly attempt: number
}

/** RFC 3464 §2.3.3. `relayed`: handed to a peer that does not speak DSN. */
export type DsnAction = 'failed' | 'delayed' | 'delivered' | 'relayed'

export interface DsnRecipient extends Recipient {
  readonly action: DsnAction
  readonly code: number
  readonly enhanced: string
  readonly text: string
}

/**
 * Everything a notification says. Only recipients whose NOTIFY asks for the report are listed, and relayed ones of a
 * message for which DELIVERBY asks for it; never for a null sender.
 */
export interface DsnFacts {
  /** Id reserved for the notification: the same again when its commit is retried. */
  readonly id: MessageId
  /** ms since 1970. */
  readonly now: number
  /** The message reported on. */
  readonly envelope: Envelope
  /** The group reported on, before this change; `expires` is Will-Retry-Until. */
  readonly row: QueueRow
  readonly recipients: readonly DsnRecipient[]
  readonly site: string
  readonly source: string
  /** `host[address]:port`, '' when no connection was made. */
  readonly peer: string
  /** Whether the peer announced DSN (RFC 3461 §5.2.2). */
  readonly peerDsn: boolean
  /** Whether the peer announced DELIVERBY (RFC 2852 §4.1.4.2). */
  readonly peerDeliverBy: boolean
  /** Given up because its time is over, not because of a reply. */
  readonly expired: boolean
  /** ms since 1970 of the last attempt, 0 when there was none. */
  readonly lastAttemptAt: number
  /** The first bytes of the message as stored, at most 64 KiB: the header and as much of the body as fits. */
  readonly content: Buffer
  /** Whether `content` is the whole message. */
  readonly complete: boolean
}

/** A notification to be queued. The owner sets `envelope.id` and `envelope.bytes`. */
export interface ComposedDsn {
  readonly envelope: Envelope
  readonly recipients: readonly AcceptedRecipient[]
  readonly body: Buffer
}
