// What unknown accounts look like from outside: salts that stay the same, and a password that nobody has. Pure.
//
// An unknown name takes the way of a known one to its end, so that neither answers nor time tell them apart
// (RFC 5802 §9, RFC 4422 §6.1.1). Decoys come from the installation's secret: the same name has the same salt in every
// thread and after a restart.

import { createHmac } from 'node:crypto'
import { HASH_BYTES } from '../../wire/sasl/scram-keys.ts'
import type { HashName } from '../../wire/sasl/scram.ts'
import { ARGON2_COST, ARGON2_HASH_BYTES, SALT_BYTES, SCRAM_ITERATIONS, formatPhc } from './password-hash.ts'
import type { Account, ScramRecord } from './ports.ts'

const NO_QUOTA = { messagesPerHour: 0, recipientsPerHour: 0 }

/** An account that no password opens; disabled, should one ever. */
export function decoyAccount(secret: Buffer, name: string): Account {
  const derive = (purpose: string, length: number): Buffer => derived(secret, name, purpose, length)
  const argon2id = formatPhc(ARGON2_COST, derive('argon2id salt', SALT_BYTES), derive('argon2id hash', ARGON2_HASH_BYTES))
  const scram = { sha1: decoyScram(derive, 'sha1'), sha256: decoyScram(derive, 'sha256') }
  return { name, aliases: [], quota: NO_QUOTA, disabled: true, createdAt: 0, argon2id, scram }
}

function decoyScram(derive: (purpose: string, length: number) => Buffer, hash: HashName): ScramRecord {
  const length = HASH_BYTES[hash]
  return {
    salt: derive(`${hash} salt`, SALT_BYTES),
    iterations: SCRAM_ITERATIONS,
    storedKey: derive(`${hash} stored key`, length),
    serverKey: derive(`${hash} server key`, length),
  }
}

/** At most 32 bytes that only the secret gives. Purposes hold no NUL, so they cannot run into names. */
function derived(secret: Buffer, name: string, purpose: string, length: number): Buffer {
  return createHmac('sha256', secret).update(`${purpose}\0${name}`, 'utf8').digest().subarray(0, length)
}
