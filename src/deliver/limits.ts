// The limits of outbound connections: those of config/limits.ts, and some that nobody needs to set. Pure.

import type { Limits } from '../config/limits.ts'

const MINUTE = 60 * 1000

export interface DeliverLimits extends Pick<
  Limits,
  | 'recipientsPerTransactionMax'
  | 'replyTextBytes'
  | 'replyLineBytesMax'
  | 'replyLinesMax'
  | 'outboundConnectionsMax'
  | 'connectTimeoutMs'
  | 'bannerTimeoutMs'
  | 'replyTimeoutMs'
  | 'startTlsTimeoutMs'
  | 'dataReplyTimeoutMs'
  | 'dataBlockTimeoutMs'
  | 'finalDotTimeoutMs'
  | 'resetTimeoutMs'
> {
  /** Addresses of one host tried for one connection, so that those of a dead one do not hide the next. Postfix tries 5 in all. */
  readonly addressesPerHostMax: number
  /**
   * Addresses tried for one connection before its site is backed off; one of every host (RFC 5321 §5.1) even when those are
   * more. As many times `connectTimeoutMs` are the longest that connecting takes.
   */
  readonly addressesPerConnectionMax: number
  /** How long an address that did not answer is tried behind all others. */
  readonly silenceMs: number
  /** TLS sessions kept for resumption; one is about 2 KB. */
  readonly tlsSessionsMax: number
  /** Hosts remembered for failed handshakes, and addresses for their silence. */
  readonly hostsRememberedMax: number
  /** How long a host whose opportunistic handshake failed is spoken to in plain text before TLS is tried again. */
  readonly tlsFailureMs: number
}

export function deliverLimits(limits: Limits): DeliverLimits {
  return {
    ...limits,
    addressesPerHostMax: 5,
    addressesPerConnectionMax: 10,
    silenceMs: 5 * MINUTE,
    tlsSessionsMax: 4096,
    hostsRememberedMax: 4096,
    tlsFailureMs: 10 * MINUTE,
  }
}

/** Items asked for at once: at 4,000 messages a second over ten connections, 40 are what one sends in 100 ms. */
export const PULL_ITEMS_MAX = 64

/** One read of a body that is not inline, and the most that waits in a socket for a slow peer. */
export const BODY_PIECE_BYTES: number = 128 * 1024

/** From this size BDAT saves looking for dots (RFC 3030 §2). */
export const BDAT_FROM_BYTES: number = 64 * 1024

/** Settlements collected in one turn before they are handed on early. */
export const SETTLE_BATCH_MAX = 256

/** Rounds of PBKDF2 that a peer may demand (RFC 7677 §4 asks for at least 4,096): they hold up the thread, 60 ms here. */
export const SCRAM_ITERATIONS_MAX = 200_000

/** The scheduler closes idle connections. One that it has forgotten ends by itself, so much later that work under way arrives. */
export const IDLE_GRACE_MS = 5000

/** How often deadlines are looked at, in ms. */
export const SWEEP_MS = 1000
