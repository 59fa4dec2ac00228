// Bearer tokens: whose they are, by the issuer's keys or by asking the issuer. Net thread.

import type { OauthConfig } from '../../config/schema.ts'
import type { Clock } from '../../lib/clock.ts'
import { accountName } from './account-name.ts'
import { Introspection } from './introspection.ts'
import { JwksKeys } from './jwks.ts'
import { accountClaim, checkClaims, isSignedBy, parseJwt, type ClaimRules, type Claims } from './jwt.ts'
import type { TokenPort, TokenVerdict } from './ports.ts'

/** How far the issuer's clock and ours may be apart. */
const LEEWAY_MS = 60_000

const INVALID: TokenVerdict = { kind: 'invalid' }
const UNAVAILABLE: TokenVerdict = { kind: 'unavailable' }

/** Where claims come from: once they are there they are believed to be the issuer's. */
type ClaimsSource = (token: string, done: (claims: Claims | 'invalid' | 'unavailable') => void) => void

export class OauthTokens implements TokenPort {
  readonly scope: string
  readonly openidConfiguration: string
  readonly #rules: ClaimRules
  readonly #accountClaim: string
  readonly #claims: ClaimsSource
  readonly #clock: Clock

  constructor(settings: OauthConfig, clock: Clock, report: (problem: string) => void) {
    this.scope = settings.scope
    this.openidConfiguration = settings.openidConfiguration
    const { issuer, audience, scope } = settings
    const byKeys = settings.jwksUrl !== ''
    this.#rules = { issuer, audience, scope, leewayMs: LEEWAY_MS, mustExpire: byKeys }
    this.#accountClaim = settings.accountClaim
    this.#claims = byKeys ? fromJwt(settings.jwksUrl, clock, report) : fromIntrospection(settings, clock, report)
    this.#clock = clock
  }

  check(token: string, done: (verdict: TokenVerdict) => void): void {
    this.#claims(token, (claims) => {
      if (claims === 'unavailable') return done(UNAVAILABLE)
      done(claims === 'invalid' ? INVALID : this.#verdict(claims))
    })
  }

  #verdict(claims: Claims): TokenVerdict {
    const verdict = checkClaims(claims, this.#rules, this.#clock.now())
    if (verdict !== 'valid') return { kind: verdict }
    const account = accountName(accountClaim(claims, this.#accountClaim) ?? '')
    return account === undefined ? INVALID : { kind: 'valid', account }
  }
}

function fromJwt(url: string, clock: Clock, report: (problem: string) => void): ClaimsSource {
  const keys = new JwksKeys({ url, clock, report })
  return (token, done) => {
    const jwt = parseJwt(token)
    if (!jwt) return done('invalid')
    keys.find(jwt.keyId, jwt.algorithm, (key) => {
      if (key === 'unavailable') return done('unavailable')
      done(key !== 'unknown' && isSignedBy(jwt, key) ? jwt.claims : 'invalid')
    })
  }
}

function fromIntrospection(settings: OauthConfig, clock: Clock, report: (problem: string) => void): ClaimsSource {
  const { introspectionUrl: url, clientId, clientSecret } = settings
  const introspection = new Introspection({ url, clientId, clientSecret, clock, report })
  return (token, done) => {
    introspection.ask(token, (answer) =>
      done(answer.kind === 'active' ? answer.claims : answer.kind === 'inactive' ? 'invalid' : 'unavailable'),
    )
  }
}
