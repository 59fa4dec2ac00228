// SCRAM (RFC 5802, RFC 7677) as a server, with and without channel binding. Pure.
//
// Whoever asks gets a salt: unknown accounts have one that stays (decoy.ts) and a proof that nobody can make.

import { assert } from '../../lib/assert.ts'
import {
  decodeClientFinal,
  decodeClientFirst,
  encodeServerFinal,
  encodeServerFirst,
  type ClientFinal,
  type ClientFirst,
  type HashName,
} from '../../wire/sasl/scram.ts'
import { authMessage, isProof, serverSignature } from '../../wire/sasl/scram-keys.ts'
import { accountName, mayActAs } from './account-name.ts'
import { hasBinding, isBindingName } from './binding.ts'
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
import type { Account } from './ports.ts'

type ScramState =
  | { readonly kind: 'first' }
  | { readonly kind: 'lookup'; readonly first: ClientFirst; readonly binding: Buffer }
  | {
      readonly kind: 'final'
      readonly first: ClientFirst
      readonly binding: Buffer
      readonly account: Account
      readonly nonce: string
      readonly serverFirst: string
    }

export class ScramMechanism implements Mechanism {
  readonly #hash: HashName
  /** Whether the client chose the -PLUS name. */
  readonly #plus: boolean
  readonly #env: MechanismEnvironment
  #state: ScramState = { kind: 'first' }

  constructor(hash: HashName, plus: boolean, env: MechanismEnvironment) {
    this.#hash = hash
    this.#plus = plus
    this.#env = env
  }

  respond(message: Buffer | undefined): MechanismStep {
    if (this.#state.kind === 'final') return message ? this.#takeFinal(this.#state, message) : failed('malformed', 'message')
    return message === undefined ? EMPTY_CHALLENGE : this.#takeFirst(message)
  }

  #takeFirst(message: Buffer): MechanismStep {
    const first = decodeClientFirst(message)
    if (!first) return failed('malformed', 'message')
    const objection = this.#objection(first)
    if (objection) return failed('credentials', objection)
    const name = accountName(first.name)
    if (name === undefined) return failed('credentials', 'name')
    this.#state = { kind: 'lookup', first, binding: this.#expectedBinding(first) }
    return ask({ kind: 'account', name })
  }

  /** What the flag says about channel binding must fit the mechanism and what we have (RFC 5802 §6). */
  #objection(first: ClientFirst): FailureCause | undefined {
    const { flag, binding } = first.gs2
    const { tls } = this.#env.context
    if (this.#plus !== (flag === 'p')) return 'channel-binding'
    // The client thinks that we have none, but we announced -PLUS: somebody has taken it out of the list.
    if (flag === 'y' && hasBinding(tls)) return 'downgrade'
    return flag === 'p' && !(isBindingName(binding) && tls?.binding(binding)) ? 'channel-binding' : undefined
  }

  /** The bytes that `c=` must decode to: the header as received, and the data of the binding it names (§5.1). */
  #expectedBinding(first: ClientFirst): Buffer {
    const header = Buffer.from(first.header, 'utf8')
    const name = first.gs2.binding
    const data = isBindingName(name) ? this.#env.context.tls?.binding(name) : undefined
    if (!data) return header
    const all = Buffer.alloc(header.length + data.length)
    all.set(header)
    all.set(data, header.length)
    return all
  }

  answered(answer: Answer): MechanismStep {
    assert(this.#state.kind === 'lookup' && answer.kind === 'account', 'SCRAM asked for an account')
    const { first, binding } = this.#state
    const { account } = answer
    const { salt, iterations } = account.scram[this.#hash]
    const nonce = first.nonce + this.#env.nonce()
    const serverFirst = encodeServerFirst({ nonce, salt, iterations })
    this.#state = { kind: 'final', first, binding, account, nonce, serverFirst }
    return { kind: 'challenge', data: Buffer.from(serverFirst, 'utf8') }
  }

  #takeFinal(state: Extract<ScramState, { kind: 'final' }>, message: Buffer): MechanismStep {
    const final = decodeClientFinal(message)
    if (!final) return failed('malformed', 'message')
    const { storedKey, serverKey } = state.account.scram[this.#hash]
    const text = authMessage(state.first.bare, state.serverFirst, final.withoutProof)
    // Computed in any case: a wrong binding shall not answer sooner than a wrong proof.
    const proved = isProof(this.#hash, storedKey, text, final.proof)
    const objection = finalObjection(state, final, proved)
    if (objection) return failed('credentials', objection)
    return { kind: 'success', account: state.account.name, data: encodeServerFinal(serverSignature(this.#hash, serverKey, text)) }
  }
}

function finalObjection(state: Extract<ScramState, { kind: 'final' }>, final: ClientFinal, proved: boolean): FailureCause | undefined {
  if (final.nonce !== state.nonce) return 'nonce'
  if (!final.binding.equals(state.binding)) return 'channel-binding'
  if (!proved) return 'proof'
  if (state.account.disabled) return 'disabled'
  return mayActAs(state.account.name, state.first.gs2.authzid) ? undefined : 'authzid'
}
