// The resolver's simulated twin: answers from zone data, without sockets. For tests and the simulator.

import { asciiName } from '../lib/hostname.ts'
import { systemClock } from '../lib/clock.ts'
import type { Clock } from '../lib/clock.ts'
import type { FailureReason, Lookup, RecordData, RecordType, Resolver } from '../wire/dns/types.ts'

/** Records of one name. `CNAME` applies to every type; `fails` makes every question fail, `failing` some types only. */
export interface ZoneName {
  readonly A?: readonly string[]
  readonly AAAA?: readonly string[]
  readonly MX?: readonly (readonly [preference: number, exchange: string])[]
  readonly TXT?: readonly string[]
  readonly PTR?: readonly string[]
  readonly CNAME?: string
  readonly TLSA?: readonly RecordData['TLSA'][]
  readonly SOA?: RecordData['SOA']
  readonly ttlMs?: number
  readonly secure?: boolean
  readonly fails?: FailureReason
  readonly failing?: Readonly<Partial<Record<RecordType, FailureReason>>>
}

/** Names without trailing dots. What is not there is NXDOMAIN, unless a longer name ends in it (RFC 8020). */
export type ZoneData = Readonly<Record<string, ZoneName>>

export interface MemoryResolverOptions {
  readonly clock?: Clock
  /** How long each answer takes; 0 answers at once. */
  readonly delayMs?: number
  /** How long a `timeout` takes. */
  readonly timeoutMs?: number
}

const CHAIN_MAX = 16
const TTL_MS = 3_600_000
const NEGATIVE_TTL_MS = 300_000

export class MemoryResolver implements Resolver {
  /** Every question as `TYPE name`, in order. */
  readonly asked: string[] = []
  readonly #zone = new Map<string, ZoneName>()
  readonly #clock: Clock
  readonly #delayMs: number
  readonly #timeoutMs: number

  constructor(zone: ZoneData, options: MemoryResolverOptions = {}) {
    this.#clock = options.clock ?? systemClock
    this.#delayMs = options.delayMs ?? 0
    this.#timeoutMs = options.timeoutMs ?? 0
    for (const [name, records] of Object.entries(zone)) this.set(name, records)
  }

  /** Replaces what is known of a name; undefined removes it. */
  set(name: string, records: ZoneName | undefined): void {
    const key = name.toLowerCase()
    if (records) this.#zone.set(key, records)
    else this.#zone.delete(key)
  }

  lookup<T extends RecordType>(name: string, type: T): Promise<Lookup<T>> {
    const ascii = asciiName(name)
    this.asked.push(`${type} ${ascii ?? name}`)
    if (ascii === undefined) return Promise.resolve({ kind: 'failure', reason: 'name', text: 'not a domain name' })
    const answer = this.#answer(ascii, type)
    const delayMs = answer.kind === 'failure' && answer.reason === 'timeout' ? this.#timeoutMs : this.#delayMs
    if (delayMs === 0) return Promise.resolve(answer)
    return new Promise((resolve) => void this.#clock.after(delayMs, () => resolve(answer)))
  }

  #answer<T extends RecordType>(name: string, type: T): Lookup<T> {
    let owner = name
    for (let step = 0; step < CHAIN_MAX; step++) {
      const found = this.#zone.get(owner)
      if (!found) return { kind: this.#hasBelow(owner) ? 'nodata' : 'nxdomain', ttlMs: NEGATIVE_TTL_MS, secure: false }
      const reason = found.fails ?? found.failing?.[type]
      if (reason) return { kind: 'failure', reason, text: `memory: ${reason}` }
      const secure = found.secure ?? false
      if (found.CNAME === undefined || type === 'CNAME') {
        const records = recordsOf(found)[type] ?? []
        if (records.length === 0) return { kind: 'nodata', ttlMs: found.ttlMs ?? NEGATIVE_TTL_MS, secure }
        return { kind: 'answer', records, ttlMs: found.ttlMs ?? TTL_MS, secure }
      }
      owner = found.CNAME.toLowerCase()
    }
    return { kind: 'failure', reason: 'servfail', text: 'memory: CNAME chain too long' }
  }

  #hasBelow(name: string): boolean {
    for (const other of this.#zone.keys()) if (other.endsWith(`.${name}`)) return true
    return false
  }
}

type Records = { readonly [T in RecordType]: readonly RecordData[T][] | undefined }

function recordsOf(found: ZoneName): Records {
  return {
    A: found.A,
    AAAA: found.AAAA,
    MX: found.MX?.map(([preference, exchange]) => ({ preference, exchange: exchange.replace(/\.$/, '').toLowerCase() })),
    TXT: found.TXT,
    PTR: found.PTR,
    CNAME: found.CNAME === undefined ? undefined : [found.CNAME],
    TLSA: found.TLSA,
    SOA: found.SOA && [found.SOA],
  }
}
