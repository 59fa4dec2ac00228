// Accounts as bytes in the directory store: a msgpackr array with a version in front. Pure.

import { Packr } from 'msgpackr'
import type { Account, ScramRecord } from './ports.ts'

const VERSION = 1

// Without shared structures a record can be read alone, by any process.
const packr = new Packr({ useRecords: false, moreTypes: false })

type ScramFields = readonly [salt: Uint8Array, iterations: number, storedKey: Uint8Array, serverKey: Uint8Array]

type RecordFields = readonly [
  version: typeof VERSION,
  name: string,
  aliases: readonly string[],
  messagesPerHour: number,
  recipientsPerHour: number,
  disabled: boolean,
  createdAt: number,
  argon2id: string,
  sha1: ScramFields,
  sha256: ScramFields,
]

/** The directory holds bytes that this version did not write; somebody must look. */
export class AccountRecordError extends Error {
  override readonly name = 'AccountRecordError'
}

export function encodeAccount(account: Account): Buffer {
  const { messagesPerHour, recipientsPerHour } = account.quota
  const { sha1, sha256 } = account.scram
  const fields: RecordFields = [
    VERSION,
    account.name,
    account.aliases,
    messagesPerHour,
    recipientsPerHour,
    account.disabled,
    account.createdAt,
    account.argon2id,
    scramFields(sha1),
    scramFields(sha256),
  ]
  return packr.pack(fields)
}

function scramFields(record: ScramRecord): ScramFields {
  return [record.salt, record.iterations, record.storedKey, record.serverKey]
}

/** Throws AccountRecordError on anything but a whole record of a known version. */
export function decodeAccount(bytes: Buffer): Account {
  const fields = unpack(bytes)
  if (!isRecord(fields)) throw new AccountRecordError('not an account record of a known version')
  const [, name, aliases, messagesPerHour, recipientsPerHour, disabled, createdAt, argon2id, sha1, sha256] = fields
  const quota = { messagesPerHour, recipientsPerHour }
  return { name, aliases, quota, disabled, createdAt, argon2id, scram: { sha1: scramRecord(sha1), sha256: scramRecord(sha256) } }
}

function unpack(bytes: Buffer): unknown {
  try {
    return packr.unpack(bytes)
  } catch (cause) {
    throw new AccountRecordError('not an account record', { cause })
  }
}

const TYPES = ['number', 'string', 'object', 'number', 'number', 'boolean', 'number', 'string', 'object', 'object'] as const

function isRecord(fields: unknown): fields is RecordFields {
  if (!Array.isArray(fields) || fields.length !== TYPES.length || fields[0] !== VERSION) return false
  const list: readonly unknown[] = fields
  if (!TYPES.every((type, i) => typeof list[i] === type)) return false
  const aliases = list[2]
  return Array.isArray(aliases) && aliases.every((alias) => typeof alias === 'string') && isScram(list[8]) && isScram(list[9])
}

function isScram(fields: unknown): fields is ScramFields {
  if (!Array.isArray(fields) || fields.length !== 4) return false
  const [salt, iterations, storedKey, serverKey]: readonly unknown[] = fields
  return salt instanceof Uint8Array && typeof iterations === 'number' && storedKey instanceof Uint8Array && serverKey instanceof Uint8Array
}

function scramRecord([salt, iterations, storedKey, serverKey]: ScramFields): ScramRecord {
  return { salt: Buffer.from(salt), iterations, storedKey: Buffer.from(storedKey), serverKey: Buffer.from(serverKey) }
}
