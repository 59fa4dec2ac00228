// DNS messages: a question to bytes, and the bytes that came back to a verdict. Pure; no thread.
//
// dns-packet encodes questions and decodes the data of records. It trusts lengths and counts, so nothing reaches it that
// was not walked first: every section, name, pointer and RDLENGTH lies inside the message, counts are bounded, and only
// the types we asked for are decoded. Whatever it still throws becomes `malformed`.

import packet from 'dns-packet'
import { canonicalAddress } from '../../lib/address.ts'
import { latin1 } from '../../lib/bytes.ts'
import type { FailureReason, MxRecord, RecordData, RecordType, SoaRecord, TlsaRecord } from './types.ts'

/** Largest UDP answer we ask for: fits an unfragmented IPv6 packet (DNS flag day 2020). */
export const EDNS_PAYLOAD_BYTES = 1232
/** Largest message over TCP (RFC 1035 §4.2.2). */
export const MESSAGE_BYTES_MAX = 65_535
/** Records of one message; above it somebody is playing. */
const RECORDS_MAX = 1024
/** CNAMEs followed inside one answer. */
const CHAIN_MAX = 16
/** Labels and pointers of one name: 255 octets hold at most 127 labels. */
const NAME_STEPS_MAX = 256
const NAME_OCTETS_MAX = 255

const HEADER_BYTES = 12
const TYPE_CODES: Readonly<Record<RecordType, number>> = { A: 1, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, TLSA: 52 }
const OPT = 41
const CLASS_IN = 1
const RCODE_NXDOMAIN = 3
const FLAG_RD = 0x100
const FLAG_AD = 0x20

const RCODES: Readonly<Record<number, string>> = { 1: 'FORMERR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED', 16: 'BADVERS' }

/** A query as sent. `name` must be valid (lib/hostname.ts). RD and AD are set (RFC 6840 §5.7); DO is not. */
export function encodeQuery(id: number, name: string, type: RecordType, edns: boolean): Buffer {
  const additionals = edns ? [{ type: 'OPT', name: '.', udpPayloadSize: EDNS_PAYLOAD_BYTES, flags: 0, options: [] }] : []
  return packet.encode({ type: 'query', id, flags: FLAG_RD | FLAG_AD, questions: [{ type, name, class: 'IN' }], additionals })
}

/** Records of a positive answer with the time to live in seconds of the shortest-lived record on the way to them. */
export interface AnswerSection<T extends RecordType> {
  readonly kind: 'answer'
  readonly records: readonly RecordData[T][]
  readonly ttl: number
  readonly secure: boolean
}

export type Verdict<T extends RecordType> =
  | AnswerSection<T>
  /** `ttl` in seconds as RFC 2308 §5 wants it; undefined without a SOA: not to be cached. */
  | { readonly kind: 'nodata' | 'nxdomain'; readonly ttl: number | undefined; readonly secure: boolean }
  /** Not the answer to this query: somebody else's, or forged. Keep waiting. */
  | { readonly kind: 'foreign' }
  /** Ask again over TCP. */
  | { readonly kind: 'truncated' }
  /** The server may not know EDNS: ask again without (RFC 6891 §6.2.2). */
  | { readonly kind: 'noEdns' }
  | { readonly kind: 'failure'; readonly reason: FailureReason; readonly text: string }

interface Row {
  /** Owner in lower case. */
  readonly owner: string
  readonly type: number
  readonly ttl: number
  /** Of RDLENGTH. */
  readonly at: number
  readonly end: number
}

/** Reads `message` as the answer to `query`, which asked for `type`. Never throws. */
export function readAnswer<T extends RecordType>(message: Buffer, query: Buffer, type: T): Verdict<T> {
  if (!isReplyTo(message, query)) return { kind: 'foreign' }
  const flags = message.readUInt16BE(2)
  if ((flags & 0x7800) !== 0) return malformed('not a reply to a standard query')
  if ((flags & 0x200) !== 0) return { kind: 'truncated' }
  try {
    return verdictOf(message, query, type, flags)
  } catch (error) {
    return malformed(error instanceof Error ? error.message : 'unreadable')
  }
}

/** Same id, QR and question; its name may come back in other case (RFC 4343 §4.1), ours is lower. Errors of servers that could not read it come without. */
function isReplyTo(message: Buffer, query: Buffer): boolean {
  if (message.length < HEADER_BYTES || message[0] !== query[0] || message[1] !== query[1] || ((message[2] as number) & 0x80) === 0)
    return false
  const questions = message.readUInt16BE(4)
  const rcode = (message[3] as number) & 0xf
  if (questions === 0) return rcode !== 0 && rcode !== RCODE_NXDOMAIN
  const end = questionEnd(query)
  return questions === 1 && message.length >= end && isSameQuestion(message, query, end)
}

/** Lengths of labels, types and classes that we ask with lie below the letters. */
function isSameQuestion(message: Buffer, query: Buffer, end: number): boolean {
  for (let i = HEADER_BYTES; i < end; i++) if (lowerCase(message[i] as number) !== query[i]) return false
  return true
}

function lowerCase(c: number): number {
  return c >= 0x41 && c <= 0x5a ? c + 0x20 : c
}

/** Our own queries hold one question without pointers. */
function questionEnd(query: Buffer): number {
  let at = HEADER_BYTES
  while (query[at] !== 0) at += (query[at] as number) + 1
  return at + 5
}

function malformed(text: string): { kind: 'failure'; reason: 'malformed'; text: string } {
  return { kind: 'failure', reason: 'malformed', text }
}

function verdictOf<T extends RecordType>(message: Buffer, query: Buffer, type: T, flags: number): Verdict<T> {
  const asked = query.readUInt16BE(10) > 0
  if (message.readUInt16BE(4) === 0) return failed(flags & 0xf, asked)
  const walk = new Walk(message, questionEnd(query))
  const answers = walk.section(message.readUInt16BE(6))
  const authorities = walk.section(message.readUInt16BE(8))
  const additionals = walk.section(message.readUInt16BE(10))
  const opt = additionals.find((row) => row.type === OPT)
  const rcode = (flags & 0xf) | (opt ? ((opt.ttl >>> 24) & 0xff) << 4 : 0)
  if (rcode !== 0 && rcode !== RCODE_NXDOMAIN) return failed(rcode, asked)
  const secure = (flags & FLAG_AD) !== 0
  const chain = followChain(message, answers, nameAt(message, HEADER_BYTES), type)
  if (rcode === 0 && chain.rows.length > 0) return answerOf(message, chain, type, secure)
  const soa = authorities.find((row) => row.type === TYPE_CODES.SOA)
  // A referral from a server that does not recurse is no answer (RFC 2308 §2.2, "lame").
  if (rcode === 0 && !soa && answers.length === 0 && (flags & 0x480) === 0)
    return { kind: 'failure', reason: 'refused', text: 'no recursion' }
  const ttl = soa && Math.min(soa.ttl, minimumOf(message, soa), chain.ttl)
  return { kind: rcode === 0 ? 'nodata' : 'nxdomain', ttl, secure }
}

function failed(rcode: number, edns: boolean): Verdict<never> {
  if (edns && (rcode === 1 || rcode === 4 || rcode === 16)) return { kind: 'noEdns' }
  return { kind: 'failure', reason: rcode === 5 ? 'refused' : 'servfail', text: RCODES[rcode] ?? `RCODE ${rcode}` }
}

interface Chain {
  readonly rows: readonly Row[]
  /** Seconds; Infinity when there was not even an alias. */
  readonly ttl: number
}

/** The records of `type` at the end of the CNAME chain that starts at `owner` (RFC 1034 §3.6.2). */
function followChain(message: Buffer, answers: readonly Row[], owner: string, type: RecordType): Chain {
  let ttl = Infinity
  for (let step = 0; step <= CHAIN_MAX; step++) {
    const here = answers.filter((row) => row.owner === owner)
    const rows = here.filter((row) => row.type === TYPE_CODES[type])
    if (rows.length > 0) return { rows, ttl: Math.min(ttl, ...rows.map((row) => row.ttl)) }
    const alias = here.find((row) => row.type === TYPE_CODES.CNAME)
    if (!alias) return { rows: [], ttl }
    ttl = Math.min(ttl, alias.ttl)
    const target = decodeData(message, alias, 'CNAME')
    if (target === undefined) throw new Error('CNAME to an unspeakable name')
    owner = target
  }
  throw new Error('CNAME chain too long')
}

/** Records whose names cannot be told as text are left out, as long as others remain. */
function answerOf<T extends RecordType>(message: Buffer, chain: Chain, type: T, secure: boolean): Verdict<T> {
  const records: RecordData[T][] = []
  for (const row of chain.rows) {
    const data = decodeData(message, row, type)
    if (data !== undefined) records.push(data)
  }
  return records.length > 0 ? { kind: 'answer', records, ttl: chain.ttl, secure } : malformed('only unspeakable names')
}

/** RFC 2308 §4: the field of the SOA record that says how long its absences hold. Its names do not matter. */
function minimumOf(message: Buffer, soa: Row): number {
  if (soa.end - soa.at < 24) throw new Error('SOA record of a wrong length')
  return message.readUInt32BE(soa.end - 4)
}

/** Steps over a message, checking that everything it passes lies inside. Throws on the first thing that does not. */
class Walk {
  readonly #message: Buffer
  #at: number
  #rows = 0

  constructor(message: Buffer, at: number) {
    this.#message = message
    this.#at = at
  }

  section(count: number): Row[] {
    const rows: Row[] = []
    for (let i = 0; i < count; i++) {
      if (++this.#rows > RECORDS_MAX) throw new Error('too many records')
      const row = this.#row()
      if (row) rows.push(row)
    }
    return rows
  }

  /** undefined for records of other classes, of types that nobody asks for, and of names that nobody can ask for. */
  #row(): Row | undefined {
    const start = this.#at
    const owner = walkName(this.#message, start)
    const head = owner.end
    if (head + 10 > this.#message.length) throw new Error('record cut short')
    const type = this.#message.readUInt16BE(head)
    const ttl = this.#message.readUInt32BE(head + 4)
    const end = head + 10 + this.#message.readUInt16BE(head + 8)
    if (end > this.#message.length) throw new Error('record data cut short')
    this.#at = end
    const at = head + 8
    if (type === OPT) return { owner: '', type, ttl, at, end }
    if (!owner.plain || !WANTED.has(type) || this.#message.readUInt16BE(head + 2) !== CLASS_IN) return undefined
    // RFC 2181 §8: a time with its first bit set counts as zero.
    return { owner: nameAt(this.#message, start), type, ttl: ttl > 0x7fffffff ? 0 : ttl, at, end }
  }
}

const WANTED: ReadonlySet<number> = new Set(Object.values(TYPE_CODES))

interface NameSpan {
  /** Offset behind the name. */
  readonly end: number
  /** All labels are printable ASCII without dots; as text, other names could not be told from one another. */
  readonly plain: boolean
}

/** Checks the name at `offset`, its pointers followed; they must go backwards (RFC 1035 §4.1.4). */
function walkName(message: Buffer, offset: number): NameSpan {
  let end = -1
  let at = offset
  let limit = offset
  let octets = 1
  let plain = true
  for (let step = 0; step < NAME_STEPS_MAX; step++) {
    const length = message[at]
    if (length === undefined) throw new Error('name cut short')
    if (length === 0) return { end: end < 0 ? at + 1 : end, plain }
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0xff)
      if (target >= limit || target < HEADER_BYTES) throw new Error('name pointer does not go backwards')
      if (end < 0) end = at + 2
      at = target
      limit = target
      continue
    }
    octets += length + 1
    if (length > 63 || octets > NAME_OCTETS_MAX || at + 1 + length > message.length) throw new Error('bad label')
    plain &&= isPlainLabel(message, at + 1, at + 1 + length)
    at += length + 1
  }
  throw new Error('name too long')
}

function isPlainLabel(message: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = message[i] as number
    if (c <= 0x20 || c >= 0x7f || c === 0x2e) return false
  }
  return true
}

/** Text of a name that was walked, in lower case. */
function nameAt(message: Buffer, offset: number): string {
  return nameText(packet.name.decode(message, offset))
}

/** '' for the root. */
function nameText(decoded: unknown): string {
  return decoded === '.' ? '' : (decoded as string).toLowerCase()
}

/** Where a name begins in the data of a type, counted from RDLENGTH. */
const NAME_IN_DATA: Readonly<Partial<Record<RecordType, number>>> = { CNAME: 2, PTR: 2, SOA: 2, MX: 4 }

/** undefined when the data holds a name that is not plain; throws when its length is wrong. */
function decodeData<T extends RecordType>(message: Buffer, row: Row, type: T): RecordData[T] | undefined {
  const nameOffset = NAME_IN_DATA[type]
  if (nameOffset !== undefined && !isPlainData(message, row, row.at + nameOffset, type)) return undefined
  // A view that ends with the record: what lies about its length cannot read on.
  const data = packet.record(type).decode(message.subarray(0, row.end), row.at)
  return DECODERS[type](data, row.end - row.at - 2)
}

function isPlainData(message: Buffer, row: Row, at: number, type: RecordType): boolean {
  const first = walkName(message, at)
  const second = type === 'SOA' ? walkName(message, first.end) : first
  if (second.end + (type === 'SOA' ? 20 : 0) !== row.end) throw new Error(`${type} record of a wrong length`)
  return first.plain && second.plain
}

type Decoders = { readonly [T in RecordType]: (data: unknown, length: number) => RecordData[T] }

/** From what dns-packet returns to what we promise. */
const DECODERS: Decoders = {
  A: (data, length) => addressOf(data, length, 4),
  AAAA: (data, length) => addressOf(data, length, 16),
  CNAME: nameText,
  PTR: nameText,
  MX: (data) => mxOf(data as { preference: number; exchange: string }),
  TXT: (data) => (data as Buffer[]).map((string) => latin1(string, 0, string.length)).join(''),
  TLSA: (data, length) => tlsaOf(data as { usage: number; selector: number; matchingType: number; certificate: Buffer }, length),
  SOA: (data) => soaOf(data as SoaRecord),
}

function addressOf(data: unknown, length: number, width: number): string {
  const address = canonicalAddress(data as string)
  if (length !== width || address === undefined) throw new Error('address record of a wrong length')
  return address
}

function mxOf(data: { preference: number; exchange: string }): MxRecord {
  return { preference: data.preference, exchange: nameText(data.exchange) }
}

function tlsaOf(data: { usage: number; selector: number; matchingType: number; certificate: Buffer }, length: number): TlsaRecord {
  if (length < 4) throw new Error('TLSA record of a wrong length')
  const { usage, selector, matchingType, certificate } = data
  return { usage, selector, matchingType, data: Buffer.from(certificate) }
}

function soaOf(data: SoaRecord): SoaRecord {
  return { ...data, mname: nameText(data.mname), rname: nameText(data.rname) }
}
