// What authentication says to the sessions of every protocol, and what it needs from outside. Types only.
//
// A session hands over each client response as it stands on the wire, in base64 and without its CRLF, and gets one
// step back. Everything in between (base64, cancelling by `*`, order of messages, passwords, tokens, throttling) happens
// behind `AuthExchange`.

import type { HashName } from '../../wire/sasl/scram.ts'

/**
 * One step of an exchange, as a session sees it. After anything but `challenge` the exchange is over.
 * `data` is base64 text, ready for the wire: SMTP writes `334 ` + data, IMAP and POP3 `+ ` + data. An empty challenge
 * has no bytes. `success.data` only exists when the context said that the protocol carries data with its success.
 */
export type AuthStep =
  | { readonly kind: 'challenge'; readonly data: Buffer }
  | { readonly kind: 'success'; readonly account: string; readonly data?: Buffer }
  | { readonly kind: 'failure'; readonly reply: AuthFailure }

/**
 * Why an exchange failed, as far as the client may know. In SMTP (RFC 4954 §4, §6):
 * - `credentials` 535 5.7.8: wrong in whatever way, never told which
 * - `temporary` 454 4.7.0: too many attempts, the queue of verifications is full, or a back end is down
 * - `malformed` 501 5.5.2: base64 or the message inside cannot be read
 * - `cancelled` 501 5.7.0: the client sent `*`
 * - `mechanism` 504 5.5.4: not known, or not available here
 * - `encryption` 538 5.7.11: the mechanism needs TLS
 */
export type AuthFailure = 'credentials' | 'temporary' | 'malformed' | 'cancelled' | 'mechanism' | 'encryption'

/** A running exchange. One a session at a time; the caller drops it when a step ends it. */
export interface AuthExchange {
  /**
   * Takes the initial response (undefined when the command had none, `=` when it is empty) or the answer to a challenge.
   * The bytes are read before it returns. `answer` is called exactly once, maybe before `respond` returns.
   */
  respond(response: Buffer | undefined, answer: (step: AuthStep) => void): void
  /** The connection is gone: timers stop, a pending `answer` is never called. */
  abandon(): void
}

/** Names of channel bindings that can be had from a connection (RFC 5929, RFC 9266). */
export type BindingName = 'tls-exporter' | 'tls-unique' | 'tls-server-end-point'

/** TLS of the connection, as far as authentication looks at it. */
export interface AuthTls {
  /** The binding's data, or undefined when this connection has none of that kind. `authTls` in binding.ts makes these. */
  binding(name: BindingName): Buffer | undefined
  /** Addresses (rfc822Name) of a client certificate that the TLS layer verified, lower case; empty without one. */
  readonly certificateAddresses: readonly string[]
}

/** What is known of a client when it wants to authenticate. */
export interface AuthContext {
  /** Client's address as text, after PROXY and XCLIENT. */
  readonly client: string
  /** A proxy cannot name the client: `client` is the proxy's own address, whose rights it has not. */
  readonly clientUnknown?: boolean
  /** Absent on a connection without TLS. */
  readonly tls?: AuthTls
  /** Whether the protocol can send data with its success (ManageSieve can; SMTP, IMAP and POP3 cannot). */
  readonly successData: boolean
}

/** A password as it is kept: argon2id for PLAIN and LOGIN, keys for SCRAM. */
export interface Credentials {
  /** `$argon2id$v=19$m=…,t=…,p=…$salt$hash` (PHC string format, base64 without padding). */
  readonly argon2id: string
  readonly scram: Readonly<Record<HashName, ScramRecord>>
}

/** RFC 5802 §3: StoredKey and ServerKey, from which the password cannot be had. */
export interface ScramRecord {
  readonly salt: Buffer
  readonly iterations: number
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** Slow work on passwords, done elsewhere. A full queue is `busy`; no call throws. */
export interface PasswordPort {
  /** Whether `password` (SASLprepped UTF-8) is the one that was hashed. */
  verify(argon2id: string, password: string, done: (verdict: PasswordVerdict) => void): void
  /** Makes credentials with fresh salts. */
  derive(password: string, done: (credentials: Credentials | 'busy' | 'failed') => void): void
}

export type PasswordVerdict = 'right' | 'wrong' | 'busy' | 'failed'

/** An account as the directory keeps it and as authentication reads it. */
export interface Account extends Credentials {
  /** Lower-case address. */
  readonly name: string
  /** Lower-case addresses, or `*@domain`, that MAIL FROM and From may also use. */
  readonly aliases: readonly string[]
  readonly quota: AccountQuota
  readonly disabled: boolean
  /** ms since 1970. */
  readonly createdAt: number
}

/** Messages and recipients that an account may submit in any hour; 0 is no limit. */
export interface AccountQuota {
  readonly messagesPerHour: number
  readonly recipientsPerHour: number
}

/** Where accounts are kept: AccountDirectory, or a twin in memory. */
export interface Directory {
  /** The account as it is now. Throws when its record cannot be read. */
  find(name: string): Account | undefined
  /** A secret of the installation, 32 bytes: the same in every thread and after a restart. */
  readonly secret: Buffer
  close(): Promise<void>
}

/** What became of a bearer token. `account` is the value of the account claim, lower case. */
export type TokenVerdict =
  | { readonly kind: 'valid'; readonly account: string }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'scope' }
  | { readonly kind: 'unavailable' }

export interface TokenPort {
  /** `done` is called exactly once; nothing throws. */
  check(token: string, done: (verdict: TokenVerdict) => void): void
  /** Scope and discovery document named in the error challenge (RFC 7628 §3.2.2); '' when there is none. */
  readonly scope: string
  readonly openidConfiguration: string
}
