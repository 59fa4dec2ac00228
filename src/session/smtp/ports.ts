// What an SMTP or LMTP session needs from outside: its connection, the spool, policy, authentication.
// The net thread implements these; tests use in-memory twins. No I/O happens inside a session.

import type { RelayDecision, RelayFacts } from '../../policy/relay.ts'
import type { Envelope, MessageId, Recipient } from '../../spool/types.ts'
import type { Reply } from '../../wire/smtp/reply.ts'

/** The connection as a session sees it. All calls are synchronous and take effect when `ingest` (or the event) returns. */
export interface SmtpHost {
  /** Queues reply bytes; the host sends them in one write. The buffer must not change afterwards. */
  write(bytes: Buffer): void
  /** After the queued bytes are sent: TLS handshake; then `session.onTls(info)`. Unread plaintext is discarded (RFC 3207 §4.2). */
  startTls(): void
  /** After the queued bytes are sent: end the connection. */
  close(): void
  /** The session can consume again what it left unread when it waited for an answer. Never called from inside `ingest`. */
  resume(): void
  /** Reserves an id and a place for a message; bytes follow by `Intake.write`. */
  openMessage(): Intake
  /** Why no message can be taken now, asked at MAIL; undefined when one can. */
  admission?(): SpoolError | undefined
  /** Asks policy about one recipient when the answer is not known at once; `session.onRecipient(ticket, decision)` follows. */
  askRecipient(ticket: number, facts: RecipientFacts): void
  /**
   * Feeds one client response, as it stands on the wire (base64, `=` or `*`), to the SASL exchange `ticket`; the first
   * call of a ticket begins the exchange, undefined is "no initial response". The bytes are read before it returns.
   * `session.onAuth(ticket, step)` follows, maybe at once.
   */
  auth(ticket: number, mechanism: string, response: Buffer | undefined): void
  /** The exchange in progress is over without an answer: too long a line, a timeout. */
  abandonAuth?(ticket: number): void
  /** Refusals and what else counters and `explain` want to know. Must not throw or call the session. */
  observe?(event: SmtpEvent): void
}

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

/** The client, after PROXY. */
export interface ClientFacts {
  readonly address: string
  readonly port: number
  /** Its proxy cannot name it: `address` is the proxy's own, whose rights it has not. */
  readonly unknown: boolean
  /** Our end of the connection. */
  readonly localAddress: string
  readonly localPort: number
}

/** What a session keeps of its TLS layer; structurally part of the connection's TlsInfo. */
export interface TlsFacts {
  /** `TLSv1.3` and the like. */
  readonly protocol: string
  readonly cipher: string
}

export interface SenderFacts {
  /** Canonical reverse path without brackets; '' is the null sender. */
  readonly sender: string
  readonly account: string
  readonly tenant: string
  /** Client's address, after PROXY and XCLIENT. */
  readonly client: string
  readonly helo: string
  /** Declared SIZE, -1 when not given. */
  readonly size: number
}

export interface RecipientFacts extends RelayFacts {
  readonly sender: string
  readonly account: string
  readonly tenant: string
  readonly client: string
}

export type SenderDecision = { readonly kind: 'accept' } | { readonly kind: 'refuse'; readonly rule: string; readonly reply: Reply }

/** `ask`: `host.askRecipient` is called, and `onRecipient` brings the decision. */
export type RecipientDecision = RelayDecision | { readonly kind: 'ask' }

/** Where in a session something was decided. */
export type Stage = 'command' | 'hello' | 'tls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'message'

export type SmtpEvent =
  /** A negative reply. `sender` and `recipient` are '' where they are not known. */
  | {
      readonly kind: 'refused'
      readonly stage: Stage
      /** Stable name of the rule that refused. */
      readonly rule: string
      readonly reply: Reply
      readonly sender: string
      readonly recipient: string
    }
  /** A message is on disk and its 250 is queued. Times in ms since 1970. */
  | {
      readonly kind: 'accepted'
      readonly id: MessageId
      readonly bytes: number
      readonly recipients: number
      /** When MAIL came. */
      readonly startedAt: number
      /** When the last byte of its content came. */
      readonly receivedAt: number
    }
  | { readonly kind: 'authenticated'; readonly mechanism: string; readonly account: string }
  /** The session ended the connection, or the client did in the middle of something. */
  | { readonly kind: 'closed'; readonly reason: string }
