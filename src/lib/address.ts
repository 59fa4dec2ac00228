// IP addresses: text to bytes, classes, prefixes and sets of prefixes. Pure; no thread.
//
// An address is 4 bytes (IPv4) or 16 (IPv6). IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2) become their IPv4 form at
// once, so that `::ffff:10.0.0.1` on a dual-stack socket is the same client as `10.0.0.1`.

import { err, ok } from './result.ts'
import type { Result } from './result.ts'

/** 4 or 16 bytes in network order; never an IPv4-mapped IPv6 address. */
export type AddressBytes = Uint8Array

const DOT = 0x2e
const COLON = 0x3a
const PERCENT = 0x25

/** The bytes that `text` names, or undefined. Dotted quads without leading zeros; a zone (`%eth0`) is ignored on IPv6. */
export function parseAddress(text: string): AddressBytes | undefined {
  if (text.length < 2 || text.length > 64) return undefined
  if (text.indexOf(':') < 0) return parseIpv4(text)
  const address = parseIpv6(text)
  return address && unmapped(address)
}

/** The IPv4 address inside an IPv4-mapped one; any other as it is. Shares the bytes. */
export function unmapped(address: Uint8Array): AddressBytes {
  if (address.length !== 16 || address[10] !== 0xff || address[11] !== 0xff) return address
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return address
  return address.subarray(12)
}

/** Canonical text (RFC 5952): lower case, the longest run of zero groups as `::`. */
export function formatAddress(address: AddressBytes): string {
  if (address.length === 4) return address.join('.')
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((address[i] as number) << 8) | (address[i + 1] as number))
  const run = longestZeroRun(groups)
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':')
  if (run.length < 2) return hex(groups)
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`
}

/** Canonical text of `text`, or undefined when it is no address. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text)
  return address && formatAddress(address)
}

/**
 * Who a client counts as in limits by address: an IPv4 address, or the /64 of an IPv6 one (`2001:db8:1:2::/64`), because
 * one customer owns all of it. Text that is no address is returned as it is.
 */
export function networkKey(text: string): string {
  const address = parseAddress(text)
  if (!address) return text
  if (address.length === 4) return formatAddress(address)
  return `${formatAddress(masked(address, 64))}/64`
}

function parseIpv4(text: string): AddressBytes | undefined {
  const bytes = new Uint8Array(4)
  return readIpv4(text, 0, text.length, bytes, 0) ? bytes : undefined
}

/** Reads a dotted quad that fills [start, end) into `into` at `at`. */
function readIpv4(text: string, start: number, end: number, into: Uint8Array, at: number): boolean {
  let part = 0
  let digits = 0
  let value = 0
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    if (c === DOT) {
      if (digits === 0 || part === 3) return false
      into[at + part++] = value
      digits = 0
      value = 0
      continue
    }
    if (c < 0x30 || c > 0x39 || (digits > 0 && value === 0)) return false
    value = value * 10 + (c - 0x30)
    digits++
    if (value > 255) return false
  }
  into[at + part] = value
  return part === 3 && digits > 0
}

/** Reads groups from the left; what stands behind `::` is moved to the right end afterwards (RFC 4291 §2.2). */
function parseIpv6(text: string): AddressBytes | undefined {
  const percent = text.indexOf('%')
  const end = percent < 0 ? text.length : percent
  if (percent === text.length - 1) return undefined
  const bytes = new Uint8Array(16)
  let at = 0
  let gap = -1
  let i = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined
    gap = 0
    i = 2
  }
  while (i < end) {
    if (at >= 16) return undefined
    const stop = groupEnd(text, i, end)
    if (text.charCodeAt(stop) === DOT) {
      if (at > 12 || !readIpv4(text, i, end, bytes, at)) return undefined
      at += 4
      break
    }
    if (!readGroup(text, i, stop, bytes, at)) return undefined
    at += 2
    i = stop
    if (i === end) break
    i++
    if (i === end) return undefined
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return undefined
      gap = at
      i++
    }
  }
  return spread(bytes, at, gap)
}

/** Index of the first character from `i` that is not a hexadecimal digit. */
function groupEnd(text: string, i: number, end: number): number {
  while (i < end && hexDigit(text.charCodeAt(i)) >= 0) i++
  return i
}

function readGroup(text: string, start: number, end: number, into: Uint8Array, at: number): boolean {
  if (end === start || end - start > 4) return false
  const next = text.charCodeAt(end)
  if (end < text.length && next !== COLON && next !== PERCENT) return false
  let value = 0
  for (let i = start; i < end; i++) value = value * 16 + hexDigit(text.charCodeAt(i))
  into[at] = value >> 8
  into[at + 1] = value & 0xff
  return true
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  const lower = c | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function spread(bytes: Uint8Array, filled: number, gap: number): AddressBytes | undefined {
  if (gap < 0) return filled === 16 ? bytes : undefined
  if (filled > 14) return undefined
  const tail = filled - gap
  bytes.copyWithin(16 - tail, gap, filled)
  bytes.fill(0, gap, 16 - tail)
  return bytes
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let i = 0; i < groups.length; i++) {
    let j = i
    while (j < groups.length && groups[j] === 0) j++
    if (j - i > best.length) best = { start: i, length: j - i }
    i = Math.max(i, j - 1)
  }
  return best
}

/** The address with all bits behind the first `bits` cleared. */
function masked(address: AddressBytes, bits: number): AddressBytes {
  const bytes = Uint8Array.from(address)
  const whole = bits >> 3
  if (whole < bytes.length) bytes[whole] = (bytes[whole] as number) & (0xff00 >> (bits & 7))
  bytes.fill(0, whole + 1)
  return bytes
}

/** What an address is for. `reserved` is never the address of a host; `public` is everything else that is not named. */
export type AddressClass = 'public' | 'private' | 'loopback' | 'linkLocal' | 'unspecified' | 'multicast' | 'reserved'

export function addressClass(address: AddressBytes): AddressClass {
  return address.length === 4 ? classOfIpv4(address) : classOfIpv6(address)
}

/** RFC 6890 and the registries it founded. Shared space (RFC 6598) counts as private. */
function classOfIpv4(address: AddressBytes): AddressClass {
  const a = address[0] as number
  const b = address[1] as number
  if (a === 0) return 'unspecified'
  if (a === 127) return 'loopback'
  if (a === 169 && b === 254) return 'linkLocal'
  if (a === 10 || (a === 172 && (b & 0xf0) === 16) || (a === 192 && b === 168) || (a === 100 && (b & 0xc0) === 64)) return 'private'
  if (a >= 240) return 'reserved'
  return a >= 224 ? 'multicast' : 'public'
}

/** RFC 4291 §2.4. Translated addresses (RFC 6052 64:ff9b::/96, 6to4) are as good as the IPv4 address inside. */
function classOfIpv6(address: AddressBytes): AddressClass {
  const a = address[0] as number
  const b = address[1] as number
  if (a === 0xff) return 'multicast'
  if (a === 0xfe) return (b & 0xc0) === 0x80 ? 'linkLocal' : (b & 0xc0) === 0xc0 ? 'private' : 'reserved'
  if ((a & 0xfe) === 0xfc) return 'private'
  if (a === 0x20 && b === 0x02) return classOfIpv4(address.subarray(2, 6))
  if (startsWith(address, NAT64)) return classOfIpv4(address.subarray(12))
  if (!startsWith(address, COMPATIBLE)) return 'public'
  const low = address.subarray(12)
  if (low[0] !== 0 || low[1] !== 0 || low[2] !== 0) return 'reserved'
  return low[3] === 0 ? 'unspecified' : low[3] === 1 ? 'loopback' : 'reserved'
}

const NAT64 = Uint8Array.of(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0)
const COMPATIBLE = new Uint8Array(12)

function startsWith(address: AddressBytes, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (address[i] !== prefix[i]) return false
  return true
}

/** An address and how many of its leading bits count. */
export interface Cidr {
  readonly address: AddressBytes
  readonly bits: number
}

/** `10.0.0.0/8`, `2001:db8::/32` or a single address. The error names what is wrong. */
export function parseCidr(text: string): Result<Cidr, string> {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (!address) return err(`not an address or prefix: ${text}`)
  const width = address.length * 8
  if (slash < 0) return ok({ address, bits: width })
  const length = text.slice(slash + 1)
  // `::ffff:10.0.0.0/104` counts its bits in the IPv6 form.
  const offset = width === 32 && text.indexOf(':') >= 0 ? 96 : 0
  const bits = Number(length) - offset
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || bits < 0 || bits > width) return err(`prefix length out of range: ${text}`)
  const network = masked(address, bits)
  if (!sameBytes(network, address)) return err(`${text} has bits set behind the prefix; write ${formatAddress(network)}/${length}`)
  return ok({ address, bits })
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** A set of prefixes. Asking costs one look-up for each distinct prefix length, however many prefixes there are. */
export class CidrSet {
  readonly #byBits = new Map<number, Set<string>>()

  /** The first prefix that does not parse is the error. */
  static parse(prefixes: readonly string[]): Result<CidrSet, string> {
    const set = new CidrSet()
    for (const text of prefixes) {
      const cidr = parseCidr(text)
      if (!cidr.ok) return cidr
      set.add(cidr.value)
    }
    return ok(set)
  }

  add(cidr: Cidr): void {
    // IPv4 lengths are kept apart from IPv6 ones by a sign: -1 is 0.0.0.0/0, 0 is ::/0.
    const slot = cidr.address.length === 4 ? -1 - cidr.bits : cidr.bits
    let keys = this.#byBits.get(slot)
    if (!keys) this.#byBits.set(slot, (keys = new Set()))
    keys.add(keyOf(cidr.address, cidr.bits))
  }

  has(address: AddressBytes): boolean {
    const v4 = address.length === 4
    for (const [slot, keys] of this.#byBits) {
      if (slot < 0 === v4 && keys.has(keyOf(address, v4 ? -1 - slot : slot))) return true
    }
    return false
  }

  /** False for text that is no address. */
  hasText(text: string): boolean {
    const address = parseAddress(text)
    return address !== undefined && this.has(address)
  }
}

/** The leading `bits` of an address as a string of one character a byte. */
function keyOf(address: AddressBytes, bits: number): string {
  const whole = bits >> 3
  let key = ''
  for (let i = 0; i < whole; i++) key += String.fromCharCode(address[i] as number)
  if ((bits & 7) !== 0) key += String.fromCharCode((address[whole] as number) & (0xff00 >> (bits & 7)) & 0xff)
  return key
}
