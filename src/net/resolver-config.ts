// Which name servers to ask, and how: from the configuration, else from the system (resolv.conf). Start of a thread.

import { readFileSync } from 'node:fs'
import { addressClass, formatAddress, parseAddress } from '../lib/address.ts'
import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'

export interface DnsServer {
  /** An address, with its zone when it has one. */
  readonly address: string
  readonly port: number
  /** Whether its AD bit counts: it is on this machine, or the administrator said `trust-ad`. */
  readonly trusted: boolean
}

export interface ResolverSettings {
  readonly servers: readonly DnsServer[]
  /** How long one server has for one try. */
  readonly timeoutMs: number
  /** Tries of each server. */
  readonly attempts: number
  /** All tries together. */
  readonly deadlineMs: number
  /** Begin each question at another server, instead of always at the first that works. */
  readonly rotate: boolean
  /** Ask over TCP only (`use-vc`). */
  readonly tcpOnly: boolean
  readonly ttlMsMin: number
  readonly ttlMsMax: number
  readonly negativeTtlMsMax: number
  /** How long a failure is remembered (RFC 9520 §3.2: at least 1 s). */
  readonly failureTtlMs: number
  readonly cacheEntriesMax: number
  /** Bytes of answers kept, as they came over the wire. */
  readonly cacheBytesMax: number
  /** Questions with open sockets. Many: names whose servers are dead shall not hold up those whose are not. */
  readonly inFlightMax: number
  /** Questions of the last moment: more at once would overflow the receive buffer of a server, 212 KB on Linux. */
  readonly burstMax: number
  /** Questions that wait for one of those; above it they fail with `overload`. */
  readonly waitingMax: number
}

/** What the configuration says; the rest has defaults. An empty list of servers means the system's. */
export interface ResolverOptions extends Partial<Omit<ResolverSettings, 'servers'>> {
  readonly servers: readonly string[]
}

const SERVERS_MAX = 8
const DEFAULTS: Omit<ResolverSettings, 'servers'> = {
  timeoutMs: 3_000,
  attempts: 3,
  deadlineMs: 20_000,
  rotate: false,
  tcpOnly: false,
  ttlMsMin: 1_000,
  ttlMsMax: 24 * 3_600_000,
  negativeTtlMsMax: 3_600_000,
  failureTtlMs: 2_000,
  cacheEntriesMax: 100_000,
  cacheBytesMax: 32 * 1024 * 1024,
  inFlightMax: 1000,
  burstMax: 128,
  waitingMax: 20_000,
}

/** Settings from the configuration and, where it names no servers, from the text of resolv.conf. */
export function resolverSettings(options: ResolverOptions, resolvConf: string): Result<ResolverSettings, string> {
  if (options.servers.length === 0) {
    const system = parseResolvConf(resolvConf)
    return ok({ ...DEFAULTS, ...options, ...system })
  }
  if (options.servers.length > SERVERS_MAX) return err(`more than ${SERVERS_MAX} DNS servers`)
  const servers: DnsServer[] = []
  for (const text of options.servers) {
    const server = parseDnsServer(text)
    if (!server.ok) return server
    servers.push(server.value)
  }
  return ok({ ...DEFAULTS, ...options, servers })
}

/** As `resolverSettings`, reading /etc/resolv.conf; a machine without one has its resolver on loopback. */
export function systemResolverSettings(options: ResolverOptions, path = '/etc/resolv.conf'): Result<ResolverSettings, string> {
  return resolverSettings(options, readIfThere(path))
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`; port 53 by default. */
export function parseDnsServer(text: string): Result<DnsServer, string> {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text)
  const plain = /^(\d+\.\d+\.\d+\.\d+)(?::(\d{1,5}))?$/.exec(text)
  const match = bracketed ?? plain ?? [text, text, undefined]
  const port = match[2] === undefined ? 53 : Number(match[2])
  const server = serverOf(match[1] as string, port, false)
  if (!server || port === 0 || port > 65_535) return err(`not a DNS server: ${text} (expected ADDRESS or ADDRESS:PORT, IPv6 in brackets)`)
  return ok(server)
}

function serverOf(text: string, port: number, trustAll: boolean): DnsServer | undefined {
  const address = parseAddress(text)
  if (!address) return undefined
  const zone = text.indexOf('%')
  const trusted = trustAll || addressClass(address) === 'loopback'
  return { address: formatAddress(address) + (zone < 0 ? '' : text.slice(zone)), port, trusted }
}

type SystemSettings = Pick<ResolverSettings, 'servers'> & Partial<Pick<ResolverSettings, 'timeoutMs' | 'attempts' | 'rotate' | 'tcpOnly'>>

/** Reads resolv.conf(5): nameserver and options. Lines it does not know are ignored, as the C library does. */
export function parseResolvConf(text: string): SystemSettings {
  const addresses: string[] = []
  let options: string[] = []
  for (const line of text.split('\n', 1000)) {
    const [word, ...rest] = line.trim().split(/\s+/)
    if (word === 'nameserver' && rest[0] !== undefined) addresses.push(rest[0])
    if (word === 'options') options = options.concat(rest)
  }
  const trustAll = options.includes('trust-ad')
  const servers: DnsServer[] = []
  for (const address of addresses) {
    const server = serverOf(address, 53, trustAll)
    if (server && servers.length < SERVERS_MAX) servers.push(server)
  }
  if (servers.length === 0) servers.push({ address: '127.0.0.1', port: 53, trusted: true })
  return {
    servers,
    ...systemTiming(options),
    ...(options.includes('rotate') && { rotate: true }),
    ...(options.includes('use-vc') && { tcpOnly: true }),
  }
}

/** The C library caps timeout at 30 s and attempts at 5. */
function systemTiming(options: readonly string[]): { timeoutMs?: number; attempts?: number } {
  const value = (name: string, max: number): number => {
    const option = options.findLast((word) => word.startsWith(`${name}:`))
    const number = option === undefined ? 0 : Number(option.slice(name.length + 1))
    return Number.isInteger(number) && number > 0 ? Math.min(number, max) : 0
  }
  const timeout = value('timeout', 30)
  const attempts = value('attempts', 5)
  return { ...(timeout > 0 && { timeoutMs: timeout * 1000 }), ...(attempts > 0 && { attempts }) }
}
