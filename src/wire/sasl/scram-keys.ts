// The computations of SCRAM (RFC 5802 §3), for servers, clients and those who store keys. Pure, but PBKDF2 takes
// milliseconds: `saltedPassword` runs where a thread may be held up (password jobs, the command line, tests).

import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import type { HashName } from './scram.ts'

/** Octets of a hash, and so of every key. */
export const HASH_BYTES: Readonly<Record<HashName, number>> = { sha1: 20, sha256: 32 }

export interface ScramKeys {
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** SaltedPassword := Hi(Normalize(password), salt, i). `password` is SASLprepped already. */
export function saltedPassword(hash: HashName, password: string, salt: Buffer, iterations: number): Buffer {
  return pbkdf2Sync(password, salt, iterations, HASH_BYTES[hash], hash)
}

/** What a server keeps. */
export function scramKeys(hash: HashName, salted: Buffer): ScramKeys {
  const storedKey = createHash(hash)
    .update(hmac(hash, salted, 'Client Key'))
    .digest()
  return { storedKey, serverKey: hmac(hash, salted, 'Server Key') }
}

/** AuthMessage := client-first-message-bare + "," + server-first-message + "," + client-final-message-without-proof */
export function authMessage(clientFirstBare: string, serverFirst: string, clientFinalWithoutProof: string): string {
  return `${clientFirstBare},${serverFirst},${clientFinalWithoutProof}`
}

/** ClientProof := ClientKey XOR ClientSignature, made by a client. */
export function clientProof(hash: HashName, salted: Buffer, message: string): Buffer {
  const clientKey = hmac(hash, salted, 'Client Key')
  const storedKey = createHash(hash).update(clientKey).digest()
  return xor(clientKey, hmac(hash, storedKey, message))
}

/** Whether the proof comes from someone who knows the password: H(ClientProof XOR ClientSignature) = StoredKey. */
export function isProof(hash: HashName, storedKey: Buffer, message: string, proof: Buffer): boolean {
  if (proof.length !== HASH_BYTES[hash]) return false
  const clientKey = xor(proof, hmac(hash, storedKey, message))
  return timingSafeEqual(createHash(hash).update(clientKey).digest(), storedKey)
}

/** ServerSignature := HMAC(ServerKey, AuthMessage) */
export function serverSignature(hash: HashName, serverKey: Buffer, message: string): Buffer {
  return hmac(hash, serverKey, message)
}

function hmac(hash: HashName, key: Buffer, text: string): Buffer {
  return createHmac(hash, key).update(text, 'utf8').digest()
}

function xor(a: Buffer, b: Buffer): Buffer {
  const out = Buffer.allocUnsafe(a.length)
  for (let i = 0; i < a.length; i++) out[i] = (a[i] as number) ^ (b[i] as number)
  return out
}
