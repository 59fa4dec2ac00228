// Limits of a site: what holds for all, what its provider asks for, what users set; the last word wins. Pure.

import { PROVIDERS, type Provider } from './providers.ts'
import type { SiteLimits } from './ports.ts'

export type LimitValues = Omit<SiteLimits, 'origins'>

/** Values that override what came before, and where they stand, for `explain`: `limits`, `shaping.google`. */
export interface LimitLayer {
  readonly origin: string
  readonly limits: Partial<LimitValues>
}

/** For mail exchangers nothing is known of. */
const FOREIGN: LimitValues = {
  connections: 20,
  messagesPerConnection: 100,
  recipientsPerTransaction: 100,
  connectionRate: undefined,
  messageRate: undefined,
  idleReuseMs: 60_000,
  tlsRequired: false,
  reactions: [],
}

/** For static routes: smart hosts and back ends that expect us. */
const STATIC: Partial<LimitValues> = { connections: 32, messagesPerConnection: 1_000 }

/**
 * The limits of a site. `siteKey` is a static route when it is a URL or a path; `provider` is a name of providers.ts, '' for none.
 * Later layers override earlier ones and the built-in values, limit by limit.
 */
export function limitsFor(siteKey: string, provider: string, layers: readonly LimitLayer[] = []): SiteLimits {
  const known = PROVIDERS.find(({ name }) => name === provider)
  const all: LimitLayer[] = []
  if (siteKey.includes(':/')) all.push({ origin: 'default for static routes', limits: STATIC })
  if (known) all.push({ origin: `provider ${known.name}`, limits: known.limits })
  return merge([...all, ...layers])
}

function merge(layers: readonly LimitLayer[]): SiteLimits {
  const origins: Record<string, string> = {}
  let values: LimitValues = FOREIGN
  for (const { origin, limits } of layers) {
    values = { ...values, ...limits }
    for (const name of Object.keys(limits)) origins[name] = origin
  }
  return { ...values, origins }
}

/** The provider that all these hosts belong to, '' when there is none: one foreign host may not have another's limits. */
export function providerOf(hosts: readonly string[]): string {
  if (hosts.length === 0) return ''
  return PROVIDERS.find((provider) => hosts.every((host) => isHostOf(provider, host)))?.name ?? ''
}

function isHostOf(provider: Provider, host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '')
  return provider.hostsIn.some((domain) => name === domain || name.endsWith(`.${domain}`))
}
