// Attributes of XCLIENT, the command by which a trusted proxy tells who its client is. Pure.

import { latin1 } from '../../lib/bytes.ts'
import type { Slice } from '../../lib/bytes.ts'
import { canonicalAddress } from '../../lib/address.ts'
import { err, ok } from '../../lib/result.ts'
import type { Result } from '../../lib/result.ts'
import { decodeXtext } from './xtext.ts'

/** Names as EHLO announces them. */
export const XCLIENT_NAMES = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'LOGIN', 'DESTADDR', 'DESTPORT'] as const
export type XclientName = (typeof XCLIENT_NAMES)[number]

/** Values by name; '' where the proxy says [UNAVAILABLE] or [TEMPUNAVAIL]. Addresses are canonical text. */
export type XclientAttributes = Partial<Record<XclientName, string>>

/** The attributes of one command; the error says what is wrong. A name given twice counts as last given. */
export function parseXclient(argument: Slice): Result<XclientAttributes, string> {
  const attributes: XclientAttributes = {}
  const words = latin1(argument.buf, argument.start, argument.end)
    .split(' ')
    .filter((word) => word !== '')
  if (words.length === 0) return err('expected NAME=value')
  for (const word of words) {
    const equals = word.indexOf('=')
    const name = XCLIENT_NAMES.find((known) => known === word.slice(0, Math.max(equals, 0)).toUpperCase())
    if (!name) return err('unknown attribute')
    const value = attributeValue(name, word.slice(equals + 1))
    if (value === undefined) return err(`bad value of ${name}`)
    attributes[name] = value
  }
  return ok(attributes)
}

function attributeValue(name: XclientName, encoded: string): string | undefined {
  if (/^\[(?:UNAVAILABLE|TEMPUNAVAIL)\]$/i.test(encoded)) return ''
  const value = decodeXtext(encoded)
  if (value === undefined || value === '' || /[^!-~\u0080-\u{10ffff}]/u.test(value)) return undefined
  switch (name) {
    case 'ADDR':
    case 'DESTADDR':
      return canonicalAddress(value.replace(/^ipv6:/i, ''))
    case 'PORT':
    case 'DESTPORT':
      return /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? value : undefined
    case 'PROTO':
      return /^E?SMTP$/i.test(value) ? value.toUpperCase() : undefined
    default:
      return value
  }
}
