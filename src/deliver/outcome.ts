// Replies become outcomes: the class of the code decides, the enhanced code and the text are kept for people. Pure.
//
// Verdicts that we reach ourselves (too large, 8-bit at a 7-bit hop, …) have code 0 and an enhanced code of RFC 3463.

import { utf8 } from '../lib/bytes.ts'
import { Outcome } from '../spool/types.ts'
import type { RecipientResult } from '../spool/types.ts'
import type { Reply, ReplyParser } from '../wire/smtp/reply.ts'

/** What became of a recipient, before it is known which. */
export interface Verdict {
  readonly outcome: Outcome
  /** Basic reply code, 0 when it is our own verdict or there was no reply. */
  readonly code: number
  readonly enhanced: string
  readonly text: string
  /** From now on this recipient goes apart from the others. */
  readonly apart?: boolean
}

/** What a reply means for those whom it concerns. RFC 5321 §4.2.1: 2yz done, 4yz try again, 5yz never. Anything else is out of protocol where a verdict is due: try again. */
export function verdictOf(reply: Reply): Verdict {
  const { code, text } = reply
  const outcome = code >= 500 ? Outcome.bounced : code >= 400 || code >= 300 || code < 200 ? Outcome.deferred : Outcome.delivered
  return { outcome, code, enhanced: reply.enhanced, text }
}

/** The reply that a parser holds, with its text cut to `textBytes` of UTF-8. */
export function replyOf(parser: ReplyParser, textBytes: number): Reply {
  return { code: parser.code, enhanced: parser.enhanced, text: cut(parser.text(), textBytes) }
}

/** `text` cut to `bytes` of UTF-8, at a character. */
export function cut(text: string, bytes: number): string {
  if (text.length * 3 <= bytes) return text
  const all = Buffer.from(text, 'utf8')
  if (all.length <= bytes) return text
  let end = bytes
  // 0b10xxxxxx continues a character.
  while (end > 0 && ((all[end] as number) & 0xc0) === 0x80) end--
  return utf8(all, 0, end)
}

/**
 * Whether RCPT was refused because the transaction holds enough recipients: the rest goes into the next transaction at
 * once (RFC 5321 §4.5.3.1.10). Old servers say 552 for it, often without an enhanced code: who was really refused hears the
 * same once more, as the first of a transaction. 552 5.2.2 is a full mailbox.
 */
export function isTooMany({ code, enhanced }: Reply): boolean {
  return (code === 452 && (enhanced === '' || enhanced === '4.5.3')) || (code === 552 && (enhanced === '' || enhanced === '5.5.3'))
}

export function resultOf(index: number, { outcome, code, enhanced, text, apart }: Verdict): RecipientResult {
  return apart ? { index, outcome, code, enhanced, text, apart } : { index, outcome, code, enhanced, text }
}

export function deferred(enhanced: string, text: string): Verdict {
  return { outcome: Outcome.deferred, code: 0, enhanced, text }
}

export function bounced(enhanced: string, text: string): Verdict {
  return { outcome: Outcome.bounced, code: 0, enhanced, text }
}

export function delivered(text: string): Verdict {
  return { outcome: Outcome.delivered, code: 0, enhanced: '2.0.0', text }
}

/** Our own verdicts: one constructor a reason, with the RFC that asks for it. */
export const Verdicts = {
  /** RFC 1870 §6.1: larger than the peer's fixed limit. */
  tooLarge: (bytes: number, limit: number): Verdict => bounced('5.3.4', `message of ${bytes} bytes exceeds the peer's limit of ${limit}`),
  /** RFC 6531 §3.5: X.6.7 when an address needs it, X.6.9 for the header; the peer is not able to take either. */
  noSmtpUtf8: (what: string): Verdict => bounced('5.6.7', `the peer does not offer SMTPUTF8, which ${what} needs`),
  /** RFC 2852 §4.1.3. */
  deliverByPassed: (): Verdict => bounced('5.4.7', 'delivery time expired'),
  /** RFC 2852 §4.1.4.1: mode R is never relayed to a server that cannot keep it. */
  noDeliverBy: (why: string): Verdict => bounced('5.3.3', `the peer cannot keep the time asked for by DELIVERBY: ${why}`),
  badSender: (): Verdict => bounced('5.1.7', 'the sender address holds a control character'),
  badRecipient: (): Verdict => bounced('5.1.3', 'the recipient address holds a control character'),
} as const
