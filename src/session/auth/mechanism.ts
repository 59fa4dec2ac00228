// What a SASL mechanism is: a state machine over decoded messages that asks questions and never does anything itself.
// Pure; exchange.ts drives it.

import { EMPTY } from '../../lib/bytes.ts'
import type { Account, AuthContext, AuthFailure, TokenVerdict } from './ports.ts'

export type MechanismStep =
  | { readonly kind: 'challenge'; readonly data: Buffer }
  /** A challenge that tells the client that it has failed; `failure` follows, if it stays to hear it (RFC 7628 §3.2.3). */
  | { readonly kind: 'refusal'; readonly data: Buffer; readonly cause: FailureCause }
  /** Something must be found out; the machine goes on with `answered`. */
  | { readonly kind: 'ask'; readonly question: Question }
  /** `data` goes to the client with the success, or before it where the protocol cannot carry it (RFC 4422 §3.6). */
  | { readonly kind: 'success'; readonly account: string; readonly data?: Buffer }
  | { readonly kind: 'failure'; readonly reply: AuthFailure; readonly cause: FailureCause }

/** Why an exchange failed, for the log; clients get AuthFailure. */
export type FailureCause =
  | 'base64'
  | 'message'
  | 'cancelled'
  | 'unknown-mechanism'
  | 'needs-tls'
  | 'name'
  | 'password'
  | 'proof'
  | 'nonce'
  | 'channel-binding'
  | 'downgrade'
  | 'authzid'
  | 'certificate'
  | 'token'
  | 'disabled'
  | 'locked'
  | 'busy'
  | 'back-end'

export type Question =
  /** Is this the password of this account? Asked with the account's name as `accountName` gives it. */
  | { readonly kind: 'password'; readonly name: string; readonly password: string }
  /** The account's record; a decoy when there is none. */
  | { readonly kind: 'account'; readonly name: string }
  /** Whose token is this? `name` is what the client says, '' when it does not. */
  | { readonly kind: 'token'; readonly name: string; readonly token: string }

export type Answer =
  /** `right` is false for unknown and disabled accounts too. */
  | { readonly kind: 'password'; readonly right: boolean }
  | { readonly kind: 'account'; readonly account: Account }
  | { readonly kind: 'token'; readonly verdict: TokenVerdict }

export interface Mechanism {
  /** Takes the client's next message, undefined for "no initial response". Called only when one is awaited. */
  respond(message: Buffer | undefined): MechanismStep
  /** Takes the answer to the question of the last step. */
  answered(answer: Answer): MechanismStep
}

/** What makes a mechanism. */
export interface MechanismEnvironment {
  readonly context: AuthContext
  /** A fresh nonce: printable, no comma (RFC 5802 §5.1). */
  nonce(): string
  /** Text for the error challenge of bearer tokens. */
  readonly scope: string
  readonly openidConfiguration: string
}

/** A client-first mechanism without an initial response is asked for it by an empty challenge (RFC 4422 §5.1). */
export const EMPTY_CHALLENGE: MechanismStep = { kind: 'challenge', data: EMPTY }

export function failed(reply: AuthFailure, cause: FailureCause): MechanismStep {
  return { kind: 'failure', reply, cause }
}

export function ask(question: Question): MechanismStep {
  return { kind: 'ask', question }
}
