// From a domain to the hosts that take its mail (RFC 5321 §5.1, RFC 7505). Deliver threads.
//
// The answer never contains a host that we are ourselves, nor an address that a foreign zone has no business to send us
// to: loopback, unspecified, link-local, multicast, reserved and our own, unless `allowHosts` permits it.

import { CidrSet, addressClass, canonicalAddress, formatAddress, parseAddress } from '../lib/address.ts'
import { asciiName } from '../lib/hostname.ts'
import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'
import type { Random } from '../lib/prng.ts'
import type { RouteAnswer } from '../queue/ports.ts'
import type { MxRecord, Resolver } from '../wire/dns/types.ts'
import { RETRY_MS, addressesOf } from './mx-addresses.ts'
import type { FamilyOrder } from './mx-addresses.ts'
import type { DestinationHost } from './ports.ts'

export interface MxSettings {
  /** Our own name: a mail exchanger of this name is us. */
  readonly hostname: string
  readonly families: FamilyOrder
  /** 25 except in labs. */
  readonly port: number
}

export interface GuardSettings {
  /** Host names, addresses and networks that may be reached whatever they are; for labs. */
  readonly allowHosts: readonly string[]
  /** Addresses of our own interfaces and of proxies in front of us. */
  readonly ownAddresses: readonly string[]
  /** Whether private networks are refused as well; split-horizon DNS points there on purpose. */
  readonly refusePrivate: boolean
}

/** Why there is no route; the reply becomes the recipients' last reply and the DSN's diagnostic. */
export type RouteFailure = Exclude<RouteAnswer, { kind: 'site' }>

export interface MxHosts {
  readonly kind: 'hosts'
  /** In the order to try them. */
  readonly hosts: readonly DestinationHost[]
  /** Names of all mail exchangers, sorted, usable now or not: what makes two domains the same site. */
  readonly names: readonly string[]
  readonly ttlMs: number
}

export type MxAnswer = MxHosts | RouteFailure

/** Mail exchangers looked at; more serve nobody and cost two questions each. */
const EXCHANGERS_MAX = 32
/** Address literals hold for ever; ask again at times because configuration changes. */
const LITERAL_TTL_MS = 3_600_000

/** What may be connected to. */
export class AddressGuard {
  readonly #names: ReadonlySet<string>
  readonly #networks: CidrSet
  readonly #own: ReadonlySet<string>
  readonly #refusePrivate: boolean

  private constructor(names: ReadonlySet<string>, networks: CidrSet, own: ReadonlySet<string>, refusePrivate: boolean) {
    this.#names = names
    this.#networks = networks
    this.#own = own
    this.#refusePrivate = refusePrivate
  }

  /** The error names the entry of `allowHosts` that is neither a name nor a network. */
  static make(settings: GuardSettings): Result<AddressGuard, string> {
    const names = new Set<string>()
    const networks: string[] = []
    for (const entry of settings.allowHosts) {
      const name = asciiName(entry)
      if (name === undefined) networks.push(entry)
      else names.add(name)
    }
    const set = CidrSet.parse(networks)
    if (!set.ok) return err(`allowHosts: ${set.error}`)
    const own = new Set(settings.ownAddresses.map((text) => canonicalAddress(text) ?? text))
    return ok(new AddressGuard(names, set.value, own, settings.refusePrivate))
  }

  /** `own`, or the class for which an address of `host` is refused; undefined when it may be used. */
  refuses(host: string, text: string): string | undefined {
    const address = parseAddress(text)
    if (!address) return 'unreadable'
    if (this.#names.has(host) || this.#networks.has(address)) return undefined
    const kind = addressClass(address)
    if (kind !== 'public' && kind !== 'private') return kind
    if (this.#own.has(formatAddress(address))) return 'own'
    return kind === 'private' && this.#refusePrivate ? kind : undefined
  }
}

/** What became of one mail exchanger. */
interface Exchanger {
  readonly name: string
  readonly preference: number
  readonly addresses: readonly string[]
  /** It is us, by name or by address. */
  readonly self: boolean
  /** Why it cannot be used, '' when it can. */
  readonly problem: string
  /** A later lookup may do better. */
  readonly temporary: boolean
  readonly ttlMs: number
}

export class MxFinder {
  readonly #resolver: Resolver
  readonly #random: Random
  readonly #settings: MxSettings
  readonly #guard: AddressGuard

  constructor(resolver: Resolver, random: Random, settings: MxSettings, guard: AddressGuard) {
    this.#resolver = resolver
    this.#random = random
    this.#settings = settings
    this.#guard = guard
  }

  /** `domain` is a domain or an address literal with its brackets. */
  async find(domain: string): Promise<MxAnswer> {
    if (domain.startsWith('[')) return this.#literal(domain)
    const mx = await this.#resolver.lookup(domain, 'MX')
    if (mx.kind === 'failure') return lookupFailure(domain, mx)
    if (mx.kind === 'nxdomain') return permanent(550, '5.1.2', `Domain ${domain} does not exist`)
    if (mx.kind !== 'answer') return this.#implicit(domain, mx.ttlMs)
    const records = distinct(mx.records)
    // RFC 7505 §3: an MX for the root alone says that the domain takes no mail.
    if (records.length === 0) {
      return permanent(556, '5.1.10', `Domain ${domain} does not accept mail (null MX)`)
    }
    const exchangers = await Promise.all(records.map((record) => this.#exchanger(record)))
    return this.#conclude(domain, exchangers, mx.ttlMs)
  }

  /** RFC 5321 §5.1: without MX records the domain itself is its mail exchanger. */
  async #implicit(domain: string, ttlMs: number): Promise<MxAnswer> {
    const name = asciiName(domain) ?? domain
    const exchanger = await this.#exchanger({ preference: 0, exchange: name })
    return this.#conclude(domain, [exchanger], ttlMs)
  }

  /** RFC 5321 §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`. */
  #literal(domain: string): MxAnswer {
    const match = /^\[(?:(IPv6):)?([^\]]+)\]$/i.exec(domain)
    const inside = match?.[2] ?? ''
    const text = canonicalAddress(inside)
    if (text === undefined || (match?.[1] !== undefined) !== inside.includes(':')) {
      return permanent(550, '5.1.3', 'Recipient domain is not an address literal')
    }
    return this.#conclude(domain, [this.#judge(text, 0, [text], LITERAL_TTL_MS)], LITERAL_TTL_MS)
  }

  async #exchanger(record: MxRecord): Promise<Exchanger> {
    const name = asciiName(record.exchange)
    if (name === undefined) return unusable(record, 'is not a host name', Infinity)
    if (name === this.#settings.hostname.toLowerCase()) return { ...unusable(record, 'is this server', Infinity), self: true }
    const { addresses, problem, temporary, ttlMs } = await addressesOf(this.#resolver, this.#random, this.#settings.families, name)
    if (addresses.length === 0) return { ...unusable(record, problem, ttlMs), temporary }
    return this.#judge(name, record.preference, addresses, ttlMs)
  }

  /** Drops what must not be connected to. One own address makes the host ourselves. */
  #judge(name: string, preference: number, addresses: readonly string[], ttlMs: number): Exchanger {
    const kept: string[] = []
    let self = false
    let problem = ''
    for (const address of addresses) {
      const refused = this.#guard.refuses(name, address)
      if (refused === undefined) kept.push(address)
      else problem = `has the address ${address}, which is refused (${refused})`
      self ||= refused === 'own'
    }
    return { name, preference, addresses: kept, self, problem: kept.length > 0 ? '' : problem, temporary: false, ttlMs }
  }

  #conclude(domain: string, exchangers: readonly Exchanger[], mxTtlMs: number): MxAnswer {
    const own = Math.min(...exchangers.filter((exchanger) => exchanger.self).map((exchanger) => exchanger.preference))
    // RFC 5321 §5.1: of ourselves, and of everyone who is no better, the mail must not be passed to.
    const eligible = exchangers.filter((exchanger) => exchanger.preference < own)
    const ttlMs = Math.min(mxTtlMs, ...exchangers.map((exchanger) => exchanger.ttlMs))
    if (eligible.length === 0) return permanent(554, '5.4.6', `Mail for ${domain} loops back to this server`)
    const usable = eligible.filter((exchanger) => exchanger.problem === '')
    if (usable.length === 0) return noneUsable(domain, eligible)
    const hosts = usable
      .map(({ name, preference, addresses }) => ({ name, port: this.#settings.port, addresses, preference }))
      .toSorted((a, b) => a.preference - b.preference)
    const names = exchangers.map((exchanger) => exchanger.name).filter(isSpeakable)
    return { kind: 'hosts', hosts, names: names.toSorted(), ttlMs }
  }
}

/** What people put into an MX record need not be a name. */
function isSpeakable(name: string): boolean {
  return asciiName(name) !== undefined || canonicalAddress(name) !== undefined
}

/** Each name once, with its best preference; roots among others mean nothing (RFC 7505 §3). At most EXCHANGERS_MAX, the best. */
function distinct(records: readonly MxRecord[]): MxRecord[] {
  const best = new Map<string, MxRecord>()
  for (const record of records.toSorted((a, b) => a.preference - b.preference)) {
    if (record.exchange !== '' && !best.has(record.exchange)) best.set(record.exchange, record)
  }
  return [...best.values()].slice(0, EXCHANGERS_MAX)
}

function unusable(record: MxRecord, problem: string, ttlMs: number): Exchanger {
  return { name: record.exchange, preference: record.preference, addresses: [], self: false, problem, temporary: false, ttlMs }
}

/** One host that may come back makes the whole temporary; else RFC 5321 §5.1: "MUST be reported as an error". */
function noneUsable(domain: string, exchangers: readonly Exchanger[]): RouteFailure {
  const cause = exchangers.find((exchanger) => exchanger.temporary) ?? (exchangers[0] as Exchanger)
  const text = `No usable mail host for ${domain}: ${cause.name} ${cause.problem}`
  return cause.temporary ? temporary('4.4.3', text) : permanent(550, '5.4.4', text)
}

function lookupFailure(domain: string, failure: { readonly reason: string; readonly text: string }): RouteFailure {
  if (failure.reason === 'name') return permanent(550, '5.1.2', 'Recipient domain is not a domain name')
  return temporary('4.4.3', `DNS lookup of ${domain} failed: ${failure.text}`)
}

function permanent(code: number, enhanced: string, text: string): RouteFailure {
  return { kind: 'permanent', reply: { code, enhanced, text } }
}

function temporary(enhanced: string, text: string): RouteFailure {
  return { kind: 'temporary', reply: { code: 451, enhanced, text }, retryMs: RETRY_MS }
}
