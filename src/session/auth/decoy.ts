// What unknown accounts look like from outside: salts that stay the same, and a password that nobody has. Pure.
//
// An unknown name takes the way of a known one to its end, so that neither answers nor time tell them apart
// (RFC 5802 §9, RFC 4422 §6.1.1). Decoys come from the installation's secret: the same name has the same salt in every
// thread and after a restart.

import { hash } from 'node:crypto'
import { base64ToText } from '../../wire/sasl/base64.ts'
import { HASH_BYTES } from '../../wire/sasl/scram-keys.ts'
import { ARGON2_COST, ARGON2_HASH_BYTES, SALT_BYTES, SCRAM_ITERATIONS, formatPhc } from './password-hash.ts'
import type { Account, ScramRecord } from './ports.ts'

const NO_QUOTA = { messagesPerHour: 0, recipientsPerHour: 0 }
const DECOY_BYTES = SALT_BYTES + ARGON2_HASH_BYTES + 2 * SALT_BYTES + 2 * HASH_BYTES.sha1 + 2 * HASH_BYTES.sha256

/** An account that no password opens; disabled, should one ever. */
export function decoyAccount(secret: Buffer, name: string): Account {
  // SHAKE256 needs no HMAC around it (FIPS 202: its output cannot be extended), and gives all the bytes at once.
  const bytes = hash('shake256', base64ToText(secret) + name, { outputEncoding: 'buffer', outputLength: DECOY_BYTES })
  let at = 0
  const take = (length: number): Buffer => bytes.subarray(at, (at += length))
  const argon2id = formatPhc(ARGON2_COST, take(SALT_BYTES), take(ARGON2_HASH_BYTES))
  const scram = { sha1: decoyScram(take, HASH_BYTES.sha1), sha256: decoyScram(take, HASH_BYTES.sha256) }
  return { name, aliases: [], quota: NO_QUOTA, disabled: true, createdAt: 0, argon2id, scram }
}

function decoyScram(take: (length: number) => Buffer, keyBytes: number): ScramRecord {
  return { salt: take(SALT_BYTES), iterations: SCRAM_ITERATIONS, storedKey: take(keyBytes), serverKey: take(keyBytes) }
}
