// What a listener's sessions are given: names, what is offered, limits, and the decisions of policy as pure functions.
// One object a listener; replies are composed once for it and kept as long as it lives.

import type { Limits } from '../../config/limits.ts'
import type { RecipientDecision, RecipientFacts, SenderDecision, SenderFacts, TlsFacts } from './ports.ts'

export type SmtpKind = 'smtp' | 'submission' | 'lmtp'

export type SmtpLimits = Pick<
  Limits,
  | 'commandLineBytesMax'
  | 'authLineBytesMax'
  | 'recipientsMax'
  | 'messageBytesMax'
  | 'headerBytesMax'
  | 'hopsMax'
  | 'messagesPerConnectionMax'
  | 'commandTimeoutMs'
  | 'dataTimeoutMs'
  | 'transactionMsMax'
  | 'sessionMsMax'
  | 'errorsPerConnectionMax'
  | 'authFailuresPerConnectionMax'
  | 'intakeBacklogBytes'
> & {
  /** Commands without a message between them, RSET and NOOP for instance, before 421; more is somebody holding a slot. */
  readonly idleCommandsMax: number
}

/** What may be switched off because the way behind does not keep it. SIZE, 8BITMIME and PIPELINING always are kept. */
export interface SmtpExtensions {
  /** RFC 3030. */
  readonly chunking: boolean
  /** RFC 3030 §3; only with `chunking`. */
  readonly binaryMime: boolean
  /** RFC 6531. */
  readonly smtpUtf8: boolean
  /** RFC 3461. */
  readonly dsn: boolean
  /** RFC 6710. */
  readonly mtPriority: boolean
  /** RFC 2852: least by-time in seconds for mode R, 0 for none; undefined: not offered. */
  readonly deliverBySeconds: number | undefined
  /** RFC 4865: longest hold in seconds, offered on submission listeners only; 0: not offered. */
  readonly futureReleaseSeconds: number
}

export interface SmtpSessionConfig {
  readonly kind: SmtpKind
  readonly hostname: string
  /** Text behind `220 hostname ESMTP `. */
  readonly banner: string
  /** STARTTLS is possible. */
  readonly startTls: boolean
  /** MAIL is refused with 530 without TLS (RFC 3207 §4). */
  readonly tlsRequired: boolean
  /** MAIL is refused with 530 before AUTH (RFC 4954 §6, RFC 6409 §4.3), except from addresses that may relay without it. */
  readonly authRequired: boolean
  /** SASL mechanisms offered to a connection with this TLS layer, or none, in upper case. */
  mechanisms(tls: TlsFacts | undefined): readonly string[]
  /** All that some connection may be offered after STARTTLS: who asks for one of them without it is told so. */
  readonly tlsMechanisms: readonly string[]
  readonly extensions: SmtpExtensions
  /** What becomes of bare LF in content; bare CR is always refused. */
  readonly bareLf: 'normalize' | 'refuse'
  readonly limits: SmtpLimits
  /** Whether a client may relay by its address alone. */
  mayRelay(address: string): boolean
  /** Whether a peer may say XCLIENT. */
  mayXclient(address: string): boolean
  /** Whether an account may send as `address` (lower case), in MAIL FROM and in From. */
  mayUse(account: string, address: string): boolean
  tenantOf(account: string, client: string): string
  /** Quotas and lists of senders; absent: everybody that came so far may send. */
  decideSender?(facts: SenderFacts): SenderDecision
  decideRecipient(facts: RecipientFacts): RecipientDecision
}
