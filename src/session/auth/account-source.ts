// Accounts of the directory, and behind them those that the configuration names for trials. Net thread.
//
// A configured account has a password in clear: its credentials are made when it is first asked for, by a password job,
// so that it then takes the same way as a real one. The directory wins when both know a name.

import type { AccountConfig } from '../../config/schema.ts'
import { prepareStored } from '../../wire/sasl/text.ts'
import { decoyAccount } from './decoy.ts'
import type { Account, Credentials, Directory, PasswordPort } from './ports.ts'

/** What a session asks about an account that has authenticated. */
export type AccountProfile = Pick<Account, 'name' | 'aliases' | 'quota' | 'disabled'>

/** `busy`: ask again later; `failed`: the directory cannot say. */
type Found = (account: Account | undefined | 'busy' | 'failed') => void

export class Accounts {
  readonly #directory: Directory
  readonly #passwords: PasswordPort
  readonly #report: (problem: string) => void
  #configured: ReadonlyMap<string, AccountConfig>
  #derived = new Map<AccountConfig, Credentials | Found[]>()

  /** `report` is told of records that cannot be read, and of passwords that nobody can give. */
  constructor(directory: Directory, passwords: PasswordPort, configured: readonly AccountConfig[], report: (problem: string) => void) {
    this.#report = report
    this.#directory = directory
    this.#passwords = passwords
    this.#configured = byName(configured)
  }

  /** After a reload. Credentials of accounts that stay the same are kept. */
  configure(configured: readonly AccountConfig[]): void {
    const before = this.#configured
    this.#configured = byName(configured.map((account) => unchanged(before.get(account.name), account)))
    for (const account of this.#derived.keys()) if (this.#configured.get(account.name) !== account) this.#derived.delete(account)
  }

  /** `found` may be called before it returns. */
  lookup(name: string, found: Found): void {
    const account = this.#find(name)
    const configured = account === undefined ? this.#configured.get(name) : undefined
    if (configured) this.#lookupConfigured(configured, found)
    else found(account)
  }

  /** As `lookup`, but an unknown name gives a decoy, so that the caller goes on in the same way. */
  lookupOrDecoy(name: string, found: (account: Account | 'busy' | 'failed') => void): void {
    const decoy = decoyAccount(this.#directory.secret, name)
    this.lookup(name, (account) => found(account ?? decoy))
  }

  /** What the account may do, without its credentials. */
  profile(name: string): AccountProfile | undefined | 'failed' {
    const account = this.#find(name)
    if (account !== undefined) return account
    const configured = this.#configured.get(name)
    return configured && { ...configured, disabled: false }
  }

  #find(name: string): Account | undefined | 'failed' {
    try {
      return this.#directory.find(name)
    } catch (error) {
      this.#report(`${name}: ${String(error)}`)
      return 'failed'
    }
  }

  #lookupConfigured(configured: AccountConfig, found: Found): void {
    const state = this.#derived.get(configured)
    if (Array.isArray(state)) state.push(found)
    else if (state) found(withCredentials(configured, state))
    else this.#derive(configured, found)
  }

  #derive(configured: AccountConfig, found: Found): void {
    const password = prepareStored(configured.password)
    if (password === undefined) {
      this.#report(`${configured.name}: its password in the configuration has characters that SASLprep forbids (RFC 4013)`)
      return found(undefined)
    }
    const waiting = [found]
    this.#derived.set(configured, waiting)
    this.#passwords.derive(password, (credentials) => {
      const made = typeof credentials === 'string' ? credentials : withCredentials(configured, credentials)
      // A reload may have dropped the account meanwhile: then nothing is kept of it.
      if (this.#derived.get(configured) === waiting) {
        if (typeof credentials === 'string') this.#derived.delete(configured)
        else this.#derived.set(configured, credentials)
      }
      for (const one of waiting) one(made)
    })
  }
}

function byName(configured: readonly AccountConfig[]): ReadonlyMap<string, AccountConfig> {
  return new Map(configured.map((account) => [account.name, account]))
}

function unchanged(before: AccountConfig | undefined, now: AccountConfig): AccountConfig {
  return before && JSON.stringify(before) === JSON.stringify(now) ? before : now
}

function withCredentials(configured: AccountConfig, credentials: Credentials): Account {
  const { name, aliases, quota } = configured
  return { name, aliases, quota, disabled: false, createdAt: 0, ...credentials }
}
