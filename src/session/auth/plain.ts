// PLAIN (RFC 4616) and LOGIN as a server: a name and a password in clear. Pure.

import { LOGIN_PASSWORD, LOGIN_USERNAME, decodeLogin } from '../../wire/sasl/login.ts'
import { decodePlain } from '../../wire/sasl/plain.ts'
import { prepareQuery } from '../../wire/sasl/text.ts'
import { unreachable } from '../../lib/assert.ts'
import { accountName, mayActAs } from './account-name.ts'
import { EMPTY_CHALLENGE, ask, failed, type Answer, type Mechanism, type MechanismStep } from './mechanism.ts'

/** Holds what the client said until the answer is there. */
class PasswordQuestion {
  readonly #name: string
  readonly #authzid: string
  readonly #password: string

  constructor(name: string, authzid: string, password: string) {
    this.#name = name
    this.#authzid = authzid
    this.#password = password
  }

  get step(): MechanismStep {
    return ask({ kind: 'password', name: this.#name, password: this.#password })
  }

  answered(answer: Answer): MechanismStep {
    if (answer.kind !== 'password' || !answer.right) return failed('credentials', 'password')
    // RFC 4616 §2: first the password, then whether it permits the identity.
    return mayActAs(this.#name, this.#authzid) ? { kind: 'success', account: this.#name } : failed('credentials', 'authzid')
  }
}

/** Undefined when SASLprep leaves nothing to verify: then it must fail (RFC 4616 §2). */
function questionOf(authcid: string, authzid: string, password: string): PasswordQuestion | undefined {
  const name = accountName(authcid)
  const prepared = prepareQuery(password)
  return name === undefined || prepared === undefined ? undefined : new PasswordQuestion(name, authzid, prepared)
}

export class PlainMechanism implements Mechanism {
  #question: PasswordQuestion | undefined

  respond(message: Buffer | undefined): MechanismStep {
    if (message === undefined) return EMPTY_CHALLENGE
    const plain = decodePlain(message)
    if (!plain) return failed('malformed', 'message')
    this.#question = questionOf(plain.authcid, plain.authzid, plain.password)
    return this.#question?.step ?? failed('credentials', 'name')
  }

  answered(answer: Answer): MechanismStep {
    return this.#question?.answered(answer) ?? failed('credentials', 'password')
  }
}

export class LoginMechanism implements Mechanism {
  #state: 'start' | 'name' | 'password' = 'start'
  #name = ''
  #question: PasswordQuestion | undefined

  respond(message: Buffer | undefined): MechanismStep {
    const state = this.#state
    switch (state) {
      case 'start':
        this.#state = 'name'
        // Many clients send the name with the command.
        return message === undefined ? { kind: 'challenge', data: LOGIN_USERNAME } : this.#takeName(message)
      case 'name':
        return this.#takeName(message)
      case 'password':
        return this.#takePassword(message)
      default:
        return unreachable(state)
    }
  }

  answered(answer: Answer): MechanismStep {
    return this.#question?.answered(answer) ?? failed('credentials', 'password')
  }

  #takeName(message: Buffer | undefined): MechanismStep {
    const name = message && decodeLogin(message)
    if (name === undefined) return failed('malformed', 'message')
    this.#name = name
    this.#state = 'password'
    return { kind: 'challenge', data: LOGIN_PASSWORD }
  }

  #takePassword(message: Buffer | undefined): MechanismStep {
    const password = message && decodeLogin(message)
    if (password === undefined) return failed('malformed', 'message')
    this.#question = questionOf(this.#name, '', password)
    return this.#question?.step ?? failed('credentials', 'name')
  }
}
