// Parameters of MAIL and RCPT (RFC 5321 §4.1.2: esmtp-param) and attributes of XCLIENT. Pure.
//
// One row a keyword: which extension must be announced for it, and how its value becomes a field. Rows say what the
// RFCs say; what the server thinks of a value (too large, too late) is the session's business.

import { hasEightBit, isWord, latin1, utf8 } from '../../lib/bytes.ts'
import type { Slice } from '../../lib/bytes.ts'
import { err, ok } from '../../lib/result.ts'
import type { Result } from '../../lib/result.ts'
import { NULL_MAILBOX, parseMailbox } from './path.ts'
import type { Mailbox } from './path.ts'
import { decodeUtf8Address, decodeXtext } from './xtext.ts'

/** Extensions that allow parameters, as bits. A parameter whose bit is not given is unknown. */
export const Extension = {
  /** RFC 1870. */
  size: 1,
  /** RFC 6152. */
  eightBitMime: 2,
  /** RFC 3030 §3. */
  binaryMime: 4,
  /** RFC 6531. */
  smtpUtf8: 8,
  /** RFC 3461. */
  dsn: 16,
  /** RFC 4954 §5. */
  auth: 32,
  /** RFC 2852. */
  deliverBy: 64,
  /** RFC 4865. */
  futureRelease: 128,
  /** RFC 6710. */
  mtPriority: 256,
} as const

export const Body = { sevenBit: 0, eightBitMime: 1, binaryMime: 2 } as const
export type Body = (typeof Body)[keyof typeof Body]

/** RET of RFC 3461 §4.3; `none` is "not given". */
export const Ret = { none: 0, full: 1, hdrs: 2 } as const
export type Ret = (typeof Ret)[keyof typeof Ret]

/** BY of RFC 2852 §4. */
export interface DeliverBy {
  /** Negative only without `return`. */
  readonly seconds: number
  /** Mode R: return to the sender when the time is over; else N, notify. */
  readonly return: boolean
  readonly trace: boolean
}

export interface MailParams {
  /** Declared size in octets, -1 when not given. */
  readonly size: number
  readonly body: Body
  readonly smtpUtf8: boolean
  readonly ret: Ret
  /** Decoded; '' when not given. */
  readonly envid: string
  /** AUTH of RFC 4954 §5: a mailbox, the null one for `<>`, undefined when not given. */
  readonly auth: Mailbox | undefined
  readonly by: DeliverBy | undefined
  /** HOLDFOR in seconds, -1 when not given (RFC 4865 §3). */
  readonly holdFor: number
  /** HOLDUNTIL in ms since 1970, -1 when not given. */
  readonly holdUntil: number
  /** -9 to 9; undefined when not given. */
  readonly priority: number | undefined
}

export interface RcptParams {
  /** Bits of spool's Notify: success 1, failure 2, delay 4, never 8; 0 when not given. */
  readonly notify: number
  /** `type;address`, decoded; '' when not given. */
  readonly orcpt: string
}

/** `unknown` is 555 (RFC 5321 §4.1.1.11), the rest 501. `text` names the parameter and what is wrong with it. */
export interface ParamError {
  readonly kind: 'unknown' | 'syntax'
  readonly text: string
}

type Draft<T> = { -readonly [K in keyof T]: T[K] }

/** Sets its field and returns true, or false when the value is not one. `value` is undefined without `=`. */
type Setter<T> = (draft: Draft<T>, value: Slice | undefined, extensions: number) => boolean

interface ParamRow<T> {
  readonly keyword: string
  readonly extension: number
  /** Parameters of one group exclude each other, so that each keyword comes once. */
  readonly group: number
  readonly set: Setter<T>
}

export const NO_MAIL_PARAMS: MailParams = Object.freeze({
  size: -1,
  body: Body.sevenBit,
  smtpUtf8: false,
  ret: Ret.none,
  envid: '',
  auth: undefined,
  by: undefined,
  holdFor: -1,
  holdUntil: -1,
  priority: undefined,
})

export const NO_RCPT_PARAMS: RcptParams = Object.freeze({ notify: 0, orcpt: '' })

const MAIL_ROWS: readonly ParamRow<MailParams>[] = [
  { keyword: 'SIZE', extension: Extension.size, group: 1, set: setSize },
  { keyword: 'BODY', extension: Extension.eightBitMime, group: 2, set: setBody },
  { keyword: 'SMTPUTF8', extension: Extension.smtpUtf8, group: 4, set: setSmtpUtf8 },
  { keyword: 'RET', extension: Extension.dsn, group: 8, set: setRet },
  { keyword: 'ENVID', extension: Extension.dsn, group: 16, set: setEnvid },
  { keyword: 'AUTH', extension: Extension.auth, group: 32, set: setAuth },
  { keyword: 'BY', extension: Extension.deliverBy, group: 64, set: setBy },
  { keyword: 'HOLDFOR', extension: Extension.futureRelease, group: 128, set: setHoldFor },
  { keyword: 'HOLDUNTIL', extension: Extension.futureRelease, group: 128, set: setHoldUntil },
  { keyword: 'MT-PRIORITY', extension: Extension.mtPriority, group: 256, set: setPriority },
]

const RCPT_ROWS: readonly ParamRow<RcptParams>[] = [
  { keyword: 'NOTIFY', extension: Extension.dsn, group: 1, set: setNotify },
  { keyword: 'ORCPT', extension: Extension.dsn, group: 2, set: setOrcpt },
]

/** Parameters of MAIL in the range behind the path. `extensions` are the bits that were announced. */
export function parseMailParams(buf: Buffer, start: number, end: number, extensions: number): Result<MailParams, ParamError> {
  return start >= end ? NO_MAIL : parseParams(buf, start, end, MAIL_ROWS, NO_MAIL_PARAMS, extensions)
}

/** Parameters of RCPT in the range behind the path. */
export function parseRcptParams(buf: Buffer, start: number, end: number, extensions: number): Result<RcptParams, ParamError> {
  return start >= end ? NO_RCPT : parseParams(buf, start, end, RCPT_ROWS, NO_RCPT_PARAMS, extensions)
}

const NO_MAIL: Result<MailParams, ParamError> = ok(NO_MAIL_PARAMS)
const NO_RCPT: Result<RcptParams, ParamError> = ok(NO_RCPT_PARAMS)

const SP = 0x20
const EQUALS = 0x3d
const SEMICOLON = 0x3b

function keywordsOf<T>(group: number, rows: readonly ParamRow<T>[]): string {
  const keywords = rows.filter((row) => row.group === group).map(({ keyword }) => keyword)
  return keywords.join(' or ')
}

function parseParams<T extends object>(
  buf: Buffer,
  start: number,
  end: number,
  rows: readonly ParamRow<T>[],
  none: T,
  extensions: number,
): Result<T, ParamError> {
  if (buf[start] !== SP) return err({ kind: 'syntax', text: 'expected a space behind the address' })
  const draft: Draft<T> = { ...none }
  let seen = 0
  let at = skipSpaces(buf, start, end)
  while (at < end) {
    const stop = wordEnd(buf, at, end)
    const equals = indexOf(buf, EQUALS, at, stop)
    const row = rows.find((candidate) => isWord(buf, at, equals, candidate.keyword) && (extensions & candidate.extension) !== 0)
    if (!row) return unknownParam(buf, at, equals)
    if ((seen & row.group) !== 0) return err({ kind: 'syntax', text: `${keywordsOf(row.group, rows)} given twice` })
    seen |= row.group
    const value = equals < stop ? { buf, start: equals + 1, end: stop } : undefined
    if (!row.set(draft, value, extensions)) return err({ kind: 'syntax', text: `bad value of ${row.keyword}` })
    at = skipSpaces(buf, stop, end)
  }
  return ok(draft)
}

/** esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
function unknownParam(buf: Buffer, at: number, end: number): Result<never, ParamError> {
  const keyword = latin1(buf, at, Math.min(end, at + 40))
  if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(keyword)) return err({ kind: 'syntax', text: 'malformed parameter' })
  return err({ kind: 'unknown', text: `parameter not recognized: ${keyword.toUpperCase()}` })
}

function skipSpaces(buf: Buffer, at: number, end: number): number {
  let i = at
  while (i < end && buf[i] === SP) i++
  return i
}

function wordEnd(buf: Buffer, at: number, end: number): number {
  return indexOf(buf, SP, at, end)
}

/** Position of `octet` in the range, or its end. */
function indexOf(buf: Buffer, octet: number, start: number, end: number): number {
  let i = start
  while (i < end && buf[i] !== octet) i++
  return i
}

function text(value: Slice): string {
  return latin1(value.buf, value.start, value.end)
}

/** RFC 1870 §3: up to twenty digits; what exceeds 2^53 is as good as infinite. */
function setSize(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value || !/^[0-9]{1,20}$/.test(text(value))) return false
  draft.size = Number(text(value))
  return true
}

/** BINARYMIME is a value only where its own extension is announced (RFC 3030 §3). */
function setBody(draft: Draft<MailParams>, value: Slice | undefined, extensions: number): boolean {
  if (!value) return false
  const { buf, start, end } = value
  if (isWord(buf, start, end, '7BIT')) draft.body = Body.sevenBit
  else if (isWord(buf, start, end, '8BITMIME')) draft.body = Body.eightBitMime
  else if (isWord(buf, start, end, 'BINARYMIME') && extensions & Extension.binaryMime) draft.body = Body.binaryMime
  else return false
  return true
}

/** RFC 6531 §3.1 item 4: takes no value. */
function setSmtpUtf8(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  draft.smtpUtf8 = true
  return value === undefined
}

function setRet(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value) return false
  const { buf, start, end } = value
  if (isWord(buf, start, end, 'FULL')) draft.ret = Ret.full
  else if (isWord(buf, start, end, 'HDRS')) draft.ret = Ret.hdrs
  else return false
  return true
}

/** RFC 3461 §4.4. */
const ENVID_OCTETS_MAX = 100

function setEnvid(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value || value.end === value.start || value.end - value.start > ENVID_OCTETS_MAX) return false
  const decoded = decodeXtext(text(value))
  if (decoded === undefined || !/^[ -~]*$/.test(decoded)) return false
  draft.envid = decoded
  return true
}

/** RFC 4954 §8: an xtext, which is ASCII; what it encodes is `<>` or a mailbox. */
function setAuth(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  const decoded = value && decodeXtext(text(value))
  if (decoded === undefined) return false
  if (decoded === '<>') {
    draft.auth = NULL_MAILBOX
    return true
  }
  const buf = Buffer.from(decoded, 'utf8')
  const mailbox = parseMailbox({ buf, start: 0, end: buf.length })
  if (mailbox.ok) draft.auth = mailbox.value
  return mailbox.ok
}

/** RFC 2852 §4: `by-time ";" by-mode [by-trace]`; mode R wants a positive time. */
function setBy(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  const match = value && /^([-+]?[0-9]{1,9});([NR])(T?)$/i.exec(text(value))
  if (!match) return false
  const by = { seconds: Number(match[1]), return: match[2]?.toUpperCase() === 'R', trace: match[3] !== '' }
  draft.by = by
  return !by.return || by.seconds > 0
}

/** RFC 4865 §3: a positive integer of seconds, at most nine digits. */
function setHoldFor(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value || !/^[1-9][0-9]{0,8}$/.test(text(value))) return false
  draft.holdFor = Number(text(value))
  return true
}

/** RFC 4865 §3: Internet-style-date-time-UTC, RFC 3339 with `Z`. */
function setHoldUntil(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value) return false
  const date = text(value).toUpperCase()
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(date)) return false
  const time = Date.parse(date)
  // Date.parse takes February 30 for March 2.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(date.slice(0, 19))) return false
  // What is before 1970 is past as well.
  draft.holdUntil = Math.max(1, time)
  return true
}

/** RFC 6710 §7: `priority-value = (["-"] NZDIGIT) / "0"`. */
function setPriority(draft: Draft<MailParams>, value: Slice | undefined): boolean {
  if (!value || !/^(?:-?[1-9]|0)$/.test(text(value))) return false
  draft.priority = Number(text(value))
  return true
}

const NOTIFY_WORDS: readonly (readonly [string, number])[] = [
  ['SUCCESS', 1],
  ['FAILURE', 2],
  ['DELAY', 4],
  ['NEVER', 8],
]
const NOTIFY_NEVER = 8

/** RFC 3461 §4.1: NEVER stands alone. */
function setNotify(draft: Draft<RcptParams>, value: Slice | undefined): boolean {
  if (!value) return false
  let bits = 0
  for (const word of text(value).toUpperCase().split(',')) {
    const bit = NOTIFY_WORDS.find(([name]) => name === word)?.[1]
    if (bit === undefined) return false
    bits |= bit
  }
  draft.notify = bits
  return (bits & NOTIFY_NEVER) === 0 || bits === NOTIFY_NEVER
}

/** RFC 3461 §4.2. */
const ORCPT_OCTETS_MAX = 500

/** RFC 6533 §3: an address in plain UTF-8 only where SMTPUTF8 is in force; `extensions` says so for this transaction. */
function setOrcpt(draft: Draft<RcptParams>, value: Slice | undefined, extensions: number): boolean {
  if (!value || value.end - value.start > ORCPT_OCTETS_MAX) return false
  const semicolon = indexOf(value.buf, SEMICOLON, value.start, value.end)
  const type = latin1(value.buf, value.start, semicolon)
  if (semicolon + 1 >= value.end || !/^[A-Za-z0-9!#$%&'*/?^_`{|}~-]+$/.test(type)) return false
  const encoded = utf8(value.buf, semicolon + 1, value.end)
  const address = type.toLowerCase() === 'utf-8' ? decodeUtf8Address(encoded) : printableXtext(encoded)
  if (address === undefined || address.includes('\ufffd')) return false
  if ((extensions & Extension.smtpUtf8) === 0 && hasEightBit(value.buf, value.start, value.end)) return false
  draft.orcpt = `${type};${address}`
  return true
}

/** RFC 3461 §4.2: before encoding only printable US-ASCII. */
function printableXtext(encoded: string): string | undefined {
  const decoded = decodeXtext(encoded)
  return decoded !== undefined && /^[ -~]*$/.test(decoded) ? decoded : undefined
}
