// Authentication for every mail protocol: what a net thread has one of. Sessions see AuthExchange (ports.ts).

import { randomBytes } from 'node:crypto'
import type { Config } from '../../config/schema.ts'
import { CidrSet, networkKey } from '../../lib/address.ts'
import { assert } from '../../lib/assert.ts'
import type { Clock } from '../../lib/clock.ts'
import { RepeatedWarnings, type Log } from '../../lib/log.ts'
import { base64ToText } from '../../wire/sasl/base64.ts'
import { mayUse } from './account-name.ts'
import { Accounts, type AccountProfile } from './account-source.ts'
import { AccountDirectory, accountsPath } from './accounts.ts'
import { RefusedExchange, SaslExchange, type AuthAttempt, type ExchangeServices, type WaitingRoom } from './exchange.ts'
import type { MechanismEnvironment } from './mechanism.ts'
import { makeMechanism, offeredMechanisms, tlsMechanisms, type MechanismSettings } from './mechanisms.ts'
import { OauthTokens } from './oauth.ts'
import { PASSWORD_CHECKER_DEFAULTS, PasswordChecker } from './password-checker.ts'
import type { AuthContext, AuthExchange, AuthTls, Directory, PasswordPort, TokenPort } from './ports.ts'
import { QuotaLedger, makeQuotaMemory, type QuotaUse } from './quota.ts'
import type { SharedTableMemory } from './shared-table.ts'
import { Throttle, makeThrottleMemory, type ThrottleMemory } from './throttle.ts'

/** What main makes once and hands to every net thread, so that limits hold over all of them and over their restarts. */
export interface AuthMemory {
  readonly throttle: ThrottleMemory
  readonly quota: SharedTableMemory
}

export function makeAuthMemory(): AuthMemory {
  return { throttle: makeThrottleMemory(), quota: makeQuotaMemory() }
}

export interface AuthenticatorDeps {
  readonly clock: Clock
  readonly passwords: PasswordPort
  readonly log: Log
  readonly memory: AuthMemory
  /** Where accounts are; by default the directory of `config.dataDir`. */
  readonly directory?: Directory
  /** SCRAM nonces, for tests with known answers. */
  readonly nonce?: () => string
}

/** The part of the configuration that is read here. */
export type AuthConfig = Pick<Config, 'dataDir' | 'accounts' | 'allowPlaintextAuth' | 'oauth' | 'relayFrom' | 'tls'>

/** 18 bytes are 24 characters of base64, none of them a comma (RFC 5802 §5.1). */
const NONCE_BYTES = 18
const WAITING_MAX = 1000
/** Within the patience of clients, which give a command five minutes (RFC 5321 §4.5.3.2). */
const WAIT_MS_MAX = 60_000
const NONE: readonly string[] = []

const ONE_MESSAGE: QuotaUse = { messages: 1, recipients: 0 }
const ONE_RECIPIENT: QuotaUse = { messages: 0, recipients: 1 }

/** Opens the directory of accounts. `memory` comes from main. */
export async function makeAuthenticator(config: AuthConfig, deps: AuthenticatorDeps): Promise<Authenticator> {
  const directory = deps.directory ?? (await AccountDirectory.open(accountsPath(config.dataDir), 'read'))
  return new Authenticator(config, deps, directory)
}

export class Authenticator {
  readonly #deps: AuthenticatorDeps
  readonly #directory: Directory
  readonly #accounts: Accounts
  readonly #passwords: PasswordChecker
  readonly #throttle: Throttle
  readonly #quota: QuotaLedger
  readonly #warnings: RepeatedWarnings
  readonly #waiting: WaitingRoom = { count: 0, max: WAITING_MAX, msMax: WAIT_MS_MAX }
  #config: AuthConfig
  #tokens: TokenPort | undefined
  #trusted: CidrSet
  #services: ExchangeServices

  constructor(config: AuthConfig, deps: AuthenticatorDeps, directory: Directory) {
    this.#config = config
    this.#deps = deps
    this.#directory = directory
    this.#passwords = new PasswordChecker({ clock: deps.clock, passwords: deps.passwords, ...PASSWORD_CHECKER_DEFAULTS })
    this.#throttle = new Throttle(deps.memory.throttle)
    this.#quota = new QuotaLedger(deps.memory.quota)
    this.#warnings = new RepeatedWarnings(deps.log, deps.clock)
    this.#accounts = new Accounts(directory, deps.passwords, config.accounts, (problem) =>
      this.#warnings.warn('directory', { problem }, 'an account cannot be used'),
    )
    this.#tokens = this.#makeTokens(config)
    this.#trusted = trustedNetworks(config)
    this.#services = this.#makeServices()
  }

  /** Names that a connection is offered, the strongest first. */
  mechanisms(tls: AuthTls | undefined): readonly string[] {
    return offeredMechanisms(tls, this.#settings)
  }

  /** Names that some connection with TLS is offered. */
  tlsMechanisms(): readonly string[] {
    return tlsMechanisms(this.#settings)
  }

  /** Begins an exchange; what is wrong with the mechanism is the answer to its first response. */
  begin(mechanism: string, context: AuthContext): AuthExchange {
    const { scope = '', openidConfiguration = '' } = this.#tokens ?? {}
    const nonce = this.#deps.nonce ?? (() => base64ToText(randomBytes(NONCE_BYTES)))
    const env: MechanismEnvironment = { context, nonce, scope, openidConfiguration }
    const machine = makeMechanism(mechanism, env, this.#settings)
    if (typeof machine !== 'string')
      return new SaslExchange(this.#services, mechanism.toUpperCase(), machine, context, this.#networkOf(context))
    const outcome = machine === 'encryption' ? 'needs-tls' : 'unknown-mechanism'
    return new RefusedExchange(machine, () => this.#report({ client: context.client, mechanism, account: '', outcome }))
  }

  /** Whether an authenticated account may send as `address`. An account that was removed meanwhile may nothing. */
  mayUse(account: string, address: string): boolean {
    const profile = this.#profile(account)
    return profile !== undefined && mayUse(profile, address)
  }

  /** Addresses and `*@domain` patterns besides the account's own name. */
  aliases(account: string): readonly string[] {
    return this.#profile(account)?.aliases ?? NONE
  }

  /** Whether an account that once authenticated has been removed or disabled since. */
  isGone(account: string): boolean {
    const profile = this.#accounts.profile(account)
    return profile !== 'failed' && (profile === undefined || profile.disabled)
  }

  /** Counts a message against the account's hour; false: it is used up, or the account is no more. */
  takeMessage(account: string): boolean {
    return this.#take(account, ONE_MESSAGE)
  }

  /** Counts a recipient likewise. */
  takeRecipient(account: string): boolean {
    return this.#take(account, ONE_RECIPIENT)
  }

  /** Exchanges that run keep what they began with. */
  reload(config: AuthConfig): void {
    const isSameIssuer = JSON.stringify(config.oauth) === JSON.stringify(this.#config.oauth)
    this.#config = config
    this.#accounts.configure(config.accounts)
    this.#trusted = trustedNetworks(config)
    // Another issuer's keys must go, but a reload alone is no reason to fetch them again.
    if (!isSameIssuer) this.#tokens = this.#makeTokens(config)
    this.#services = this.#makeServices()
  }

  async close(): Promise<void> {
    await this.#directory.close()
  }

  get #settings(): MechanismSettings {
    const { allowPlaintextAuth, tls } = this.#config
    return { allowPlaintext: allowPlaintextAuth, hasTokens: this.#tokens !== undefined, hasClientCa: tls.clientCa !== undefined }
  }

  /** Our own hosts carry the logins of many people: one of them who mistypes must not shut out the others. */
  #networkOf({ client, clientUnknown = false }: AuthContext): string {
    return !clientUnknown && this.#trusted.hasText(client) ? '' : networkKey(client)
  }

  #take(account: string, wanted: QuotaUse): boolean {
    const profile = this.#profile(account)
    return profile !== undefined && this.#quota.take(account, profile.quota, wanted, this.#deps.clock.now())
  }

  /** Nothing for an account that may nothing, or whose record cannot be read. */
  #profile(account: string): AccountProfile | undefined {
    const profile = this.#accounts.profile(account)
    return profile === 'failed' || profile?.disabled ? undefined : profile
  }

  #makeTokens(config: AuthConfig): TokenPort | undefined {
    if (!config.oauth) return undefined
    return new OauthTokens(config.oauth, this.#deps.clock, (problem) =>
      this.#warnings.warn('oauth', { problem }, 'tokens cannot be checked'),
    )
  }

  #makeServices(): ExchangeServices {
    return {
      clock: this.#deps.clock,
      accounts: this.#accounts,
      passwords: this.#passwords,
      tokens: this.#tokens,
      throttle: this.#throttle,
      waiting: this.#waiting,
      report: (attempt) => this.#report(attempt),
    }
  }

  #report(attempt: AuthAttempt): void {
    if (attempt.outcome === 'success' || attempt.outcome === 'cancelled') return
    this.#warnings.warn(networkKey(attempt.client), attempt, 'authentication failed')
  }
}

function trustedNetworks(config: AuthConfig): CidrSet {
  const set = CidrSet.parse(config.relayFrom)
  assert(set.ok, 'relayFrom was validated')
  return set.value
}
