// The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): who the client behind a load balancer is.
// Net threads, before TLS and before the first reply. Pure: bytes in, a verdict out.
//
// A header that arrives whole is read where it lies; one that arrives in pieces is gathered, at most
// PROXY_HEADER_BYTES_MAX. Nothing throws: the protocol's rule is to drop a connection whose header is wrong.

import { formatAddress, parseAddress, unmapped } from '../lib/address.ts'
import type { AddressBytes } from '../lib/address.ts'
import { assert } from '../lib/assert.ts'
import { latin1 } from '../lib/bytes.ts'

/** Version 1: 107 with CRLF (§2.1). Version 2: addresses take at most 232, the rest is room for TLVs. */
export const PROXY_HEADER_BYTES_MAX = 4096
const V1_BYTES_MAX = 107
const V2_FIXED_BYTES = 16
const SIGNATURE: Buffer = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V1_WORD: Buffer = Buffer.from('PROXY ', 'latin1')

export interface ProxyEndpoints {
  /** Canonical text. */
  readonly source: string
  readonly sourcePort: number
  readonly destination: string
  readonly destinationPort: number
}

/**
 * `local`: the proxy itself speaks (health check), the connection's own addresses hold. `unknown`: it speaks for somebody
 * whom it cannot name: a client of a UNIX socket, or of a protocol that it does not know.
 */
export type ProxyHeader = { readonly kind: 'local' | 'unknown' } | ({ readonly kind: 'tcp' } & ProxyEndpoints)

export type ProxyStep =
  | { readonly kind: 'more' }
  /** `next` is the offset in the ingested buffer of the first byte behind the header. */
  | { readonly kind: 'done'; readonly header: ProxyHeader; readonly next: number }
  | { readonly kind: 'invalid'; readonly reason: string }

type Verdict = { readonly kind: 'more' } | { readonly kind: 'invalid'; readonly reason: string } | Found
interface Found {
  readonly kind: 'found'
  readonly header: ProxyHeader
  readonly length: number
}

const MORE: { readonly kind: 'more' } = { kind: 'more' }
const LOCAL: ProxyHeader = { kind: 'local' }
const UNKNOWN: ProxyHeader = { kind: 'unknown' }

/** Reads the header of one connection. After `done` or `invalid` it must not be used again. */
export class ProxyDecoder {
  #held: Buffer | undefined
  #length = 0

  ingest(buf: Buffer, start: number, end: number): ProxyStep {
    if (!this.#held) {
      const verdict = read(buf, start, end)
      if (verdict.kind === 'found') return { kind: 'done', header: verdict.header, next: start + verdict.length }
      if (verdict.kind === 'more') this.#hold(buf, start, end)
      return verdict
    }
    const before = this.#length
    this.#hold(buf, start, end)
    const verdict = read(this.#held, 0, this.#length)
    if (verdict.kind !== 'found') return verdict
    return { kind: 'done', header: verdict.header, next: start + verdict.length - before }
  }

  /** What does not fit belongs to what follows the header: `read` has a verdict before the room is full. */
  #hold(buf: Buffer, start: number, end: number): void {
    this.#held ??= Buffer.allocUnsafe(PROXY_HEADER_BYTES_MAX)
    this.#length += buf.copy(this.#held, this.#length, start, end)
  }
}

function invalid(reason: string): { kind: 'invalid'; reason: string } {
  return { kind: 'invalid', reason }
}

function read(buf: Buffer, start: number, end: number): Verdict {
  if (start === end) return MORE
  return buf[start] === SIGNATURE[0] ? readV2(buf, start, end) : readV1(buf, start, end)
}

/** Whether what is there of [start, end) begins like `word`. */
function beginsLike(buf: Buffer, start: number, end: number, word: Buffer): boolean {
  const length = Math.min(end - start, word.length)
  return buf.compare(word, 0, length, start, start + length) === 0
}

/** §2.1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 25` CRLF. */
function readV1(buf: Buffer, start: number, end: number): Verdict {
  if (!beginsLike(buf, start, end, V1_WORD)) return invalid('no PROXY header')
  const limit = Math.min(end, start + V1_BYTES_MAX)
  const lf = buf.subarray(start, limit).indexOf(0x0a)
  if (lf < 0) return end - start >= V1_BYTES_MAX ? invalid('version 1 line too long') : MORE
  if (buf[start + lf - 1] !== 0x0d) return invalid('version 1 line without CRLF')
  const words = latin1(buf, start + V1_WORD.length, start + lf - 1).split(' ')
  const length = lf + 1
  // Whatever follows UNKNOWN is to be ignored.
  if (words[0] === 'UNKNOWN') return { kind: 'found', header: UNKNOWN, length }
  const header = words.length === 5 ? v1Header(words as [string, string, string, string, string]) : undefined
  return header ? { kind: 'found', header, length } : invalid('version 1 line unreadable')
}

function v1Header(words: readonly [string, string, string, string, string]): ProxyHeader | undefined {
  const [protocol, source, destination, sourcePort, destinationPort] = words
  const isV6 = protocol === 'TCP6'
  if ((!isV6 && protocol !== 'TCP4') || source.includes(':') !== isV6 || destination.includes(':') !== isV6) return undefined
  // An address with a zone is one of the proxy's own links, and without it another.
  if (source.includes('%') || destination.includes('%')) return undefined
  const from = parseAddress(source)
  const to = parseAddress(destination)
  const ports = [portOf(sourcePort), portOf(destinationPort)] as const
  if (!from || !to || ports[0] < 0 || ports[1] < 0) return undefined
  return tcp(from, ports[0], to, ports[1])
}

/** -1 unless it is 0 to 65535 without leading zeros. */
function portOf(text: string): number {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) return -1
  const port = Number(text)
  return port <= 65_535 ? port : -1
}

function tcp(source: AddressBytes, sourcePort: number, destination: AddressBytes, destinationPort: number): ProxyHeader {
  return { kind: 'tcp', source: formatAddress(source), sourcePort, destination: formatAddress(destination), destinationPort }
}

/** §2.2: signature, version and command, family and protocol, length of what follows. */
function readV2(buf: Buffer, start: number, end: number): Verdict {
  if (!beginsLike(buf, start, end, SIGNATURE)) return invalid('no PROXY header')
  if (end - start < V2_FIXED_BYTES) return MORE
  const command = buf[start + 12] as number
  if (command !== 0x20 && command !== 0x21) return invalid('unknown version or command')
  const length = V2_FIXED_BYTES + buf.readUInt16BE(start + 14)
  if (length > PROXY_HEADER_BYTES_MAX) return invalid('version 2 header too long')
  if (end - start < length) return MORE
  if (command === 0x20) return { kind: 'found', header: LOCAL, length }
  return readV2Addresses(buf, start, start + length)
}

interface Family {
  readonly addressBytes: number
  /** Of the whole address block. */
  readonly blockBytes: number
}

/** By the byte of family and protocol. UNIX clients have no address that would mean anything here. */
const FAMILIES: Readonly<Record<number, Family>> = {
  0x00: { addressBytes: 0, blockBytes: 0 },
  0x11: { addressBytes: 4, blockBytes: 12 },
  0x21: { addressBytes: 16, blockBytes: 36 },
  0x31: { addressBytes: 0, blockBytes: 216 },
}

function readV2Addresses(buf: Buffer, start: number, end: number): Verdict {
  const family = FAMILIES[buf[start + 13] as number]
  if (!family) return invalid('address family or protocol is not a stream we know')
  const at = start + V2_FIXED_BYTES
  const tlvs = at + family.blockBytes
  if (tlvs > end) return invalid('version 2 header too short for its addresses')
  const problem = checkTlvs(buf, start, tlvs, end)
  if (problem !== undefined) return invalid(problem)
  if (family.addressBytes === 0) return { kind: 'found', header: UNKNOWN, length: end - start }
  const width = family.addressBytes
  const ports = at + 2 * width
  const source = unmapped(buf.subarray(at, at + width))
  const destination = unmapped(buf.subarray(at + width, ports))
  return { kind: 'found', header: tcp(source, buf.readUInt16BE(ports), destination, buf.readUInt16BE(ports + 2)), length: end - start }
}

const TLV_CRC32C = 0x03

/** §2.2: type, length, value; none may run over. A checksum must be right, being taken with its own field zero. */
function checkTlvs(buf: Buffer, start: number, tlvs: number, end: number): string | undefined {
  for (let at = tlvs; at < end;) {
    if (at + 3 > end) return 'TLV cut short'
    const value = at + 3
    const next = value + buf.readUInt16BE(at + 1)
    if (next > end) return 'TLV runs over the header'
    if (buf[at] === TLV_CRC32C) {
      if (next - value !== 4) return 'checksum of a wrong length'
      if (buf.readUInt32BE(value) !== crc32c(buf, start, end, value)) return 'checksum is wrong'
    }
    at = next
  }
  return undefined
}

const CRC32C_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC32c (RFC 3720 appendix B.4) of [start, end), the four bytes at `hole` counting as zero. */
function crc32c(buf: Buffer, start: number, end: number, hole: number): number {
  let crc = 0xffffffff
  for (let i = start; i < end; i++) {
    const byte = i >= hole && i < hole + 4 ? 0 : (buf[i] as number)
    crc = (CRC32C_TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** Version 1 header, which does not tell `local` from `unknown`. The addresses must be of one family. */
export function encodeProxyV1(header: ProxyHeader): Buffer {
  if (header.kind !== 'tcp') return Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
  const { source, sourcePort, destination, destinationPort } = header
  const protocol = source.includes(':') ? 'TCP6' : 'TCP4'
  return Buffer.from(`PROXY ${protocol} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`, 'latin1')
}

/** Version 2 header with a checksum. The addresses must be of one family. */
export function encodeProxyV2(header: ProxyHeader): Buffer {
  const source = header.kind === 'tcp' ? parseAddress(header.source) : new Uint8Array(0)
  const destination = header.kind === 'tcp' ? parseAddress(header.destination) : new Uint8Array(0)
  assert(source && destination && source.length === destination.length, 'both addresses are of one family')
  const width = source.length
  const block = header.kind === 'tcp' ? 2 * width + 4 : 0
  const bytes = Buffer.alloc(V2_FIXED_BYTES + block + 7)
  SIGNATURE.copy(bytes)
  bytes[12] = header.kind === 'local' ? 0x20 : 0x21
  bytes[13] = header.kind !== 'tcp' ? 0x00 : width === 4 ? 0x11 : 0x21
  bytes.writeUInt16BE(block + 7, 14)
  bytes.set(source, V2_FIXED_BYTES)
  bytes.set(destination, V2_FIXED_BYTES + width)
  if (header.kind === 'tcp') {
    bytes.writeUInt16BE(header.sourcePort, V2_FIXED_BYTES + 2 * width)
    bytes.writeUInt16BE(header.destinationPort, V2_FIXED_BYTES + 2 * width + 2)
  }
  const tlv = V2_FIXED_BYTES + block
  bytes[tlv] = TLV_CRC32C
  bytes.writeUInt16BE(4, tlv + 1)
  bytes.writeUInt32BE(crc32c(bytes, 0, bytes.length, tlv + 3), tlv + 3)
  return bytes
}
