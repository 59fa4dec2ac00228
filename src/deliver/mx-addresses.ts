// The addresses of one host, in the order to try them. Deliver threads.

import { shuffled, type Random } from '../lib/prng.ts'
import type { Lookup, Resolver } from '../wire/dns/types.ts'

/** Which addresses are used, and which of them first. */
export type FamilyOrder = 'ipv6-first' | 'ipv4-first' | 'ipv6-only' | 'ipv4-only'

/** After a failed lookup, ask again after this. */
export const RETRY_MS = 60_000
/** Addresses kept of one host. */
const ADDRESSES_MAX = 16

/** Why a host of ours or of others has no address to connect to, or those that it has, in the order to try them. */
export interface FoundAddresses {
  readonly addresses: readonly string[]
  /** '' when there are addresses. */
  readonly problem: string
  readonly temporary: boolean
  readonly ttlMs: number
}

/** Both families of a host, each shuffled, then taken in turn; the failure of one does not spoil the other. */
export async function addressesOf(resolver: Resolver, random: Random, families: FamilyOrder, name: string): Promise<FoundAddresses> {
  const [v6, v4] = await Promise.all([
    families === 'ipv4-only' ? undefined : resolver.lookup(name, 'AAAA'),
    families === 'ipv6-only' ? undefined : resolver.lookup(name, 'A'),
  ])
  const lookups: Lookup<'A' | 'AAAA'>[] = [v6, v4].filter((lookup) => lookup !== undefined)
  const found = [v6, v4].flatMap((lookup) => (lookup?.kind === 'answer' ? lookup.records : []))
  const addresses = arranged(found, random, families)
  const failed = lookups.find((lookup) => lookup.kind === 'failure')
  const ttlMs = Math.min(...lookups.map((lookup) => (lookup.kind === 'failure' ? RETRY_MS : lookup.ttlMs)))
  if (addresses.length > 0) return { addresses, problem: '', temporary: failed !== undefined, ttlMs }
  if (failed) return { addresses, problem: `could not be looked up: ${failed.text}`, temporary: true, ttlMs }
  const missing = lookups.every((lookup) => lookup.kind === 'nxdomain')
  return { addresses, problem: missing ? 'does not exist' : 'has no address', temporary: false, ttlMs }
}

/** Those of the wanted families, each family shuffled, then taken in turn beginning with the preferred one. */
export function arranged(addresses: readonly string[], random: Random, families: FamilyOrder): string[] {
  const all = [...new Set(addresses)]
  const v6 = families === 'ipv4-only' ? [] : all.filter((address) => address.includes(':'))
  const v4 = families === 'ipv6-only' ? [] : all.filter((address) => !address.includes(':'))
  const lists = [shuffled(v6, random), shuffled(v4, random)]
  return interleaved(families === 'ipv4-first' ? lists.toReversed() : lists).slice(0, ADDRESSES_MAX)
}

function interleaved(lists: readonly (readonly string[])[]): string[] {
  const result: string[] = []
  const longest = Math.max(...lists.map((list) => list.length))
  for (let i = 0; i < longest; i++) {
    for (const list of lists) {
      const address = list[i]
      if (address !== undefined) result.push(address)
    }
  }
  return result
}
