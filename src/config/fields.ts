// The kinds of values that a configuration has, as zod schemas whose errors say what is allowed. Used while loading only.

import { join, resolve } from 'node:path'
import { z } from 'zod'
import { canonicalAddress, formatAddress, parseCidr } from '../lib/address.ts'
import { asciiName } from '../lib/hostname.ts'
import { anyOf, unfit, unknownKey } from './problems.ts'
import { SOCKET_PATH_BYTES_MAX, parseTarget } from './target.ts'
import { DURATION_FORM, SIZE_FORM, formatDuration, formatSize, parseDuration, parseSize } from './units.ts'

export type Field<T> = z.ZodType<T, unknown>

/** A value that `read` understands; undefined from it means that it does not. */
export function field<T>(expected: string, read: (value: unknown) => T | undefined): Field<T> {
  return checked(expected, (value) => {
    const result = read(value)
    return result === undefined ? { problem: unfit(value, expected) } : { value: result }
  })
}

/** A value whose error is said by `read` itself. The description is what the reference gives as its type. */
function checked<T>(expected: string, read: (value: unknown) => { readonly value: T } | { readonly problem: string }): Field<T> {
  const schema = z.unknown().transform((value, ctx): T => {
    const result = read(value)
    if ('value' in result) return result.value
    ctx.issues.push({ code: 'custom', input: value, message: result.problem })
    return z.NEVER
  })
  return schema.describe(expected)
}

export interface SectionWords {
  /** What is allowed here, when it is not just an object. */
  readonly expected?: string
  /** Something better to say about a key that is unknown. */
  readonly hint?: (key: string) => string | undefined
}

/** An object with these keys only. */
export function section<T extends z.ZodRawShape>(shape: T, words: SectionWords = {}): z.ZodObject<T, z.core.$strict> {
  const known = Object.keys(shape)
  const { expected = 'an object', hint } = words
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => hint?.(key) ?? unknownKey(key, known)).join('\n')
        : unfit(issue.input, expected),
  })
}

const LIST_LENGTH_MAX = 100_000

export function list<T>(item: Field<T>, expected = 'a list'): z.ZodType<T[], unknown> {
  const longest = `expected at most ${LIST_LENGTH_MAX} entries`
  return z.array(item, { error: (issue) => unfit(issue.input, expected) }).max(LIST_LENGTH_MAX, { error: longest })
}

/** One value, or a list of at least one. */
export function oneOrMore<T>(item: Field<T>, expected: string): z.ZodType<T[], unknown> {
  const nonEmpty = list(item, expected).refine((values) => values.length > 0, {
    error: 'an empty list is not allowed; expected at least one entry',
  })
  return z.preprocess((value) => (Array.isArray(value) || value === undefined ? value : [value]), nonEmpty).describe(expected)
}

/** One of some words. `hint` may say something better about a value that is none of them. */
export function oneOf<T extends string>(words: readonly T[], hint?: (value: unknown) => string | undefined): Field<T> {
  return checked(anyOf(words), (value) => {
    const word = words.find((candidate) => candidate === value)
    return word === undefined ? { problem: hint?.(value) ?? unfit(value, anyOf(words)) } : { value: word }
  })
}

export const flag: Field<boolean> = field('true or false', (value) => (typeof value === 'boolean' ? value : undefined))

export function whole(min: number, max: number): Field<number> {
  return field(`a whole number from ${min} to ${max}`, (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined,
  )
}

/** ms. */
export function duration(min: number, max: number): Field<number> {
  return field(`${DURATION_FORM}, from ${formatDuration(min)} to ${formatDuration(max)}`, (value) => within(parseDuration(value), min, max))
}

/** Bytes. */
export function size(min: number, max: number): Field<number> {
  return field(`${SIZE_FORM}, from ${formatSize(min)} to ${formatSize(max)}`, (value) => within(parseSize(value), min, max))
}

function within(n: number | undefined, min: number, max: number): number | undefined {
  return n !== undefined && n >= min && n <= max ? n : undefined
}

/** Text on one line. */
export function text(lengthMax: number): Field<string> {
  return field(`text of 1 to ${lengthMax} characters on one line`, (value) => (isLine(value, lengthMax) ? value : undefined))
}

function isLine(value: unknown, lengthMax: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= lengthMax && !/\p{Cc}/u.test(value)
}

/** Text that no error shows. */
export function secret(lengthMax: number): Field<string> {
  const expected = `text of 1 to ${lengthMax} characters on one line`
  return checked(expected, (value) => (isLine(value, lengthMax) ? { value } : { problem: `expected ${expected}` }))
}

const PATH_LENGTH_MAX = 4096

/** A path, made absolute. */
export function path(baseDir: string): Field<string> {
  return field('a path', (value) => (isLine(value, PATH_LENGTH_MAX) ? resolve(baseDir, value) : undefined))
}

/** The data directory, made absolute: the path of the control socket in it has to fit. */
export function dataDirectory(baseDir: string): Field<string> {
  return checked('a path', (value) => {
    if (!isLine(value, PATH_LENGTH_MAX)) return { problem: unfit(value, 'a path') }
    const directory = resolve(baseDir, value)
    const over = Buffer.byteLength(join(directory, 'control.sock')) - SOCKET_PATH_BYTES_MAX
    return over > 0 ? { problem: `${directory} is ${over} bytes too long for the control socket in it` } : { value: directory }
  })
}

/** A name that EHLO may carry: letters, digits and hyphens (RFC 5321 §2.3.5). */
export const hostName: Field<string> = field("a name such as 'mx.example.org'", (value) => {
  const name = typeof value === 'string' ? asciiName(value) : undefined
  return name?.split('.').every((label) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label)) ? name : undefined
})

/** `name`, `*.name`; and `*` where `any` says so. */
export function domainPattern(any: boolean): Field<string> {
  return field(`a name such as 'example.org', or '*.example.org'${any ? ", or '*'" : ''}`, (value) => {
    if (typeof value !== 'string') return undefined
    if (any && value === '*') return '*'
    if (!value.startsWith('*.')) return asciiName(value)
    const parent = asciiName(value.slice(2))
    return parent === undefined ? undefined : `*.${parent}`
  })
}

/** An address to listen on. */
export const address: Field<string> = field("an address such as '127.0.0.1' or '::1'", (value) =>
  value === 'localhost' ? '127.0.0.1' : typeof value === 'string' ? canonicalAddress(value) : undefined,
)

const NETWORK_FORM = "a network such as '10.0.0.0/8' or '::1'"

/** A network as `address/bits`; a single address is one of all its bits. */
export const network: Field<string> = checked(NETWORK_FORM, (value) => {
  if (typeof value !== 'string') return { problem: unfit(value, NETWORK_FORM) }
  const cidr = parseCidr(value)
  return cidr.ok ? { value: `${formatAddress(cidr.value.address)}/${cidr.value.bits}` } : { problem: cidr.error }
})

/** A network, or a host's name. */
export const hostOrNetwork: Field<string> = field("a name, an address or a network such as '10.0.0.0/8'", (value) => {
  if (typeof value !== 'string') return undefined
  const cidr = parseCidr(value)
  return cidr.ok ? `${formatAddress(cidr.value.address)}/${cidr.value.bits}` : asciiName(value)
})

/** `address:port`, port 53 where none is given. */
export const dnsServer: Field<string> = field("an address with a port such as '127.0.0.1:53' or '[::1]:53'", (value) => {
  if (typeof value !== 'string') return undefined
  const bare = canonicalAddress(value)
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(value)
  const host = bare ?? canonicalAddress(match?.[1] ?? match?.[2] ?? '')
  const port = bare === undefined && match?.[3] !== undefined ? Number(match[3]) : 53
  if (host === undefined || port < 1 || port > 65535) return undefined
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
})

/** An address of mail in lower case; `*@domain` where `pattern` says so. */
export function mailbox(pattern: boolean): Field<string> {
  return field(`an address such as 'anna@example.org'${pattern ? ", or '*@example.org'" : ''}`, (value) => {
    const match = typeof value === 'string' ? /^([^\s@"<>*]{1,64}|\*)@([^@]+)$/.exec(value) : null
    const domain = match && asciiName(match[2] as string)
    if (!match || !domain || (match[1] === '*' && !pattern)) return undefined
    return `${(match[1] as string).toLowerCase()}@${domain}`
  })
}

const TARGET_FORM = "a target such as 'mx' or 'smtp://127.0.0.1:2526'"

/** A target of target.ts; the directory of `capture:` is made absolute. */
export function target(baseDir: string): Field<string> {
  return checked(TARGET_FORM, (value) => {
    if (typeof value !== 'string') return { problem: unfit(value, TARGET_FORM) }
    if (value === 'mailbox')
      return { problem: 'mailboxes are not available in this version; expected a target such as lmtp://127.0.0.1:2003' }
    const parsed = parseTarget(value)
    if (!parsed.ok) return { problem: parsed.error }
    return { value: parsed.value.kind === 'capture' ? `capture:${resolve(baseDir, parsed.value.dir)}` : value }
  })
}

const WEB_ADDRESS_FORM = "an address such as 'https://login.example.org/keys'"

/** https, or http to this machine; without a name and password, which fetch does not take. */
export const webAddress: Field<string> = checked(WEB_ADDRESS_FORM, (value) => {
  const url = typeof value === 'string' ? URL.parse(value) : null
  if (url && (url.username !== '' || url.password !== '')) {
    return { problem: 'expected an address without name and password; clientId and clientSecret are for them' }
  }
  const local = url?.hostname === 'localhost' || url?.hostname === '127.0.0.1' || url?.hostname === '[::1]'
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && local)
    ? { value: url.href }
    : { problem: unfit(value, WEB_ADDRESS_FORM) }
})
