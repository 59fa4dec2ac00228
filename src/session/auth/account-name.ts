// Names of accounts: lower-case addresses, prepared as SASL wants them, and what else an account may call itself. Pure.

import { asciiName } from '../../lib/hostname.ts'
import { prepareQuery, prepareStored } from '../../wire/sasl/text.ts'
import type { Account } from './ports.ts'

/** Bytes of a name in UTF-8: RFC 5321 §4.5.3.1 gives a local part 64 and a domain 255. */
export const ACCOUNT_NAME_BYTES_MAX = 320

/**
 * The account that a client's text names, whether there is such an account or not: SASLprepped, lower case, the domain
 * in A-labels. Undefined when it can be none: SASLprep fails, or it is too long.
 */
export function accountName(text: string): string | undefined {
  const prepared = prepareQuery(text)
  if (prepared === undefined) return undefined
  const at = prepared.lastIndexOf('@')
  const domain = prepared.slice(at + 1)
  const name = at < 0 ? prepared.toLowerCase() : `${prepared.slice(0, at).toLowerCase()}@${asciiName(domain) ?? domain.toLowerCase()}`
  return Buffer.byteLength(name, 'utf8') > ACCOUNT_NAME_BYTES_MAX ? undefined : name
}

/** The name of a new account, as `accountName` gives it; undefined unless it is `local@domain`. */
export function newAccountName(text: string): string | undefined {
  const name = prepareStored(text) === undefined ? undefined : accountName(text)
  return name !== undefined && /^[^\s@"<>*]{1,64}@[^@]+$/.test(name) && isDomainOf(name) ? name : undefined
}

/** An address, or `*@domain` for every address of a domain, in the form that is compared; undefined when it is neither. */
export function aliasPattern(text: string): string | undefined {
  if (!text.startsWith('*@')) return newAccountName(text)
  const domain = asciiName(text.slice(2))
  return domain && `*@${domain}`
}

function isDomainOf(name: string): boolean {
  const domain = name.slice(name.lastIndexOf('@') + 1)
  return asciiName(domain) === domain
}

/**
 * Whether an account may act as the authorization identity that a client asked for: itself, or nobody named. Acting as
 * others is not offered (RFC 4616 §2, RFC 4422 §3.4.1).
 */
export function mayActAs(account: string, authzid: string): boolean {
  return authzid === '' || accountName(authzid) === account
}

/**
 * Whether an account may use an address in MAIL FROM or From: its own name, an alias, or a `*@domain` pattern. The
 * address is canonical as wire/smtp/path.ts makes it. Case is ignored in the local part too, as everybody delivers; a
 * subaddress (`anna+news@…`) needs an alias of its own.
 */
export function mayUse(account: Pick<Account, 'name' | 'aliases'>, address: string): boolean {
  const wanted = address.toLowerCase()
  if (wanted === account.name || account.aliases.includes(wanted)) return true
  const at = wanted.lastIndexOf('@')
  return at > 0 && account.aliases.includes(`*${wanted.slice(at)}`)
}
