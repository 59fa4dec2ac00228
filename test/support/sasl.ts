// The client's side of AUTH for tests: messages of PLAIN, LOGIN and the bearer mechanisms, whole exchanges of SCRAM.

import assert from 'node:assert/strict'
import { authMessage, clientProof, saltedPassword, scramKeys, serverSignature } from '../../src/wire/sasl/scram-keys.ts'
import { decodeServerFirst, encodeClientFinal, encodeClientFirst, encodeServerFinal, type HashName } from '../../src/wire/sasl/scram.ts'
import type { Reply, SmtpClient } from './smtp-client.ts'

export function base64(text: string | Buffer): string {
  return Buffer.from(text).toString('base64')
}

export function plain(name: string, password: string): string {
  return base64(`\0${name}\0${password}`)
}

/** RFC 7628 §3.1. */
export function oauthbearer(name: string, token: string): string {
  return base64(`n,a=${name},\x01auth=Bearer ${token}\x01\x01`)
}

export function xoauth2(name: string, token: string): string {
  return base64(`user=${name}\x01auth=Bearer ${token}\x01\x01`)
}

export interface ScramOptions {
  readonly hash: HashName
  /** Channel binding of a -PLUS mechanism. */
  readonly binding?: { readonly name: string; readonly data: Buffer }
  /** GS2 flag without a binding; default `n`. */
  readonly flag?: 'n' | 'y'
}

/** An exchange to its end; asserts the server's signature when there is one. Resolves with the last reply. */
export async function scram(
  client: SmtpClient,
  mechanism: string,
  name: string,
  password: string,
  { hash, binding, flag = 'n' }: ScramOptions,
): Promise<Reply> {
  const first = encodeClientFirst({ flag: binding ? 'p' : flag, binding: binding?.name ?? '', authzid: '' }, name, 'clientnonce')
  const challenge = await client.command(`AUTH ${mechanism} ${base64(first.message)}`)
  if (challenge.code !== 334) return challenge
  const serverFirst = Buffer.from(challenge.lines[0] ?? '', 'base64')
  const server = decodeServerFirst(serverFirst) ?? assert.fail(`not a server-first-message: ${serverFirst.toString()}`)
  const bound = Buffer.concat([Buffer.from(first.header), binding?.data ?? Buffer.alloc(0)])
  const withoutProof = `c=${base64(bound)},r=${server.nonce}`
  const salted = saltedPassword(hash, password, server.salt, server.iterations)
  const message = authMessage(first.bare, serverFirst.toString(), withoutProof)
  const final = await client.command(base64(encodeClientFinal(withoutProof, clientProof(hash, salted, message))))
  if (final.code !== 334) return final
  const signature = encodeServerFinal(serverSignature(hash, scramKeys(hash, salted).serverKey, message))
  assert.equal(Buffer.from(final.lines[0] ?? '', 'base64').toString(), signature.toString(), 'the server knows the account')
  return client.command('')
}
