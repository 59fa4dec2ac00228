// OAUTHBEARER (RFC 7628) and XOAUTH2 as a server: a token that somebody else issued. Pure.

import { BEARER_DUMMY, decodeOauthbearer, decodeXoauth2, encodeOauthbearerError, encodeXoauth2Error } from '../../wire/sasl/bearer.ts'
import { accountName } from './account-name.ts'
import {
  EMPTY_CHALLENGE,
  ask,
  failed,
  type Answer,
  type FailureCause,
  type Mechanism,
  type MechanismEnvironment,
  type MechanismStep,
} from './mechanism.ts'
import type { TokenVerdict } from './ports.ts'

export type BearerForm = 'OAUTHBEARER' | 'XOAUTH2'

export class BearerMechanism implements Mechanism {
  readonly #form: BearerForm
  readonly #env: MechanismEnvironment
  /** The account that the client named, '' when it left that to the token. */
  #name = ''
  /** Set when the error has been sent and the client's last message is awaited. */
  #refused: FailureCause | undefined

  constructor(form: BearerForm, env: MechanismEnvironment) {
    this.#form = form
    this.#env = env
  }

  respond(message: Buffer | undefined): MechanismStep {
    if (this.#refused) return this.#end(message, this.#refused)
    if (message === undefined) return EMPTY_CHALLENGE
    const bearer = this.#form === 'OAUTHBEARER' ? decodeOauthbearer(message) : decodeXoauth2(message)
    if (!bearer) return failed('malformed', 'message')
    const name = bearer.authzid === '' ? '' : accountName(bearer.authzid)
    if (name === undefined) return this.#refuse({ kind: 'invalid' }, 'name')
    this.#name = name
    return ask({ kind: 'token', name, token: bearer.token })
  }

  answered(answer: Answer): MechanismStep {
    const verdict: TokenVerdict = answer.kind === 'token' ? answer.verdict : { kind: 'invalid' }
    if (verdict.kind !== 'valid') return this.#refuse(verdict, 'token')
    const mayAct = this.#name === '' || this.#name === verdict.account
    return mayAct ? { kind: 'success', account: verdict.account } : this.#refuse({ kind: 'invalid' }, 'authzid')
  }

  /** A failure cannot carry data, so the error goes out as a challenge (RFC 7628 §3.2.3). */
  #refuse(verdict: TokenVerdict, cause: FailureCause): MechanismStep {
    this.#refused = cause
    const { scope, openidConfiguration } = this.#env
    const lacksScope = verdict.kind === 'scope'
    const data =
      this.#form === 'OAUTHBEARER'
        ? encodeOauthbearerError(lacksScope ? 'insufficient_scope' : 'invalid_token', scope, openidConfiguration)
        : encodeXoauth2Error(lacksScope ? '403' : '401', scope)
    return { kind: 'refusal', data, cause }
  }

  /** OAUTHBEARER clients answer with %x01, those of XOAUTH2 with nothing; anything else is no answer to an error. */
  #end(message: Buffer | undefined, cause: FailureCause): MechanismStep {
    const isDummy = message !== undefined && (message.length === 0 || message.equals(BEARER_DUMMY))
    return isDummy ? failed('credentials', cause) : failed('malformed', 'message')
  }
}
