// JSON Web Tokens: reading them, and checking their signature and claims (RFC 7519, RFC 7515, RFC 8725). Pure.

import { verify, type KeyObject } from 'node:crypto'
import { utf8 } from '../../lib/bytes.ts'

/** Signature algorithms that are taken; each works with one type of key only (RFC 8725 §3.1). */
export const JWT_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number]

export type Claims = Readonly<Record<string, unknown>>

export interface Jwt {
  readonly algorithm: JwtAlgorithm
  /** '' when the header has none. */
  readonly keyId: string
  readonly claims: Claims
  readonly signed: Buffer
  readonly signature: Buffer
}

/** What a token must say to be for us. */
export interface ClaimRules {
  /** '' asks for none; likewise audience and scope. */
  readonly issuer: string
  readonly audience: string
  readonly scope: string
  /** How far clocks may be apart. */
  readonly leewayMs: number
  /** Whether `exp` must be there; in an introspection reply it need not (RFC 7662 §2.2). */
  readonly mustExpire: boolean
}

export type ClaimVerdict = 'valid' | 'invalid' | 'scope'

// header "." payload "." signature, each base64url without padding (RFC 7515 §3.1)
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/
const TYPES = new Set(['', 'jwt', 'at+jwt', 'application/at+jwt'])

/** Undefined when the text is not a signed token of a known kind. Nothing is believed yet. */
export function parseJwt(token: string): Jwt | undefined {
  const parts = COMPACT.exec(token)
  if (!parts) return undefined
  const [, head, payload, signature] = parts as unknown as [string, string, string, string]
  const header = jsonObject(head)
  const claims = jsonObject(payload)
  const algorithm = JWT_ALGORITHMS.find((known) => known === header?.['alg'])
  // RFC 7515 §4.1.11: what `crit` names must be understood, and we understand nothing.
  if (!header || !claims || !algorithm || header['crit'] !== undefined) return undefined
  // RFC 8725 §3.11: other kinds of tokens of the same issuer are not access tokens.
  const type = header['typ'] ?? ''
  if (typeof type !== 'string' || !TYPES.has(type.toLowerCase())) return undefined
  const keyId = typeof header['kid'] === 'string' ? header['kid'] : ''
  return { algorithm, keyId, claims, signed: Buffer.from(`${head}.${payload}`, 'latin1'), signature: Buffer.from(signature, 'base64url') }
}

function jsonObject(base64url: string): Record<string, unknown> | undefined {
  const bytes = Buffer.from(base64url, 'base64url')
  try {
    const value: unknown = JSON.parse(utf8(bytes, 0, bytes.length))
    return isObject(value) ? value : undefined
  } catch {
    // Not JSON: not a token.
    return undefined
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a key may be used with an algorithm. RSA below 2,048 bits may not (RFC 7518 §3.3). */
export function keyFits(key: KeyObject, algorithm: JwtAlgorithm): boolean {
  const details = key.asymmetricKeyDetails
  switch (algorithm) {
    case 'RS256':
      return key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= 2048
    case 'ES256':
      return key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1'
    case 'EdDSA':
      return key.asymmetricKeyType === 'ed25519'
  }
}

export function isSignedBy(jwt: Jwt, key: KeyObject): boolean {
  if (!keyFits(key, jwt.algorithm)) return false
  if (jwt.algorithm === 'EdDSA') return verify(null, jwt.signed, key, jwt.signature)
  // RFC 7518 §3.4: r and s one after the other, not DER.
  if (jwt.algorithm === 'ES256') return verify('sha256', jwt.signed, { key, dsaEncoding: 'ieee-p1363' }, jwt.signature)
  return verify('sha256', jwt.signed, key, jwt.signature)
}

/** RFC 7519 §4.1, for tokens and for introspection replies alike. `now` is in ms since 1970. */
export function checkClaims(claims: Claims, rules: ClaimRules, now: number): ClaimVerdict {
  if (!isInTime(claims, rules, now)) return 'invalid'
  if (rules.issuer !== '' && claims['iss'] !== rules.issuer) return 'invalid'
  if (rules.audience !== '' && !listOf(claims['aud']).includes(rules.audience)) return 'invalid'
  return rules.scope === '' || scopesOf(claims).includes(rules.scope) ? 'valid' : 'scope'
}

function isInTime(claims: Claims, rules: ClaimRules, now: number): boolean {
  const expires = dateOf(claims['exp'], rules.mustExpire ? undefined : Infinity)
  const notBefore = dateOf(claims['nbf'], -Infinity)
  if (expires === undefined || notBefore === undefined) return false
  return now < expires + rules.leewayMs && now >= notBefore - rules.leewayMs
}

/** NumericDate in ms; `absent` when the claim is not there, undefined when it is no date. */
function dateOf(value: unknown, absent: number | undefined): number | undefined {
  if (value === undefined) return absent
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : undefined
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [value]
}

/** RFC 8693 §4.2 `scope`; `scp` at Microsoft and Okta, text or a list. */
function scopesOf(claims: Claims): string[] {
  const value = claims['scope'] ?? claims['scp']
  if (Array.isArray(value)) return value.filter((one) => typeof one === 'string')
  return typeof value === 'string' ? value.split(' ') : []
}

/** The claim that names the account; undefined when there is none, or when it is an address that nobody has verified. */
export function accountClaim(claims: Claims, name: string): string | undefined {
  const value = claims[name]
  // Some issuers write it as text.
  if (name === 'email' && (claims['email_verified'] === false || claims['email_verified'] === 'false')) return undefined
  return typeof value === 'string' && value !== '' ? value : undefined
}
