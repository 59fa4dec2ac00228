// Reverse and forward paths (RFC 5321 §4.1.2, RFC 6531 §3.3): `<local@domain>`, `<>`, `<postmaster>`. Pure.
//
// Strict: what the grammar does not give is an error with a sentence. The result is canonical, so that two spellings of
// one mailbox compare equal: source routes are gone, the local part has minimal quoting, the domain is in lower-case
// A-labels, a literal holds the address's canonical text.

import { defaultLimits } from '../../config/limits.ts'
import { formatAddress, parseAddress } from '../../lib/address.ts'
import { latin1, utf8 } from '../../lib/bytes.ts'
import type { Slice } from '../../lib/bytes.ts'
import { asciiName } from '../../lib/hostname.ts'
import { err, ok } from '../../lib/result.ts'
import type { Result } from '../../lib/result.ts'

export interface Mailbox {
  /** `local@domain` as the next hop shall see it; `postmaster` for the bare one, '' for the null path. */
  readonly address: string
  /** Local part with quotes and backslashes removed. */
  readonly local: string
  /** Lower-case A-labels, `[192.0.2.1]` or `[ipv6:2001:db8::1]`; '' for the null path and bare postmaster. */
  readonly domain: string
  /** Whether it was written with octets above 127, which only SMTPUTF8 allows. */
  readonly nonAscii: boolean
}

export interface ParsedPath extends Mailbox {
  /** Position behind the closing bracket. */
  readonly end: number
}

// RFC 5321 §4.5.3.1 also names 64 octets for the local part, as the least that must be taken: VERP and SRS need more.
const { pathBytesMax, domainBytesMax } = defaultLimits

const QUOTE = 0x22
const COMMA = 0x2c
const HYPHEN = 0x2d
const DOT = 0x2e
const COLON = 0x3a
const LESS = 0x3c
const GREATER = 0x3e
const AT = 0x40
const OPEN = 0x5b
const BACKSLASH = 0x5c
const CLOSE = 0x5d

const Char = { other: 0, atext: 1, letDig: 2, upper: 3, high: 4 } as const

/** Classes of octets: letters and digits are atext as well, upper-case ones are let-dig as well. */
const CLASS: Uint8Array = classes()

function classes(): Uint8Array {
  const table = new Uint8Array(256)
  for (const c of "!#$%&'*+-/=?^_`{|}~") table[c.charCodeAt(0)] = Char.atext
  for (const c of 'abcdefghijklmnopqrstuvwxyz0123456789') table[c.charCodeAt(0)] = Char.letDig
  for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') table[c.charCodeAt(0)] = Char.upper
  table.fill(Char.high, 0x80)
  return table
}

/** The null reverse-path. */
export const NULL_MAILBOX: Mailbox = Object.freeze({ address: '', local: '', domain: '', nonAscii: false })

/** Reverse-path at `at`, up to `end` of the command's argument. */
export function parseReversePath(buf: Buffer, at: number, end: number): Result<ParsedPath, string> {
  if (buf[at] === LESS && at + 1 < end && buf[at + 1] === GREATER) return ok({ ...NULL_MAILBOX, end: at + 2 })
  return parsePath(buf, at, end, false)
}

/** Forward-path at `at`. `<postmaster>` without a domain is one (RFC 5321 §4.1.1.3). */
export function parseForwardPath(buf: Buffer, at: number, end: number): Result<ParsedPath, string> {
  return parsePath(buf, at, end, true)
}

/** A mailbox that fills the range, without brackets. */
export function parseMailbox(slice: Slice): Result<Mailbox, string> {
  const scan = new PathScan(slice.buf, slice.start, slice.end)
  const mailbox = scan.mailbox()
  if (mailbox && scan.at < slice.end) return err('something follows the address')
  return mailbox ? ok(mailbox) : err(scan.error)
}

function parsePath(buf: Buffer, at: number, end: number, forward: boolean): Result<ParsedPath, string> {
  if (at >= end || buf[at] !== LESS) return err('expected <address>')
  const scan = new PathScan(buf, at + 1, end)
  const mailbox = scan.path(forward)
  if (!mailbox) return err(scan.error)
  if (scan.at >= end || buf[scan.at] !== GREATER) return err('expected > behind the address')
  const behind = scan.at + 1
  if (behind - at > pathBytesMax) return err('address too long')
  return ok({ ...mailbox, end: behind })
}

/** One pass over a path. Methods are named after the ABNF; they return undefined or false with `error` set. */
class PathScan {
  at: number
  error = ''
  readonly #buf: Buffer
  readonly #end: number
  #nonAscii = false
  #upper = false

  constructor(buf: Buffer, at: number, end: number) {
    this.#buf = buf
    this.at = at
    this.#end = end
  }

  path(forward: boolean): Mailbox | undefined {
    if (this.#peek() === AT && !this.#sourceRoute()) return undefined
    return this.mailbox(forward)
  }

  mailbox(barePostmaster = false): Mailbox | undefined {
    const from = this.at
    const quoted = this.#peek() === QUOTE
    const local = quoted ? this.#quotedString() : this.#dotString()
    if (local === undefined) return undefined
    if (this.#peek() !== AT) return this.#withoutDomain(local, quoted, barePostmaster)
    const localEnd = this.at
    this.at++
    const domain = this.#peek() === OPEN ? this.#addressLiteral() : this.#domain()
    if (domain === undefined) return undefined
    const text = quoted ? minimalQuoting(local) : local
    // The usual case: the address is what was sent, byte by byte.
    const verbatim = !quoted && !this.#nonAscii && domain.length === this.at - localEnd - 1
    const address = verbatim && !this.#upper ? latin1(this.#buf, from, this.at) : `${text}@${domain}`
    return { address, local, domain, nonAscii: this.#nonAscii }
  }

  #peek(): number {
    return this.at < this.#end ? (this.#buf[this.at] as number) : -1
  }

  #fail(why: string): undefined {
    this.error = why
    return undefined
  }

  #withoutDomain(local: string, quoted: boolean, barePostmaster: boolean): Mailbox | undefined {
    if (!barePostmaster || quoted || local.toLowerCase() !== 'postmaster') return this.#fail('the address has no domain')
    return { address: 'postmaster', local: 'postmaster', domain: '', nonAscii: false }
  }

  /** RFC 5321 §C: `@a,@b:` is read and ignored. */
  #sourceRoute(): boolean {
    for (;;) {
      this.at++
      if (this.#domain() === undefined) return false
      const c = this.#peek()
      this.at++
      if (c === COLON) break
      if (c !== COMMA || this.#peek() !== AT) return this.#fail('bad source route') ?? false
    }
    this.#upper = false
    this.#nonAscii = false
    return true
  }

  #dotString(): string | undefined {
    const from = this.at
    let dot = true
    for (; this.at < this.#end; this.at++) {
      const c = this.#buf[this.at] as number
      if (c === DOT) {
        if (dot) return this.#fail('the local part has an empty word')
        dot = true
        continue
      }
      const kind = CLASS[c] as number
      if (kind === Char.other) break
      if (kind === Char.high) this.#nonAscii = true
      dot = false
    }
    if (this.at === from) return this.#fail('the address has no local part')
    if (dot) return this.#fail('the local part has an empty word')
    return this.#text(from, this.at)
  }

  #quotedString(): string | undefined {
    let out = ''
    let from = ++this.at
    for (; this.at < this.#end; this.at++) {
      const c = this.#buf[this.at] as number
      if (c === QUOTE) break
      if (c === BACKSLASH) {
        const text = this.#text(from, this.at)
        if (text === undefined) return undefined
        out += text
        from = ++this.at
        if (this.#peek() < 0x20 || this.#peek() > 0x7e) return this.#fail('bad character behind a backslash')
      } else if (c < 0x20 || c === 0x7f) {
        return this.#fail('control character in the local part')
      } else if (c >= 0x80) {
        this.#nonAscii = true
      }
    }
    if (this.#peek() !== QUOTE) return this.#fail('the quoted local part has no end')
    const rest = this.#text(from, this.at)
    this.at++
    return rest === undefined ? undefined : out + rest
  }

  /** The range as text; octets above 127 must be UTF-8 (RFC 6531 §3.3). */
  #text(from: number, to: number): string | undefined {
    if (!this.#nonAscii) return latin1(this.#buf, from, to)
    const text = utf8(this.#buf, from, to)
    // A sent U+FFFD is refused along with broken UTF-8: it names no mailbox.
    return text.includes('\ufffd') || /[\u0080-\u009f]/.test(text) ? this.#fail('the address is not valid UTF-8') : text
  }

  #domain(): string | undefined {
    const from = this.at
    let label = from
    let high = false
    for (; this.at < this.#end; this.at++) {
      const c = this.#buf[this.at] as number
      const kind = CLASS[c] as number
      if (kind === Char.letDig) continue
      if (kind === Char.upper) this.#upper = true
      else if (kind === Char.high) high = true
      else if (c === DOT) {
        if (!this.#label(label, this.at)) return undefined
        label = this.at + 1
      } else if (c !== HYPHEN) break
    }
    if (!this.#label(label, this.at)) return undefined
    if (high) this.#nonAscii = true
    return this.#domainText(from, label, high)
  }

  /** sub-domain = Let-dig [Ldh-str], at most 63 octets (RFC 1035 §2.3.4). */
  #label(from: number, to: number): boolean {
    if (from === to) return this.#fail('the domain has an empty label') ?? false
    if (this.#buf[from] === HYPHEN || this.#buf[to - 1] === HYPHEN) return this.#fail('a label begins or ends with a hyphen') ?? false
    return true
  }

  #domainText(from: number, lastLabel: number, high: boolean): string | undefined {
    const length = this.at - from
    if (length > domainBytesMax) return this.#fail('the domain is too long')
    // Only what the scan cannot see takes the long way: U-labels, long labels, a last label that may be digits.
    const first = this.#buf[lastLabel] as number
    if (!high && length <= 63 && (first < 0x30 || first > 0x39)) {
      const text = latin1(this.#buf, from, this.at)
      return this.#upper ? text.toLowerCase() : text
    }
    const name = asciiName(utf8(this.#buf, from, this.at))
    return name ?? this.#fail('the domain is not valid')
  }

  /** RFC 5321 §4.1.3. */
  #addressLiteral(): string | undefined {
    const from = ++this.at
    while (this.at < this.#end && this.#buf[this.at] !== CLOSE) this.at++
    if (this.at === this.#end) return this.#fail('the address literal has no end')
    const literal = literalText(latin1(this.#buf, from, this.at++))
    // The text may differ from what was sent even where the length does not.
    this.#upper = true
    return literal ?? this.#fail('the address literal is not valid')
  }
}

/** IPv4 stands bare, IPv6 behind its tag, and neither has a zone. No other tag is registered (RFC 5321 §4.1.3). */
function literalText(text: string): string | undefined {
  const isIpv6 = /^ipv6:/i.test(text)
  const bare = isIpv6 ? text.slice('IPv6:'.length) : text
  const address = parseAddress(bare)
  if (!address || bare.includes('%') || bare.includes(':') !== isIpv6) return undefined
  return address.length === 4 ? `[${formatAddress(address)}]` : `[ipv6:${formatAddress(address)}]`
}

const DOT_STRING = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+(?:\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+)*$/u

/** A local part as a sender should write it: quoted only when it must be (RFC 5321 §4.1.2). */
function minimalQuoting(local: string): string {
  return DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`
}
