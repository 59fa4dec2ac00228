// Names of accounts: lower-case addresses, prepared as SASL wants them, and what else an account may call itself. Pure.

import { prepareQuery } from '../../wire/sasl/text.ts'
import type { Account } from './ports.ts'

/** Bytes of a name in UTF-8: RFC 5321 §4.5.3.1 gives a local part 64 and a domain 255. */
export const ACCOUNT_NAME_BYTES_MAX = 320

/**
 * The account that a client's text names, whether there is such an account or not; undefined when it can be none
 * (SASLprep fails, or it is too long).
 */
export function accountName(text: string): string | undefined {
  const name = prepareQuery(text)?.toLowerCase()
  return name === undefined || Buffer.byteLength(name, 'utf8') > ACCOUNT_NAME_BYTES_MAX ? undefined : name
}

/** An account's name or alias, as the command line and the configuration may set it: `local@domain`. */
export function isAddressName(name: string): boolean {
  const at = name.lastIndexOf('@')
  return at > 0 && /^[^\s@,;:<>()[\]\\"]+$/.test(name.slice(0, at)) && isDomain(name.slice(at + 1))
}

/** `local@domain`, or `*@domain` for every address of a domain. */
export function isAliasPattern(pattern: string): boolean {
  return isAddressName(pattern) && (!pattern.includes('*') || (pattern.startsWith('*@') && pattern.lastIndexOf('*') === 0))
}

function isDomain(text: string): boolean {
  return text.length <= 255 && /^[^\s@,;:<>()[\]\\"*.]+(\.[^\s@,;:<>()[\]\\"*.]+)*$/.test(text)
}

/**
 * Whether an account may act as the authorization identity that a client asked for: itself, or nobody named. Acting as
 * others is not offered (RFC 4616 §2, RFC 4422 §3.4.1).
 */
export function mayActAs(account: string, authzid: string): boolean {
  return authzid === '' || accountName(authzid) === account
}

/**
 * Whether an account may use an address in MAIL FROM or From: its own name, an alias, or a `*@domain` pattern. Case is
 * ignored in the local part too, as everybody delivers; a subaddress (`anna+news@…`) needs an alias of its own.
 */
export function mayUse(account: Pick<Account, 'name' | 'aliases'>, address: string): boolean {
  const wanted = address.toLowerCase()
  if (wanted === account.name || account.aliases.includes(wanted)) return true
  const at = wanted.lastIndexOf('@')
  return at > 0 && account.aliases.includes(`*${wanted.slice(at)}`)
}
