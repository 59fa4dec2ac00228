// Who may send where: the recipient is ours, or the client may relay. Facts in, a decision with its rule out. Pure.
//
// Never an open relay (RFC 5321 §7.2 and what spammers do): only the domain of a parsed, canonical path counts, and
// mail from strangers to our own domains must not carry a route in its local part, because the next hop might follow it.

import type { Config } from '../config/schema.ts'
import { isTarget, parseTarget } from '../config/target.ts'
import { canonicalAddress } from '../lib/address.ts'
import type { CidrSet } from '../lib/address.ts'
import { assert } from '../lib/assert.ts'
import { Enhanced, ReplyCode } from '../wire/smtp/codes.ts'
import type { Reply } from '../wire/smtp/reply.ts'

export interface RelayConfig extends Pick<Config, 'hostname' | 'domains' | 'routes'> {
  readonly relayFrom: CidrSet
  /** Address that bare `<postmaster>` goes to; default `postmaster@hostname`. */
  readonly postmaster?: string
}

/** One recipient, as its path was parsed. */
export interface RelayFacts {
  /** Canonical forward path without brackets. */
  readonly recipient: string
  /** Local part without quoting. */
  readonly local: string
  /** Lower-case A-labels or a literal in brackets; '' for bare postmaster. */
  readonly domain: string
  /** Our end of the connection, as text. */
  readonly localAddress: string
  /** The client authenticated, or its address may relay. */
  readonly mayRelay: boolean
}

export type RelayDecision =
  /** `domain` is the routing domain or a static target's key; `address` is the path for the next hop. */
  | { readonly kind: 'accept'; readonly domain: string; readonly address: string }
  | { readonly kind: 'refuse'; readonly rule: string; readonly reply: Reply }

const RELAY_DENIED: RelayDecision = refuse('relay-denied', 'Relaying denied')
const ROUTE_IN_LOCAL_PART: RelayDecision = refuse('route-in-local-part', 'Sender-specified routing is not accepted')

export class RelayPolicy {
  readonly #config: RelayConfig
  /** Routing domain of each of our domains; a wildcard has none of its own unless its target is static. */
  readonly #domains: DomainTable
  readonly #routes: DomainTable
  readonly #postmaster: { readonly address: string; readonly domain: string }

  constructor(config: RelayConfig) {
    this.#config = config
    this.#domains = new DomainTable('best')
    for (const { name, deliverTo } of config.domains) this.#domains.add(name, staticTarget(deliverTo))
    this.#routes = new DomainTable('first')
    for (const { domain, to } of config.routes) this.#routes.add(domain, staticTarget([to]))
    const address = config.postmaster ?? `postmaster@${config.hostname}`
    this.#postmaster = { address, domain: this.routingDomain(domainOf(address)) }
  }

  /** Whether a client may relay by its address alone. */
  mayRelay(address: string): boolean {
    return this.#config.relayFrom.hasText(address)
  }

  isOurs(domain: string): boolean {
    return this.#domains.find(domain) !== undefined
  }

  /** Where mail for `domain` is queued: a static target's key, or the domain itself. */
  routingDomain(domain: string): string {
    const target = this.#domains.find(domain) ?? this.#routes.find(domain)
    return target === undefined || target === '' ? domain : target
  }

  decide(facts: RelayFacts): RelayDecision {
    const domain = this.#isOurLiteral(facts) ? this.#config.hostname : facts.domain
    const ours = this.isOurs(domain)
    // RFC 5321 §4.5.1: postmaster is always reached, whatever else is ours.
    if (!ours && this.#isOurPostmaster(facts.local, domain)) return { kind: 'accept', ...this.#postmaster }
    if (!ours && !facts.mayRelay) return RELAY_DENIED
    if (!facts.mayRelay && hasRoute(facts.local)) return ROUTE_IN_LOCAL_PART
    const address = domain === facts.domain ? facts.recipient : `${localOf(facts.recipient)}@${domain}`
    return { kind: 'accept', domain: this.routingDomain(domain), address }
  }

  #isOurPostmaster(local: string, domain: string): boolean {
    return (domain === '' || domain === this.#config.hostname) && local.toLowerCase() === 'postmaster'
  }

  /** RFC 5321 §4.1.3: a literal of the address that the client talks to stands for us. */
  #isOurLiteral({ domain, localAddress }: RelayFacts): boolean {
    if (!domain.startsWith('[')) return false
    const address = domain.slice(domain.startsWith('[ipv6:') ? 6 : 1, -1)
    return address === canonicalAddress(localAddress)
  }
}

/** Domains with wildcards: `example.org`, `*.example.org` for all below it, `*` for everything. Values are routing domains. */
class DomainTable {
  readonly #exact = new Map<string, { value: string; rank: number }>()
  readonly #below = new Map<string, { value: string; rank: number }>()
  readonly #order: 'first' | 'best'
  #count = 0

  /** `first`: the first entry that matches counts; `best`: the one that names most labels. */
  constructor(order: 'first' | 'best') {
    this.#order = order
  }

  add(pattern: string, value: string): void {
    const [map, key] =
      pattern === '*' ? [this.#below, ''] : pattern.startsWith('*.') ? [this.#below, pattern.slice(2)] : [this.#exact, pattern]
    if (!map.has(key)) map.set(key, { value, rank: this.#count++ })
  }

  find(domain: string): string | undefined {
    let found = this.#exact.get(domain)
    if (found && this.#order === 'best') return found.value
    // From the longest suffix to the empty one, which is `*`.
    for (let at = domain.indexOf('.'); domain !== ''; at = domain.indexOf('.', at + 1)) {
      const below = this.#below.get(at < 0 ? '' : domain.slice(at + 1))
      if (below && (!found || below.rank < found.rank)) found = below
      if (at < 0 || (found && this.#order === 'best')) break
    }
    return found?.value
  }
}

/** The key of a single static target; '' for `mx` and for lists, which the router looks up by domain. */
function staticTarget(targets: readonly string[]): string {
  if (targets.length !== 1) return ''
  const target = parseTarget(targets[0] as string)
  assert(target.ok, `unchecked target: ${targets[0]}`)
  return isTarget(target.value.key) ? target.value.key : ''
}

/** Percent hack, bang path, quoted address (RFC 5321 §7.2 speaks of explicit routing; sendmail's rules followed all three). */
function hasRoute(local: string): boolean {
  return /[@%!]/.test(local)
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}

function localOf(address: string): string {
  return address.slice(0, address.lastIndexOf('@'))
}

function refuse(rule: string, text: string): RelayDecision {
  return { kind: 'refuse', rule, reply: { code: ReplyCode.mailboxUnavailable, enhanced: Enhanced.refused, text } }
}
