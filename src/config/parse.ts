// From what people write to what threads receive: shape first, then what its parts mean together. Used while loading only.
//
// An empty object is a whole configuration: the embedded default, in which nothing leaves loopback.

import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'
import { brokenRelations, defaultLimits } from './limits.ts'
import { problemsOf } from './problems.ts'
import type { ConfigProblem } from './problems.ts'
import type { Config, ListenerConfig, ThreadsConfig, TlsConfig } from './schema.ts'
import { shapeOf } from './shape.ts'
import type { Shaped, Surroundings } from './shape.ts'
import { formatDuration } from './units.ts'

const V4_OWN_BITS_MIN = 8
const V6_OWN_BITS_MIN = 7

/** The frozen Config of a configuration as people write it, or everything that is wrong with it. */
export function parseConfig(input: unknown, around: Surroundings): Result<Config, readonly ConfigProblem[]> {
  const shaped = shapeOf(input, around)
  if (!shaped.success) return err(problemsOf(shaped.error.issues, input))
  const problems = CHECKS.flatMap((check) => check(shaped.data))
  if (problems.length > 0) return err(problems)
  return ok(deepFreeze(complete(shaped.data, around)))
}

function complete(shaped: Shaped, around: Surroundings): Config {
  const { threads, tls, listeners, retry, smtp, limits } = shaped
  return {
    hostname: shaped.hostname,
    postmaster: shaped.postmaster ?? `postmaster@${postmasterDomain(shaped)}`,
    dataDir: shaped.dataDir,
    threads: completeThreads(threads, around.cores),
    tls: completeTls(tls),
    listeners: completeListeners(listeners),
    relayFrom: shaped.relayFrom,
    proxyFrom: shaped.proxyFrom,
    xclientFrom: shaped.xclientFrom,
    domains: shaped.domains,
    routes: shaped.routes,
    mxPort: shaped.mxPort,
    allowHosts: shaped.allowHosts,
    accounts: shaped.accounts,
    allowPlaintextAuth: shaped.allowPlaintextAuth,
    tenantFrom: shaped.tenantFrom,
    retry: { firstMs: retry.first, maxMs: retry.max, expireMs: retry.expire, warnAfterMs: retry.warnAfter },
    smtp: { bareLf: smtp.bareLf, banner: smtp.banner },
    limits: { ...defaultLimits, ...limits, messageBytesMax: smtp.maxMessageBytes, recipientsMax: smtp.recipientsMax },
    dns: shaped.dns,
    oauth: shaped.oauth,
    events: shaped.events,
    log: shaped.log,
  }
}

/** A domain of ours, so that what is written to the postmaster does not go looking for the host's mail exchanger. */
function postmasterDomain({ hostname, domains }: Shaped): string {
  const names = domains.map(({ name }) => name).filter((name) => !name.startsWith('*'))
  return names.includes(hostname) ? hostname : (names[0] ?? hostname)
}

/** Acceptance costs about as much as delivery and inspection together; two cores are best used by one of each. */
function completeThreads(threads: Shaped['threads'], cores: number): ThreadsConfig {
  return {
    net: threads.net ?? Math.min(Math.max(1, Math.floor(cores / 2)), 16),
    deliver: threads.deliver ?? Math.min(Math.max(1, Math.floor(cores / 4)), 8),
    inspect: threads.inspect ?? Math.min(Math.max(1, Math.floor(cores / 4)), 4),
  }
}

function completeTls(tls: Shaped['tls']): TlsConfig {
  const { cert, key, names, minVersion, clientCa } = tls
  return {
    files: cert !== undefined && key !== undefined ? { cert, key } : undefined,
    names: names.map((entry) => ({ names: entry.name, cert: entry.cert, key: entry.key })),
    minVersion,
    clientCa,
  }
}

/** The first of a protocol is called after it, a further one after its port too. SMTP offers STARTTLS unless told otherwise. */
function completeListeners(listeners: Shaped['listeners']): ListenerConfig[] {
  const seen = new Set<string>()
  return listeners.map(({ protocol, port, host, name, tls }) => {
    const usual = seen.has(protocol) ? `${protocol}-${port}` : protocol
    seen.add(protocol)
    return { name: name ?? usual, protocol, host, port, tls: tls ?? (protocol === 'lmtp' ? 'off' : 'starttls') }
  })
}

const CHECKS: readonly ((shaped: Shaped) => ConfigProblem[])[] = [
  ({ listeners }) => (listeners.length === 0 ? [{ path: 'listeners', text: 'an empty list is not allowed; expected at least one' }] : []),
  ({ listeners }) => {
    const names = completeListeners(listeners).map((listener) => listener.name)
    return repeated(names, (i, name) => ({
      path: `listeners[${i}]`,
      text: `another listener is called ${name}; give it a name of its own`,
    }))
  },
  ({ listeners }) => {
    const places = listeners.map(({ host, port }, i) => (port === 0 ? `free port of ${i}` : `${host} port ${port}`))
    return repeated(places, (i, place) => ({ path: `listeners[${i}].port`, text: `another listener has ${place}` }))
  },
  // RFC 2033 §5.
  ({ listeners }) =>
    listeners.flatMap(({ protocol, port }, i) =>
      protocol === 'lmtp' && port === 25
        ? [{ path: `listeners[${i}].port`, text: 'port 25 is for SMTP: LMTP must not be used on it; 24 is usual' }]
        : [],
    ),
  ({ relayFrom }) => halfTheWorld('relayFrom', relayFrom, 'would let half the world relay; name the networks that may'),
  ({ proxyFrom }) =>
    halfTheWorld('proxyFrom', proxyFrom, 'would let half the world choose an address, one that may relay too; name your proxies'),
  ({ xclientFrom }) => halfTheWorld('xclientFrom', xclientFrom, 'would let half the world be whom they like; name your proxies'),
  ({ accounts }) => {
    const names = accounts.map((account) => account.name)
    return repeated(names, (i, name) => ({ path: `accounts[${i}].name`, text: `another account is called ${name}` }))
  },
  ({ tls: { cert, key } }) => {
    if ((cert === undefined) === (key === undefined)) return []
    return [
      cert === undefined
        ? { path: 'tls.cert', text: 'is missing; tls.key needs it' }
        : { path: 'tls.key', text: 'is missing; tls.cert needs it' },
    ]
  },
  ({ retry: { first, max } }) =>
    max < first ? [{ path: 'retry.max', text: `${formatDuration(max)} is less than retry.first, ${formatDuration(first)}` }] : [],
  ({ oauth }) => {
    if (!oauth || (oauth.jwksUrl === '') !== (oauth.introspectionUrl === '')) return []
    return [{ path: 'oauth', text: 'expected either jwksUrl or introspectionUrl' }]
  },
  ({ oauth }) => {
    if (!oauth || oauth.jwksUrl === '' || (oauth.issuer !== '' && oauth.audience !== '')) return []
    return [{ path: 'oauth', text: 'jwksUrl needs issuer and audience: a token for somebody else must not pass' }]
  },
  ({ limits, smtp }) => {
    const all = { ...defaultLimits, ...limits, messageBytesMax: smtp.maxMessageBytes, recipientsMax: smtp.recipientsMax }
    return brokenRelations(all).map((text) => ({ path: 'limits', text: `does not hold: ${text}` }))
  },
]

/** Wider than 10.0.0.0/8 and fc00::/7 is no network of one's own: two halves are everybody as well. */
function halfTheWorld(key: string, networks: readonly string[], text: string): ConfigProblem[] {
  return networks.flatMap((network, i) => {
    const bits = Number(network.slice(network.indexOf('/') + 1))
    const isTooWide = bits < (network.includes(':') ? V6_OWN_BITS_MIN : V4_OWN_BITS_MIN)
    return isTooWide ? [{ path: `${key}[${i}]`, text: `${network} ${text}` }] : []
  })
}

function repeated(values: readonly string[], problem: (index: number, value: string) => ConfigProblem): ConfigProblem[] {
  const seen = new Set<string>()
  return values.flatMap((value, i) => {
    if (!seen.has(value)) {
      seen.add(value)
      return []
    }
    return [problem(i, value)]
  })
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}
