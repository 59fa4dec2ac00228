// EXTERNAL (RFC 4422 appendix A) as a server: the client certificate that the TLS layer verified says who it is. Pure.
//
// An address in the certificate's subjectAltName that is an account authenticates; without an authorization identity
// the first such address does.

import { decodeExternal } from '../../wire/sasl/external.ts'
import { accountName } from './account-name.ts'
import { EMPTY_CHALLENGE, ask, failed, type Answer, type Mechanism, type MechanismEnvironment, type MechanismStep } from './mechanism.ts'

export class ExternalMechanism implements Mechanism {
  #candidates: readonly string[]

  constructor(env: MechanismEnvironment) {
    this.#candidates = env.context.tls?.certificateAddresses ?? []
  }

  respond(message: Buffer | undefined): MechanismStep {
    if (message === undefined) return EMPTY_CHALLENGE
    const authzid = decodeExternal(message)
    if (authzid === undefined) return failed('malformed', 'message')
    if (authzid !== '') {
      const wanted = accountName(authzid)
      this.#candidates = this.#candidates.filter((address) => address === wanted)
    }
    return this.#askNext()
  }

  answered(answer: Answer): MechanismStep {
    if (answer.kind === 'account' && !answer.account.disabled) return { kind: 'success', account: answer.account.name }
    return this.#askNext()
  }

  #askNext(): MechanismStep {
    const [name, ...rest] = this.#candidates
    this.#candidates = rest
    return name === undefined ? failed('credentials', 'certificate') : ask({ kind: 'account', name })
  }
}
