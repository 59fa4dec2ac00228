// Twins of what authentication needs from outside: passwords without the work, a directory in memory, a quiet log.

import { createHash } from 'node:crypto'
import { ManualClock } from '../../../src/lib/clock.ts'
import type { Log } from '../../../src/lib/log.ts'
import { Authenticator, makeAuthMemory, type AuthConfig, type AuthenticatorDeps } from '../../../src/session/auth/authenticator.ts'
import type {
  Account,
  AuthContext,
  AuthExchange,
  AuthStep,
  AuthTls,
  BindingName,
  Credentials,
  Directory,
  PasswordPort,
  PasswordVerdict,
} from '../../../src/session/auth/ports.ts'
import { base64ToText } from '../../../src/wire/sasl/base64.ts'
import { saltedPassword, scramKeys } from '../../../src/wire/sasl/scram-keys.ts'
import type { HashName } from '../../../src/wire/sasl/scram.ts'

/** SCRAM's least work, so that tests spend their time elsewhere. */
const ITERATIONS = 4096
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')

const keysOf = (hash: HashName, password: string, salt: Buffer): Credentials['scram']['sha1'] => ({
  salt,
  iterations: ITERATIONS,
  ...scramKeys(hash, saltedPassword(hash, password, salt, ITERATIONS)),
})

/** In these tests the stored hash is a plain SHA-256: FakePasswords knows how it is made. */
export function fakeHash(password: string): string {
  return `sha256:${createHash('sha256').update(password).digest('hex')}`
}

export function credentialsOf(password: string, salt: Buffer = SALT): Credentials {
  return { argon2id: fakeHash(password), scram: { sha1: keysOf('sha1', password, salt), sha256: keysOf('sha256', password, salt) } }
}

export function accountOf(name: string, password: string, more: Partial<Account> = {}): Account {
  const quota = { messagesPerHour: 0, recipientsPerHour: 0 }
  return { name, aliases: [], quota, disabled: false, createdAt: 1, ...credentialsOf(password), ...more }
}

/** Answers when the test says so, or at once. Counts what it was asked. */
export class FakePasswords implements PasswordPort {
  readonly asked: { readonly argon2id: string; readonly password: string }[] = []
  derived: number = 0
  /** With `hold`, answers wait for `release`. */
  hold: boolean = false
  verdict: PasswordVerdict | undefined
  #held: (() => void)[] = []

  get held(): number {
    return this.#held.length
  }

  verify(argon2id: string, password: string, done: (verdict: PasswordVerdict) => void): void {
    this.asked.push({ argon2id, password })
    this.#later(() => done(this.verdict ?? (argon2id === fakeHash(password) ? 'right' : 'wrong')))
  }

  derive(password: string, done: (credentials: Credentials | 'busy' | 'failed') => void): void {
    this.derived++
    const { verdict } = this
    this.#later(() => done(verdict === 'busy' || verdict === 'failed' ? verdict : credentialsOf(password)))
  }

  release(): void {
    const held = this.#held
    this.#held = []
    for (const answer of held) answer()
  }

  #later(answer: () => void): void {
    if (this.hold) this.#held.push(answer)
    else answer()
  }
}

export class MemoryDirectory implements Directory {
  readonly secret: Buffer = Buffer.alloc(32, 7)
  readonly accounts: Map<string, Account> = new Map()
  broken: boolean = false

  constructor(...accounts: readonly Account[]) {
    for (const account of accounts) this.accounts.set(account.name, account)
  }

  find(name: string): Account | undefined {
    if (this.broken) throw new Error('bad record')
    return this.accounts.get(name)
  }

  async close(): Promise<void> {
    // Nothing is open.
  }
}

export interface LogLine {
  readonly fields: object
  readonly text: string
}

export function memoryLog(lines: LogLine[]): Log {
  const method = (fields: object | string, text = ''): void =>
    void lines.push(typeof fields === 'string' ? { fields: {}, text: fields } : { fields, text })
  const log: Log = { trace: method, debug: method, info: method, warn: method, error: method, fatal: method, child: () => log }
  return log
}

export const CONFIG: AuthConfig = {
  dataDir: '/nowhere',
  accounts: [],
  allowPlaintextAuth: false,
  oauth: undefined,
  relayFrom: [],
  tls: { files: undefined, names: [], minVersion: 'TLSv1.2', clientCa: '/nowhere/ca.pem' },
}

/** An authenticator with everything at hand to look at. */
export function bench(
  accounts: readonly Account[] = [accountOf('anna@example.org', 'pencil')],
  config: Partial<AuthConfig> = {},
  deps: Partial<AuthenticatorDeps> = {},
): {
  readonly authenticator: Authenticator
  readonly clock: ManualClock
  readonly passwords: FakePasswords
  readonly directory: MemoryDirectory
  readonly log: LogLine[]
} {
  const clock = new ManualClock()
  const passwords = new FakePasswords()
  const directory = new MemoryDirectory(...accounts)
  const log: LogLine[] = []
  const all = { clock, passwords, log: memoryLog(log), memory: makeAuthMemory(), ...deps }
  return { authenticator: new Authenticator({ ...CONFIG, ...config }, all, directory), clock, passwords, directory, log }
}

/** TLS with the bindings and certificate addresses given. */
export function fakeTls(bindings: Partial<Record<BindingName, string>> = {}, certificateAddresses: readonly string[] = []): AuthTls {
  return {
    binding: (name) => (bindings[name] === undefined ? undefined : Buffer.from(bindings[name])),
    certificateAddresses,
  }
}

export const TLS: AuthTls = fakeTls({ 'tls-exporter': 'exported key material of 32 byte', 'tls-server-end-point': 'certificate' })

export function contextOf(more: Partial<AuthContext> = {}): AuthContext {
  return { client: '192.0.2.1', tls: TLS, successData: false, ...more }
}

/** What the client sends: text is put into base64. */
export function b64(text: string): Buffer {
  return Buffer.from(base64ToText(Buffer.from(text, 'utf8')), 'latin1')
}

/** The steps an exchange answered, with the data decoded. */
export type SeenStep = { readonly kind: string; readonly data?: string; readonly account?: string; readonly reply?: string }

export function seen(step: AuthStep): SeenStep {
  return 'data' in step && step.data
    ? { ...step, data: Buffer.from(step.data.toString('latin1'), 'base64').toString('utf8') }
    : (step as SeenStep)
}

/** One response whose answer must come at once. */
export function say(exchange: AuthExchange, response: Buffer | undefined): SeenStep {
  const steps = hear(exchange, response)
  if (steps.length !== 1) throw new Error(`${steps.length} answers at once`)
  return steps[0] as SeenStep
}

/** One response to an exchange that is refused unseen: that takes a second. */
export function sayUnseen(exchange: AuthExchange, response: Buffer | undefined, clock: ManualClock): SeenStep {
  const steps = hear(exchange, response)
  clock.advance(999)
  if (steps.length !== 0) throw new Error('refused at once')
  clock.advance(1)
  return steps[0] as SeenStep
}

/** One response; the array fills when the answer comes. */
export function hear(exchange: AuthExchange, response: Buffer | undefined): SeenStep[] {
  const steps: SeenStep[] = []
  exchange.respond(response, (step) => steps.push(seen(step)))
  return steps
}
