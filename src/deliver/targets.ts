// Which addresses one connection tries, in which order and for how long (RFC 5321 §5.1). Deliver threads.
//
// Hosts come in the order of their preference. Equal ones are shuffled, and the addresses of a host within their family, for
// each connection: a route is kept for hours, and its load shall spread. A host with many addresses must not hide those behind
// it: each gets a few tries, and there is always one left for every host. What cost time in vain lately is tried last.

import { isIPv6 } from 'node:net'
import { isSocketPath } from '../config/target.ts'
import { shuffled, type Random } from '../lib/prng.ts'
import type { DeliverLimits } from './limits.ts'
import type { DestinationHost, EgressSource, HostsDestination } from './ports.ts'
import { Failures } from './recent.ts'

/** One address to try. */
export interface Target {
  readonly host: DestinationHost
  readonly address: string
  readonly localAddress: string | undefined
  /** Under which its silence is remembered: one source may be shut out where another is not. */
  readonly key: string
}

export interface TargetList {
  readonly targets: readonly Target[]
  /** How long each may take to connect. */
  readonly connectTimeoutMs: number
  /** Why addresses were left out, for the case that none is left. */
  readonly leftOut: string
}

/** `name:port` of a host. */
export function hostKey(host: DestinationHost): string {
  return `${host.name}:${host.port}`
}

/** `host[address]:port`, or the path of a socket on this machine. */
export function peerOf({ host, address }: Target): string {
  if (isSocketPath(address)) return address
  return `${host.name}[${address}]:${host.port}`
}

const IPV6_FAILURES_MOST = 3

/** A failure that came sooner, such as a refused connection, costs nothing, and the order of preference stays as it is. */
const SILENCE_MS_MIN = 1000

/**
 * What the connections of a thread have learnt of addresses (RFC 5321 §4.5.4.1: "SHOULD keep a list of hosts it cannot
 * reach"). It changes the order only: where nothing else is left, what was silent is tried all the same.
 */
export class Reach {
  readonly #silent: Failures
  readonly #keepMs: number
  #ipv6Failures = 0
  #ipv6LostUntil = 0

  constructor(addressesMost: number, keepMs: number) {
    this.#silent = new Failures(addressesMost, keepMs)
    this.#keepMs = keepMs
  }

  /** No session came about in `tookMs`, and the peer did not say why. Some IPv6 peers in a row: IPv6 may lead nowhere. */
  failed(target: Target, cause: string, tookMs: number, now: number): void {
    if (tookMs >= SILENCE_MS_MIN) this.#silent.add(target.key, cause, now)
    if (isIPv6(target.address) && ++this.#ipv6Failures >= IPV6_FAILURES_MOST) this.#ipv6LostUntil = now + this.#keepMs
  }

  /** A session is open to it. */
  worked(target: Target): void {
    this.#silent.delete(target.key)
    if (!isIPv6(target.address)) return
    this.#ipv6Failures = 0
    this.#ipv6LostUntil = 0
  }

  isSilent(target: Target, now: number): boolean {
    return this.#silent.cause(target.key, now) !== ''
  }

  isIpv6Lost(now: number): boolean {
    return this.#ipv6LostUntil > now
  }
}

/** Why an address of a foreign host must not be connected to, undefined when it may. */
export type Guard = (host: string, address: string) => string | undefined

export function targetsOf(
  route: HostsDestination,
  source: EgressSource,
  limits: DeliverLimits,
  guard: Guard,
  reach: Reach,
  random: Random,
  now: number,
): TargetList {
  let leftOut = ''
  const lists: Target[][] = []
  for (const host of shuffled(route.hosts, random).toSorted((a, b) => a.preference - b.preference)) {
    const list: Target[] = []
    for (const address of withinFamilies(host.addresses, random)) {
      const target = targetOf(host, address, source)
      const problem = (route.fromMx ? refusal(target, guard) : undefined) ?? unreachable(target, source)
      if (problem === undefined) list.push(target)
      else leftOut = problem
    }
    if (list.length > 0) lists.push(bestFirst(list, reach, now).slice(0, limits.addressesPerHostMax))
  }
  const targets = withinTotal(lists, limits.addressesPerConnectionMax)
  // However many hosts there are, all together take no longer than the usual number of addresses. Nothing is granted to a
  // connection before its session is open, so what waits is this connection's place and its site's first one.
  const share = Math.min(1, limits.addressesPerConnectionMax / targets.length)
  const silent = targets.filter((target) => reach.isSilent(target, now))
  return {
    targets: [...targets.filter((target) => !silent.includes(target)), ...silent],
    connectTimeoutMs: limits.connectTimeoutMs * share,
    leftOut,
  }
}

/** Shuffled, but with the families in turn as the router put them (RFC 8305 §4). */
function withinFamilies(addresses: readonly string[], random: Random): string[] {
  const mixed = shuffled(addresses, random)
  const v6 = mixed.filter(isIPv6)
  const others = mixed.filter((address) => !isIPv6(address))
  let at6 = 0
  let at4 = 0
  return addresses.map((address) => (isIPv6(address) ? v6[at6++] : others[at4++]) as string)
}

function targetOf(host: DestinationHost, address: string, source: EgressSource): Target {
  const local = isIPv6(address) ? source.address6 : source.address4
  const localAddress = isSocketPath(address) ? undefined : local
  return { host, address, localAddress, key: `${source.name} ${address} ${host.port}` }
}

function refusal({ host, address }: Target, guard: Guard): string | undefined {
  const cause = guard(host.name, address)
  return cause === undefined ? undefined : `${host.name} has the address ${address}, which is refused (${cause})`
}

/** A source that has an address of one family only reaches no other. */
function unreachable({ address, localAddress }: Target, source: EgressSource): string | undefined {
  if (isSocketPath(address)) return undefined
  const bound = source.address4 !== undefined || source.address6 !== undefined
  return bound && localAddress === undefined ? `source ${source.name} has no address to reach ${address} from` : undefined
}

/** Those of a lost family, and what was silent, come behind. */
function bestFirst(list: readonly Target[], reach: Reach, now: number): Target[] {
  const lost = reach.isIpv6Lost(now)
  const rank = (target: Target): number => (reach.isSilent(target, now) ? 2 : lost && isIPv6(target.address) ? 1 : 0)
  return list.toSorted((a, b) => rank(a) - rank(b))
}

/** In order, as many as there is room for, but one of each host however many hosts there are. */
function withinTotal(lists: readonly (readonly Target[])[], most: number): Target[] {
  const targets: Target[] = []
  for (const [index, list] of lists.entries()) {
    const behind = lists.length - 1 - index
    targets.push(...list.slice(0, Math.max(1, most - targets.length - behind)))
  }
  return targets
}
