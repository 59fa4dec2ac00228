// The part of a notification that gives back the message or its header (RFC 3461 §6.2, RFC 6522 §3 and 4, RFC 6533 §4).

import { EnvelopeFlag } from '../spool/types.ts'
import type { DsnFacts } from './dsn.ts'
import { isSevenBit, type Encoding, type Part } from './dsn-mime.ts'

export interface Returned {
  readonly part: Part
  /** The whole message, not only its header. */
  readonly whole: boolean
}

/** RFC 5321 §4.5.3.1.6, CRLF included: a longer line may be refused on the way back. */
const LINE_BYTES_MAX = 1000
/** As in Postfix (bounce_size_limit): enough to recognise a message by, too little to flood a mailbox with. */
const RETURN_BYTES_MAX = 50_000

/** `eightBitPath`: the notification needs SMTPUTF8 anyway, so its parts need no 7-bit encoding. */
export function returnedPart(facts: DsnFacts, eightBitPath: boolean): Returned {
  const bytesMax = facts.returnBytesMax ?? RETURN_BYTES_MAX
  const header = headerLines(facts.header, bytesMax)
  // A header with UTF-8 in it is one only where SMTPUTF8 was agreed on.
  const global = (facts.envelope.flags & EnvelopeFlag.smtputf8) !== 0 && !isSevenBit(header)
  const { message } = facts
  const encoding = message && message.length <= bytesMax ? wholeEncoding(facts, message, global, eightBitPath) : undefined
  if (message && encoding) {
    const type = global ? 'message/global' : 'message/rfc822'
    return { part: { type, description: 'Undelivered message', encoding, bytes: message }, whole: true }
  }
  return { part: headerPart(header, global, eightBitPath), whole: false }
}

function headerPart(header: Buffer, global: boolean, eightBitPath: boolean): Part {
  const type = global ? 'message/global-headers' : 'text/rfc822-headers'
  const plain = isSevenBit(header) && hasShortLines(header)
  const encoding = plain ? '7bit' : global && eightBitPath && hasShortLines(header) ? '8bit' : 'quoted-printable'
  return { type, description: 'Header of the message', encoding, bytes: header }
}

/**
 * How the whole message can go back, undefined when only its header can. RFC 3461 §4.3: the message is returned with a
 * failure, unless RET says HDRS; not when it is large. message/rfc822 allows no encoding (RFC 2046 §5.2.1), so that one
 * with 8-bit bytes goes back whole only when RET=FULL asks for it, and a binary one never (RFC 6522 §3).
 */
function wholeEncoding({ envelope, recipients }: DsnFacts, message: Buffer, global: boolean, eightBitPath: boolean): Encoding | undefined {
  const { flags } = envelope
  if (!recipients.some(({ action }) => action === 'failed') || (flags & EnvelopeFlag.retHdrs) !== 0) return undefined
  if (global && !eightBitPath) return 'base64'
  if ((flags & EnvelopeFlag.binary) !== 0 || !hasShortLines(message) || message.includes(0)) return undefined
  if (isSevenBit(message)) return '7bit'
  return eightBitPath || (flags & EnvelopeFlag.retFull) !== 0 ? '8bit' : undefined
}

/** The header with the CRLF of its last line, without the empty line; cut after a line when it is longer than `bytesMax`. */
function headerLines(section: Buffer, bytesMax: number): Buffer {
  if (section.subarray(0, 2).equals(CRLF)) return section.subarray(0, 0)
  const end = section.indexOf('\r\n\r\n')
  const header = end < 0 ? section : section.subarray(0, end + 2)
  if (header.length <= bytesMax && end >= 0) return header
  const last = header.subarray(0, bytesMax).lastIndexOf('\r\n')
  return header.subarray(0, last < 0 ? 0 : last + 2)
}

const CRLF: Buffer = Buffer.from('\r\n')

function hasShortLines(bytes: Buffer): boolean {
  let start = 0
  while (start < bytes.length) {
    const found = bytes.indexOf('\r\n', start)
    const end = found < 0 ? bytes.length : found + 2
    if (end - start > LINE_BYTES_MAX) return false
    start = end
  }
  return true
}
