// A SCRAM client of the same codecs: goes through an exchange whose answers come at once.

import assert from 'node:assert/strict'
import type { AuthExchange } from '../../../src/session/auth/ports.ts'
import { authMessage, clientProof, saltedPassword, scramKeys, serverSignature } from '../../../src/wire/sasl/scram-keys.ts'
import {
  decodeServerFirst,
  encodeClientFinal,
  encodeClientFinalWithoutProof,
  encodeClientFirst,
  encodeServerFinal,
  type HashName,
} from '../../../src/wire/sasl/scram.ts'
import { say, type SeenStep } from './twins.ts'

export interface ClientOptions {
  readonly hash?: HashName
  readonly name?: string
  readonly password?: string
  readonly authzid?: string
  readonly flag?: 'n' | 'y' | 'p'
  readonly binding?: string
  /** Data that the client believes to be the channel's. */
  readonly bindingData?: string | Buffer
  /** Changes the client's last message. */
  readonly final?: (withoutProof: string, proof: Buffer) => Buffer
}

export interface ClientOutcome {
  /** What the server said last. */
  readonly last: SeenStep
  /** What a server that knows the password says, '' when it did not come to that. */
  readonly signature: string
  /** Hexadecimal. */
  readonly salt: string
}

export function client(exchange: AuthExchange, options: ClientOptions = {}): ClientOutcome {
  const {
    hash = 'sha256',
    name = 'anna@example.org',
    password = 'pencil',
    authzid = '',
    flag = 'n',
    binding = '',
    bindingData = '',
  } = options
  const first = encodeClientFirst({ flag, binding, authzid }, name, 'clientnonce')
  const challenge = say(exchange, Buffer.from(first.message.toString('base64')))
  if (challenge.kind !== 'challenge') return { last: challenge, signature: '', salt: '' }
  const serverFirst = challenge.data ?? ''
  const server = decodeServerFirst(Buffer.from(serverFirst)) ?? assert.fail(serverFirst)
  assert.ok(server.nonce.startsWith('clientnonce') && server.nonce.length > 'clientnonce'.length)
  const withoutProof = encodeClientFinalWithoutProof(Buffer.concat([Buffer.from(first.header), Buffer.from(bindingData)]), server.nonce)
  const salted = saltedPassword(hash, password, server.salt, server.iterations)
  const message = authMessage(first.bare, serverFirst, withoutProof)
  const final = (options.final ?? encodeClientFinal)(withoutProof, clientProof(hash, salted, message))
  const last = say(exchange, Buffer.from(final.toString('base64')))
  const { serverKey } = scramKeys(hash, salted)
  return { last, signature: encodeServerFinal(serverSignature(hash, serverKey, message)).toString(), salt: server.salt.toString('hex') }
}
