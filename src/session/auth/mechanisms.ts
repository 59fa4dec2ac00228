// Which mechanisms there are, when each is offered, and what makes one: the table that EHLO and CAPABILITY show. Pure.

import { BearerMechanism } from './bearer.ts'
import { hasBinding } from './binding.ts'
import { ExternalMechanism } from './external.ts'
import type { Mechanism, MechanismEnvironment } from './mechanism.ts'
import { LoginMechanism, PlainMechanism } from './plain.ts'
import type { AuthTls } from './ports.ts'
import { ScramMechanism } from './scram.ts'

/** What decides besides the connection. */
export interface MechanismSettings {
  /** PLAIN and LOGIN without TLS: trials only (RFC 4954 §4). */
  readonly allowPlaintext: boolean
  /** Whether somebody is there to check tokens. */
  readonly hasTokens: boolean
  /** Whether clients are asked for certificates. */
  readonly hasClientCa: boolean
}

interface MechanismRow {
  readonly name: string
  /** Whether a connection with this TLS layer is offered it. */
  offered(tls: AuthTls | undefined, settings: MechanismSettings): boolean
  make(env: MechanismEnvironment): Mechanism
}

const hasCertificate = (tls: AuthTls | undefined, settings: MechanismSettings): boolean =>
  settings.hasClientCa && tls !== undefined && tls.certificateAddresses.length > 0
const isPrivate = (tls: AuthTls | undefined, settings: MechanismSettings): boolean => tls !== undefined || settings.allowPlaintext
// RFC 7628 §3: a bearer token goes over TLS, always.
const hasTokens = (tls: AuthTls | undefined, settings: MechanismSettings): boolean => tls !== undefined && settings.hasTokens

/** The strongest first: many clients take the first that they know. */
const MECHANISMS: readonly MechanismRow[] = [
  { name: 'SCRAM-SHA-256-PLUS', offered: hasBinding, make: (env) => new ScramMechanism('sha256', true, env) },
  { name: 'SCRAM-SHA-1-PLUS', offered: hasBinding, make: (env) => new ScramMechanism('sha1', true, env) },
  { name: 'SCRAM-SHA-256', offered: () => true, make: (env) => new ScramMechanism('sha256', false, env) },
  { name: 'SCRAM-SHA-1', offered: () => true, make: (env) => new ScramMechanism('sha1', false, env) },
  { name: 'EXTERNAL', offered: hasCertificate, make: (env) => new ExternalMechanism(env) },
  { name: 'OAUTHBEARER', offered: hasTokens, make: (env) => new BearerMechanism('OAUTHBEARER', env) },
  { name: 'XOAUTH2', offered: hasTokens, make: (env) => new BearerMechanism('XOAUTH2', env) },
  { name: 'PLAIN', offered: isPrivate, make: () => new PlainMechanism() },
  { name: 'LOGIN', offered: isPrivate, make: () => new LoginMechanism() },
]

/** Names for a capability list. */
export function offeredMechanisms(tls: AuthTls | undefined, settings: MechanismSettings): string[] {
  return MECHANISMS.filter((row) => row.offered(tls, settings)).map((row) => row.name)
}

/** Names that some connection with TLS is offered: who asks for one of them without it lacks nothing else. */
export function tlsMechanisms(settings: MechanismSettings): string[] {
  return offeredMechanisms(ANY_TLS, settings)
}

// Stands for a TLS layer that has everything, to see whether TLS is what is missing.
const ANY_TLS: AuthTls = { binding: () => Buffer.alloc(1), certificateAddresses: ['any@invalid'] }

/** The machine of a mechanism, or why there is none here. Names ignore case, as the commands around them do. */
export function makeMechanism(
  name: string,
  env: MechanismEnvironment,
  settings: MechanismSettings,
): Mechanism | 'mechanism' | 'encryption' {
  const row = MECHANISMS.find((one) => one.name === name.toUpperCase())
  const { tls } = env.context
  if (row?.offered(tls, settings)) return row.make(env)
  return row && tls === undefined && row.offered(ANY_TLS, settings) ? 'encryption' : 'mechanism'
}
