// Who may send where: the recipient is ours, or the client may relay. Facts in, a decision with its rule out. Pure.
//
// Never an open relay (RFC 5321 §7.2 and what spammers do): only the domain of a parsed, canonical path counts, and
// mail from strangers to our own domains must not carry a route in its local part, because the next hop might follow it.

import type { Config } from '../config/schema.ts'
import { DomainTable } from '../config/domain-table.ts'
import { canonicalAddress } from '../lib/address.ts'
import type { CidrSet } from '../lib/address.ts'
import { Enhanced, ReplyCode } from '../wire/smtp/codes.ts'
import type { Reply } from '../wire/smtp/reply.ts'

export interface RelayConfig extends Pick<Config, 'hostname' | 'domains'> {
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
  /** `domain` is what the router is asked about; `address` is the path for the next hop. */
  | { readonly kind: 'accept'; readonly domain: string; readonly address: string }
  | { readonly kind: 'refuse'; readonly rule: string; readonly reply: Reply }

const RELAY_DENIED: RelayDecision = refuse('relay-denied', 'Relaying denied')
const ROUTE_IN_LOCAL_PART: RelayDecision = refuse('route-in-local-part', 'Sender-specified routing is not accepted')

export class RelayPolicy {
  readonly #config: RelayConfig
  readonly #domains = new DomainTable<true>('best')
  readonly #postmaster: { readonly address: string; readonly domain: string }

  constructor(config: RelayConfig) {
    this.#config = config
    for (const { name } of config.domains) this.#domains.add(name, true)
    const address = config.postmaster ?? `postmaster@${config.hostname}`
    this.#postmaster = { address, domain: domainOf(address) }
  }

  /** Whether a client may relay by its address alone. */
  mayRelay(address: string): boolean {
    return this.#config.relayFrom.hasText(address)
  }

  isOurs(domain: string): boolean {
    return this.#domains.find(domain) !== undefined
  }

  decide(facts: RelayFacts): RelayDecision {
    const domain = this.#isOurLiteral(facts) ? this.#config.hostname : facts.domain
    const ours = this.isOurs(domain)
    // RFC 5321 §4.5.1: postmaster is always reached, whatever else is ours.
    if (!ours && this.#isOurPostmaster(facts.local, domain)) return { kind: 'accept', ...this.#postmaster }
    if (!ours && !facts.mayRelay) return RELAY_DENIED
    if (!facts.mayRelay && hasRoute(facts.local)) return ROUTE_IN_LOCAL_PART
    const address = domain === facts.domain ? facts.recipient : `${localOf(facts.recipient)}@${domain}`
    return { kind: 'accept', domain, address }
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
