// From a routing domain to its site: which rule holds, which hosts take the mail, and under which name limits count.
// Deliver threads; the scheduler keeps the answers for their time and asks one question a domain at a time.
//
// A routing domain is a domain or an address literal.
// Where it goes is decided here and now, so that mail that waits follows a changed route. Sites are named by the keys of
// their targets, which hold no password.

import { createHash } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { DomainTable } from '../config/domain-table.ts'
import { planOf } from '../config/plan.ts'
import type { Plan } from '../config/plan.ts'
import { isSocketPath } from '../config/target.ts'
import type { HostTarget } from '../config/target.ts'
import { canonicalAddress } from '../lib/address.ts'
import { assert } from '../lib/assert.ts'
import type { Random } from '../lib/prng.ts'
import { localAddresses, systemHosts } from '../net/resolver-hosts.ts'
import type { HostTable } from '../net/resolver-hosts.ts'
import type { RouteAnswer, SiteLimits } from '../queue/ports.ts'
import type { Resolver } from '../wire/dns/types.ts'
import { addressesOf, arranged, RETRY_MS } from './mx-addresses.ts'
import type { FamilyOrder, FoundAddresses } from './mx-addresses.ts'
import { AddressGuard, MxFinder } from './mx.ts'
import type { Destination, DestinationHost, HostsDestination } from './ports.ts'

export interface RouterOptions {
  /** Domains of ours that are handed on come before routes. */
  readonly config: Pick<Config, 'hostname' | 'domains' | 'routes' | 'mxPort' | 'allowHosts' | 'limits'>
  readonly resolver: Resolver
  readonly random: Random
  /** Addresses of our interfaces: a mail exchanger that has one is us. */
  readonly ownAddresses: readonly string[]
  /** The provider whose hosts these all are, '' when they are nobody's in particular. */
  readonly providerOf: (hosts: readonly string[]) => string
  /** Limits of a site; `provider` is '' when it is none that we know. */
  readonly limitsFor: (site: string, provider: string) => SiteLimits
  /** Default: IPv6 first. */
  readonly families?: FamilyOrder
  /** Whether a foreign MX may not point into private networks; default: it may. */
  readonly refusePrivate?: boolean
  /** For static routes; default: the system's hosts file. */
  readonly hosts?: HostTable
}

type Answer = RouteAnswer<Destination>

/** Static targets by address change only with the configuration. */
const STATIC_TTL_MS = 3_600_000
const SITE_KEY_LENGTH_MAX = 255

export class Router {
  readonly #options: RouterOptions
  readonly #families: FamilyOrder
  readonly #hosts: HostTable
  readonly #mx: MxFinder
  readonly #domains = new DomainTable<Plan>('best')
  readonly #routes = new DomainTable<Plan>('first')
  /** Static targets by key. */
  readonly #targets = new Map<string, HostTarget>()
  readonly #pending = new Map<string, Promise<Answer>>()

  constructor(options: RouterOptions) {
    const { config, ownAddresses, resolver, random } = options
    this.#options = options
    this.#families = options.families ?? 'ipv6-first'
    this.#hosts = options.hosts ?? systemHosts()
    const guard = AddressGuard.make({ allowHosts: config.allowHosts, ownAddresses, refusePrivate: options.refusePrivate ?? false })
    assert(guard.ok, 'allowHosts of a validated configuration parses')
    this.#mx = new MxFinder(resolver, random, { hostname: config.hostname, families: this.#families, port: config.mxPort }, guard.value)
    for (const { name, deliverTo } of config.domains) this.#domains.add(name, this.#planOf(deliverTo))
    for (const { domain, to } of config.routes) this.#routes.add(domain, this.#planOf([to]))
  }

  #planOf(texts: readonly string[]): Plan {
    const plan = planOf(texts)
    assert(plan.ok, 'targets of a validated configuration make a plan')
    return plan.value.kind === 'hosts' ? { kind: 'hosts', targets: plan.value.targets.map((target) => this.#named(target)) } : plan.value
  }

  /** Targets that differ in their passwords only are sites of their own: `KEY`, `KEY#2`, … in the order of the configuration. */
  #named(target: HostTarget): HostTarget {
    for (let n = 1; ; n++) {
      const named = n === 1 ? target : { ...target, key: `${target.key}#${n}` }
      const other = this.#targets.get(named.key)
      if (!other) this.#targets.set(named.key, named)
      if (!other || other.auth?.password === target.auth?.password) return named
    }
  }

  /** Calls `answered` once, later. Questions about the same domain that come at the same time share one answer. */
  route(domain: string, answered: (answer: Answer) => void): void {
    let pending = this.#pending.get(domain)
    if (!pending) {
      pending = this.#answer(domain).then((answer) => this.#finished(domain, answer))
      this.#pending.set(domain, pending)
    }
    void pending.then(answered)
  }

  #finished(domain: string, answer: Answer): Answer {
    this.#pending.delete(domain)
    if (answer.kind === 'site') return answer
    const text = answer.reply.text.slice(0, this.#options.config.limits.replyTextBytes)
    return { ...answer, reply: { ...answer.reply, text } }
  }

  async #answer(domain: string): Promise<Answer> {
    const plan = this.#domains.find(domain) ?? this.#routes.find(domain)
    if (!plan) return temporary('4.3.5', `Route for ${domain}: none is configured`)
    switch (plan.kind) {
      case 'mx':
        return this.#byMx(domain)
      case 'hosts':
        return this.#byHosts(plan.targets)
      case 'discard':
        return this.#site('discard:', '', { kind: 'discard' }, STATIC_TTL_MS)
      case 'capture':
        return this.#site(plan.key, '', { kind: 'capture', dir: plan.dir }, STATIC_TTL_MS)
    }
  }

  async #byMx(domain: string): Promise<Answer> {
    const answer = await this.#mx.find(domain)
    if (answer.kind !== 'hosts') return answer
    const { names, hosts, ttlMs } = answer
    const destination: HostsDestination = { kind: 'hosts', protocol: 'smtp', hosts, tls: 'opportunistic', fromMx: true }
    return this.#site(siteKey(names), this.#options.providerOf(names), destination, ttlMs)
  }

  async #byHosts(targets: readonly HostTarget[]): Promise<Answer> {
    const found = await Promise.all(targets.map((target) => this.#addresses(target.host)))
    const hosts: DestinationHost[] = []
    for (const [preference, target] of targets.entries()) {
      const { addresses } = found[preference] as FoundAddresses
      if (addresses.length > 0) hosts.push({ name: target.host, port: target.port, addresses, preference })
    }
    if (hosts.length === 0) return unreachable(targets, found)
    const { protocol, tls, implicitTls, auth } = targets[0] as HostTarget
    const destination: HostsDestination = { kind: 'hosts', protocol, hosts, tls, implicitTls, ...(auth && { auth }), fromMx: false }
    const ttlMs = Math.min(STATIC_TTL_MS, ...found.map((host) => host.ttlMs))
    return this.#site(siteKey(targets.map((target) => target.key)), '', destination, ttlMs)
  }

  async #addresses(host: string): Promise<FoundAddresses> {
    if (isSocketPath(host)) return { addresses: [host], problem: '', temporary: false, ttlMs: STATIC_TTL_MS }
    const { random, resolver } = this.#options
    const known = canonicalAddress(host) === undefined ? localAddresses(this.#hosts, host) : [host]
    if (!known) return addressesOf(resolver, random, this.#families, host)
    const addresses = arranged(known, random, this.#families)
    const problem = addresses.length > 0 ? '' : `has no address of the family that ${this.#families} allows`
    return { addresses, problem, temporary: false, ttlMs: STATIC_TTL_MS }
  }

  #site(key: string, provider: string, route: Destination, ttlMs: number): Answer {
    return { kind: 'site', site: { key, limits: this.#options.limitsFor(key, provider), route }, ttlMs }
  }
}

/** Sorted by the caller where order means nothing. A key too long for logs keeps its head and is told apart by a hash. */
function siteKey(names: readonly string[]): string {
  const key = names.join(',')
  if (key.length <= SITE_KEY_LENGTH_MAX) return key
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 16)
  return `${key.slice(0, SITE_KEY_LENGTH_MAX - hash.length - 1)}#${hash}`
}

function temporary(enhanced: string, text: string): Answer {
  return { kind: 'temporary', reply: { code: 451, enhanced, text }, retryMs: RETRY_MS }
}

/** Hosts that we were told to use: whatever DNS says of them, the mistake is ours to mend, and mail waits. */
function unreachable(targets: readonly HostTarget[], found: readonly FoundAddresses[]): Answer {
  const problems = targets.map((target, index) => `${target.host} ${found[index]?.problem ?? ''}`).join('; ')
  return temporary(found.some((host) => host.temporary) ? '4.4.3' : '4.3.5', `Static route: ${problems}`)
}
