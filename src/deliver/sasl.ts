// The client's side of AUTH to a smart host: SCRAM-SHA-256, PLAIN and LOGIN (RFC 7677, RFC 4616). Pure but for PBKDF2.

import { timingSafeEqual } from 'node:crypto'
import { EMPTY, utf8 } from '../lib/bytes.ts'
import { encodePlain } from '../wire/sasl/plain.ts'
import { authMessage, clientProof, saltedPassword, scramKeys, serverSignature } from '../wire/sasl/scram-keys.ts'
import {
  decodeServerFinal,
  decodeServerFirst,
  encodeClientFinal,
  encodeClientFinalWithoutProof,
  encodeClientFirst,
} from '../wire/sasl/scram.ts'
import { prepareQuery } from '../wire/sasl/text.ts'
import { SCRAM_ITERATIONS_MAX } from './limits.ts'
import type { Credentials } from './ports.ts'

/** One exchange. */
export interface SaslClient {
  readonly mechanism: string
  /** The response that may stand in the AUTH command (RFC 4954 §4), undefined when the server speaks first. */
  readonly initial: Buffer | undefined
  /** The answer to a challenge, or why the exchange is broken off. */
  answer(challenge: Buffer): Buffer | SaslError
  /** Why the server's success cannot be believed, '' when it can. */
  verify(): string
}

export class SaslError {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/** The first of these that is offered is used: the password itself crosses the wire only when it must. */
const MECHANISMS: readonly { readonly name: string; readonly make: (credentials: Credentials, nonce: () => string) => SaslClient }[] = [
  { name: 'SCRAM-SHA-256', make: (credentials, nonce) => new ScramClient(credentials, nonce()) },
  { name: 'PLAIN', make: (credentials) => new PlainClient(credentials) },
  { name: 'LOGIN', make: (credentials) => new LoginClient(credentials) },
]

/** `nonce` gives printable random text without commas (RFC 5802 §5.1). */
export function chooseMechanism(offered: readonly string[], credentials: Credentials, nonce: () => string): SaslClient | undefined {
  return MECHANISMS.find((mechanism) => offered.includes(mechanism.name))?.make(credentials, nonce)
}

class PlainClient implements SaslClient {
  readonly mechanism = 'PLAIN'
  readonly initial: Buffer
  #sent = false

  constructor(credentials: Credentials) {
    this.initial = encodePlain({ authzid: '', authcid: credentials.user, password: credentials.password })
  }

  /** The server asks for the message when it did not fit in the command. */
  answer(): Buffer | SaslError {
    if (this.#sent) return new SaslError('PLAIN has one message, the server asks for another')
    this.#sent = true
    return this.initial
  }

  verify(): string {
    return ''
  }
}

class LoginClient implements SaslClient {
  readonly mechanism = 'LOGIN'
  readonly initial = undefined
  readonly #answers: Buffer[]

  constructor(credentials: Credentials) {
    this.#answers = [Buffer.from(credentials.user, 'utf8'), Buffer.from(credentials.password, 'utf8')]
  }

  /** Name and password in this order; the prompts differ from server to server. */
  answer(): Buffer | SaslError {
    return this.#answers.shift() ?? new SaslError('LOGIN has two answers, the server asks for a third')
  }

  verify(): string {
    return ''
  }
}

/** RFC 5802 §5; without channel binding, because the exchange may run over plain text where that is allowed. */
class ScramClient implements SaslClient {
  readonly mechanism = 'SCRAM-SHA-256'
  readonly initial: Buffer
  readonly #credentials: Credentials
  readonly #nonce: string
  readonly #header: string
  readonly #bare: string
  #serverSignature: Buffer | undefined
  #verified = false

  constructor(credentials: Credentials, nonce: string) {
    this.#credentials = credentials
    this.#nonce = nonce
    const first = encodeClientFirst({ flag: 'n', binding: '', authzid: '' }, prepareQuery(credentials.user) ?? credentials.user, nonce)
    this.initial = first.message
    this.#header = first.header
    this.#bare = first.bare
  }

  answer(challenge: Buffer): Buffer | SaslError {
    return this.#serverSignature ? this.#onFinal(challenge, this.#serverSignature) : this.#onFirst(challenge)
  }

  /** Only the server that knows the password's keys can sign (RFC 5802 §3). */
  verify(): string {
    return this.#verified ? '' : 'the server did not prove that it knows the password'
  }

  #onFirst(challenge: Buffer): Buffer | SaslError {
    const first = decodeServerFirst(challenge)
    if (!first) return new SaslError('malformed server-first-message')
    if (!first.nonce.startsWith(this.#nonce) || first.nonce.length === this.#nonce.length) return new SaslError('the nonce is not ours')
    if (first.iterations > SCRAM_ITERATIONS_MAX) return new SaslError(`too many iterations: ${first.iterations}`)
    const password = prepareQuery(this.#credentials.password) ?? this.#credentials.password
    const salted = saltedPassword('sha256', password, first.salt, first.iterations)
    const withoutProof = encodeClientFinalWithoutProof(Buffer.from(this.#header, 'utf8'), first.nonce)
    const message = authMessage(this.#bare, utf8(challenge, 0, challenge.length), withoutProof)
    this.#serverSignature = serverSignature('sha256', scramKeys('sha256', salted).serverKey, message)
    return encodeClientFinal(withoutProof, clientProof('sha256', salted, message))
  }

  #onFinal(challenge: Buffer, expected: Buffer): Buffer | SaslError {
    const final = decodeServerFinal(challenge)
    if (!final) return new SaslError('malformed server-final-message')
    if (final.kind === 'error') return new SaslError(`the server says: ${final.error}`)
    if (final.signature.length !== expected.length || !timingSafeEqual(final.signature, expected)) {
      return new SaslError('the server does not know the password')
    }
    this.#verified = true
    return EMPTY
  }
}
