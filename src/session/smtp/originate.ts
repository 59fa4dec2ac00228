// What we owe a message that starts its way here (RFC 6409 §8, RFC 5322 §3.6): From belongs to the account, Date and
// Message-ID exist, Bcc and Return-Path do not. Works on the whole header block; pure.

import { isWord, utf8 } from '../../lib/bytes.ts'
import { parseMailbox } from '../../wire/smtp/path.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { fromAddresses } from './from-field.ts'
import { headerFields } from './header.ts'
import type { HeaderField } from './header.ts'
import { dateTime } from './received.ts'

/** Who sends the message, and what missing fields are made of. */
export interface Origin {
  /** '' when nobody authenticated: then From is not checked. */
  readonly account: string
  mayUse(account: string, address: string): boolean
  /** Left side of a Message-ID that is added. */
  readonly id: string
  readonly hostname: string
  /** ms since 1970. */
  readonly now: number
}

export type Originated =
  /** Fields to add in front, and ranges of the block to leave out, in order. */
  | { readonly kind: 'ok'; readonly add: string; readonly drop: readonly HeaderField[] }
  | { readonly kind: 'refuse'; readonly answer: Answer }

/** Not for the recipients' eyes: RFC 5322 §3.6.3, RFC 5321 §4.4. */
const DROPPED: readonly string[] = ['BCC', 'RESENT-BCC', 'RETURN-PATH']

export function originate(buf: Buffer, start: number, end: number, origin: Origin): Originated {
  const fields = headerFields(buf, start, end)
  const named = (name: string): HeaderField[] => fields.filter((field) => isWord(buf, field.start, field.nameEnd, name))
  const refusal = origin.account === '' ? undefined : fromRefusal(buf, named('FROM'), origin)
  if (refusal) return { kind: 'refuse', answer: refusal }
  let add = ''
  if (named('MESSAGE-ID').length === 0) add += `Message-ID: <${origin.id}@${origin.hostname}>\r\n`
  if (named('DATE').length === 0) add += `Date: ${dateTime(origin.now)}\r\n`
  const drop = fields.filter((field) => DROPPED.some((name) => isWord(buf, field.start, field.nameEnd, name)))
  return { kind: 'ok', add, drop }
}

function fromRefusal(buf: Buffer, fields: readonly HeaderField[], origin: Origin): Answer | undefined {
  const [field, ...others] = fields
  if (!field) return Answers.fromMissing
  // RFC 5322 §3.6: exactly one. With two, what one reader checks is not what another shows.
  if (others.length > 0) return Answers.fromTwice
  const addresses = fromAddresses(utf8(buf, field.valueStart, field.valueEnd))?.map(canonicalMailbox)
  if (!addresses || addresses.includes('')) return Answers.fromSyntax
  return addresses.every((address) => origin.mayUse(origin.account, address.toLowerCase())) ? undefined : Answers.fromNotYours
}

/** The address as MAIL would have it, or '' when it is none. */
function canonicalMailbox(address: string): string {
  const buf = Buffer.from(address, 'utf8')
  const mailbox = parseMailbox({ buf, start: 0, end: buf.length })
  return mailbox.ok ? mailbox.value.address : ''
}
