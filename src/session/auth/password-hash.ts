// Passwords and what is kept of them: argon2id (RFC 9106) and SCRAM keys. Slow on purpose: runs in password jobs and on
// the command line, never in a thread that has sessions.

import { argon2Sync, randomBytes, timingSafeEqual } from 'node:crypto'
import { base64ToText } from '../../wire/sasl/base64.ts'
import type { HashName } from '../../wire/sasl/scram.ts'
import { saltedPassword, scramKeys } from '../../wire/sasl/scram-keys.ts'
import type { Credentials, ScramRecord } from './ports.ts'

export interface Argon2Cost {
  /** KiB. */
  readonly memory: number
  readonly passes: number
  readonly lanes: number
}

/** OWASP's password storage cheat sheet: 19 MiB, two passes, one lane; 25 to 40 ms of one core. */
export const ARGON2_COST: Argon2Cost = { memory: 19_456, passes: 2, lanes: 1 }

/** RFC 7677 §4 asks for at least 4,096; clients pay as well, so this stays bearable on telephones. */
export const SCRAM_ITERATIONS = 10_000

export const SALT_BYTES = 16
export const ARGON2_HASH_BYTES = 32

/** Records beyond these were not written by us, and would let one login take all memory. */
const MEMORY_KIB_MAX = 1_048_576
const PASSES_MAX = 64
const LANES_MAX = 16

const PHC = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

/** A fresh hash as a PHC string. `password` is SASLprepped. */
export function hashPassword(password: string, cost: Argon2Cost = ARGON2_COST): string {
  const salt = randomBytes(SALT_BYTES)
  return formatPhc(cost, salt, argon2id(password, salt, cost, ARGON2_HASH_BYTES))
}

export function formatPhc(cost: Argon2Cost, salt: Buffer, hash: Buffer): string {
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.lanes}$${unpadded(salt)}$${unpadded(hash)}`
}

function unpadded(bytes: Buffer): string {
  return base64ToText(bytes).replace(/=+$/, '')
}

/** Whether `password` (SASLprepped) is the one that was hashed. Throws RangeError when `phc` is not such a string. */
export function verifyPassword(phc: string, password: string): boolean {
  const match = PHC.exec(phc)
  if (!match) throw new RangeError('not an argon2id PHC string')
  const cost = { memory: Number(match[1]), passes: Number(match[2]), lanes: Number(match[3]) }
  if (cost.memory > MEMORY_KIB_MAX || cost.passes > PASSES_MAX || cost.lanes > LANES_MAX) throw new RangeError('argon2id cost out of range')
  const salt = Buffer.from(match[4] as string, 'base64')
  const hash = Buffer.from(match[5] as string, 'base64')
  return timingSafeEqual(argon2id(password, salt, cost, hash.length), hash)
}

function argon2id(password: string, nonce: Buffer, cost: Argon2Cost, tagLength: number): Buffer {
  return argon2Sync('argon2id', { message: password, nonce, parallelism: cost.lanes, tagLength, memory: cost.memory, passes: cost.passes })
}

/** Everything that is kept of a password. `password` is SASLprepped. */
export function deriveCredentials(password: string): Credentials {
  return { argon2id: hashPassword(password), scram: { sha1: scramRecord('sha1', password), sha256: scramRecord('sha256', password) } }
}

function scramRecord(hash: HashName, password: string): ScramRecord {
  const salt = randomBytes(SALT_BYTES)
  const keys = scramKeys(hash, saltedPassword(hash, password, salt, SCRAM_ITERATIONS))
  return { salt, iterations: SCRAM_ITERATIONS, ...keys }
}
