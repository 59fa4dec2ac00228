// The stub resolver: asks the configured servers, remembers what they said, and shares questions that are under way.
// One in each thread that asks DNS. node:dns is not used: it gives no TTL, no AD bit, and waits in libuv's pool.

import { randomInt } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { assert } from '../lib/assert.ts'
import { asciiName } from '../lib/hostname.ts'
import { systemClock } from '../lib/clock.ts'
import type { Clock } from '../lib/clock.ts'
import type { Lookup, RecordType, Resolver } from '../wire/dns/types.ts'
import { TtlCache } from './resolver-cache.ts'
import { systemResolverSettings } from './resolver-config.ts'
import type { DnsServer, ResolverSettings } from './resolver-config.ts'
import { Query } from './resolver-query.ts'
import type { FinalVerdict, QueryPorts } from './resolver-query.ts'
import { systemTransport } from './resolver-transport.ts'
import type { DnsTransport } from './resolver-transport.ts'

export interface ResolverPorts {
  readonly clock: Clock
  readonly transport: DnsTransport
  /** An unpredictable number from 0 to 65,535. */
  randomId(): number
}

/** What the resolver did since it was made. */
export interface ResolverCounts {
  lookups: number
  /** Answered from the cache. */
  cached: number
  /** Joined to a question that was under way. */
  shared: number
  failures: number
}

const systemPorts: ResolverPorts = { clock: systemClock, transport: systemTransport, randomId: () => randomInt(0x1_0000) }

/** The resolver that a configuration describes, over real sockets. */
export function systemResolver(config: Pick<Config, 'dns' | 'limits'>): StubResolver {
  const { dns, limits } = config
  const settings = systemResolverSettings({
    servers: dns.servers,
    timeoutMs: limits.dnsTimeoutMs,
    attempts: limits.dnsAttempts,
    ttlMsMax: limits.dnsTtlMsMax,
    negativeTtlMsMax: limits.dnsNegativeTtlMsMax,
    cacheEntriesMax: limits.dnsCacheEntriesMax,
  })
  assert(settings.ok, 'DNS servers of a validated configuration parse')
  return new StubResolver(settings.value)
}

/** A question that is older does not count for the burst: its datagram has been read, or is lost. */
const BURST_MS = 200

/** How long a server that was silent is asked only after the others. */
const PENALTY_MS = 30_000

interface Question {
  readonly name: string
  readonly type: RecordType
  readonly key: string
  /** ms of the monotonic clock. */
  readonly startBefore: number
  readonly resolve: (lookup: Lookup<RecordType>) => void
}

export class StubResolver implements Resolver {
  readonly counts: ResolverCounts = { lookups: 0, cached: 0, shared: 0, failures: 0 }
  readonly #settings: ResolverSettings
  readonly #ports: ResolverPorts
  readonly #queryPorts: QueryPorts
  readonly #cache: TtlCache<Lookup<RecordType>>
  /** Questions under way or waiting, by `TYPE name`. */
  readonly #pending = new Map<string, Promise<Lookup<RecordType>>>()
  readonly #waiting: Question[] = []
  /** Until when a server is asked last; ms of the monotonic clock. */
  readonly #penalties = new Map<DnsServer, number>()
  #inFlight = 0
  /** Those of them that were begun a moment ago. */
  #fresh = 0
  #turn = 0

  constructor(settings: ResolverSettings, ports: ResolverPorts = systemPorts) {
    this.#settings = settings
    this.#ports = ports
    this.#cache = new TtlCache(ports.clock, settings.cacheEntriesMax, settings.cacheBytesMax)
    this.#queryPorts = {
      clock: ports.clock,
      transport: ports.transport,
      randomId: () => ports.randomId(),
      noteServer: (server, answered) => this.#noteServer(server, answered),
    }
  }

  lookup<T extends RecordType>(name: string, type: T): Promise<Lookup<T>> {
    // Keys hold the type, so what is found under one is a Lookup of that type.
    return this.#lookup(name, type) as Promise<Lookup<T>>
  }

  #lookup(text: string, type: RecordType): Promise<Lookup<RecordType>> {
    this.counts.lookups++
    const name = asciiName(text)
    if (name === undefined) return Promise.resolve(failure('name', 'not a domain name'))
    const key = `${type} ${name}`
    const cached = this.#cache.get(key)
    if (cached) {
      this.counts.cached++
      return Promise.resolve(aged(cached.value, cached.remainingMs))
    }
    const shared = this.#pending.get(key)
    if (shared) {
      this.counts.shared++
      return shared
    }
    if (!this.#hasRoom && this.#waiting.length >= this.#settings.waitingMax) {
      return Promise.resolve(failure('overload', `more than ${this.#settings.waitingMax} questions wait`))
    }
    const startBefore = this.#ports.clock.mono() + this.#settings.deadlineMs
    const pending = new Promise<Lookup<RecordType>>((resolve) => this.#enqueue({ name, type, key, startBefore, resolve }))
    this.#pending.set(key, pending)
    return pending
  }

  get #hasRoom(): boolean {
    return this.#inFlight < this.#settings.inFlightMax && this.#fresh < this.#settings.burstMax
  }

  #enqueue(question: Question): void {
    if (this.#hasRoom) this.#start(question)
    else this.#waiting.push(question)
  }

  #start(question: Question): void {
    this.#inFlight++
    this.#fresh++
    let isFresh = true
    const age = (): void => {
      if (isFresh) this.#fresh--
      isFresh = false
    }
    const timer = this.#ports.clock.after(BURST_MS, () => {
      age()
      this.#startWaiting()
    })
    const { name, type } = question
    const query = new Query(name, type, this.#order(), this.#settings, this.#queryPorts, (verdict, server, answerBytes) => {
      timer.cancel()
      age()
      this.#inFlight--
      this.#finish(question, this.#conclude(question, verdict, server, answerBytes))
      this.#startWaiting()
    })
    query.start()
  }

  /** Those that waited too long fail now, so that dead servers do not hold a long queue for many deadlines. */
  #startWaiting(): void {
    while (this.#hasRoom) {
      const question = this.#waiting.shift()
      if (!question) return
      if (question.startBefore > this.#ports.clock.mono()) this.#start(question)
      else this.#finish(question, failure('overload', `waited ${this.#settings.deadlineMs} ms for other questions`))
    }
  }

  #finish(question: Question, lookup: Lookup<RecordType>): void {
    this.#pending.delete(question.key)
    if (lookup.kind === 'failure') this.counts.failures++
    question.resolve(lookup)
  }

  /** Servers that were silent lately go last, the others as configured or in turn. */
  #order(): DnsServer[] {
    const { servers, rotate } = this.#settings
    const first = rotate ? this.#turn++ % servers.length : 0
    const ordered = [...servers.slice(first), ...servers.slice(0, first)]
    const now = this.#ports.clock.mono()
    const punished = (server: DnsServer): boolean => (this.#penalties.get(server) ?? 0) > now
    return [...ordered.filter((server) => !punished(server)), ...ordered.filter(punished)]
  }

  #noteServer(server: DnsServer, answered: boolean): void {
    if (answered) this.#penalties.delete(server)
    else this.#penalties.set(server, this.#ports.clock.mono() + PENALTY_MS)
  }

  /** Turns a verdict into what callers get, and remembers it for its time. */
  #conclude({ key }: Question, verdict: FinalVerdict<RecordType>, server: DnsServer | undefined, answerBytes: number): Lookup<RecordType> {
    if (verdict.kind === 'failure') {
      this.#cache.set(key, verdict, this.#settings.failureTtlMs, 0)
      return verdict
    }
    const { ttlMsMin, ttlMsMax, negativeTtlMsMax } = this.#settings
    const secure = verdict.secure && server?.trusted === true
    const max = verdict.kind === 'answer' ? ttlMsMax : negativeTtlMsMax
    const ttlMs = Math.min(Math.max((verdict.ttl ?? 0) * 1000, ttlMsMin), max)
    const lookup: Lookup<RecordType> =
      verdict.kind === 'answer' ? { kind: 'answer', records: verdict.records, ttlMs, secure } : { kind: verdict.kind, ttlMs, secure }
    this.#cache.set(key, lookup, ttlMs, answerBytes)
    return lookup
  }
}

function failure(reason: 'name' | 'overload', text: string): Lookup<RecordType> {
  return { kind: 'failure', reason, text }
}

function aged(lookup: Lookup<RecordType>, remainingMs: number): Lookup<RecordType> {
  return lookup.kind === 'failure' ? lookup : { ...lookup, ttlMs: remainingMs }
}
