// The lines of a transaction: MAIL and RCPT with the parameters that the peer understands. Pure.

import { EnvelopeFlag, Notify } from '../spool/types.ts'
import type { Envelope, Recipient } from '../spool/types.ts'
import type { Capabilities } from './capabilities.ts'
import type { Fit } from './fit.ts'

/** `now` is ms since 1970: DELIVERBY is told as the seconds that remain (RFC 2852 §4.1.4). */
export function mailLine(envelope: Envelope, fit: Fit, peer: Capabilities, now: number): string {
  let line = `MAIL FROM:<${envelope.sender}>`
  // RFC 1870 §6: the declared size, line ends counted as two, dots unstuffed. A conversion makes it an estimate.
  if (peer.size >= 0) line += ` SIZE=${envelope.bytes}`
  line += fit.bodyParameter
  if (fit.smtpUtf8) line += ' SMTPUTF8'
  if (peer.dsn) line += dsnParameters(envelope)
  // RFC 6710 §4: absent means 0.
  if (peer.mtPriority && envelope.priority !== 0) line += ` MT-PRIORITY=${envelope.priority}`
  if (peer.deliverBy >= 0 && envelope.deliverBy > 0) line += deliverByParameter(envelope, now)
  return `${line}\r\n`
}

export function rcptLine(recipient: Recipient, envelope: Envelope, peer: Capabilities): string {
  if (!peer.dsn) return `RCPT TO:<${recipient.address}>\r\n`
  const notify = notifyParameter(notifyFor(recipient, envelope, peer))
  const orcpt = recipient.orcpt === '' ? '' : ` ORCPT=${originalRecipient(recipient.orcpt)}`
  return `RCPT TO:<${recipient.address}>${notify}${orcpt}\r\n`
}

/** RFC 3461 §4.3 and §4.4. */
function dsnParameters(envelope: Envelope): string {
  const { flags, envid } = envelope
  const ret = flags & EnvelopeFlag.retHdrs ? ' RET=HDRS' : flags & EnvelopeFlag.retFull ? ' RET=FULL' : ''
  return envid === '' ? ret : `${ret} ENVID=${xtext(envid)}`
}

const BY_SECONDS_MAX = 999_999_999

/** RFC 2852 §4: seconds remain until the time, negative ones only in mode N (mode R was settled before). */
function deliverByParameter(envelope: Envelope, now: number): string {
  const { flags, deliverBy } = envelope
  const seconds = Math.floor((deliverBy - now) / 1000)
  const bounded = Math.max(-BY_SECONDS_MAX, Math.min(BY_SECONDS_MAX, seconds))
  return ` BY=${bounded};${flags & EnvelopeFlag.deliverByReturn ? 'R' : 'N'}${flags & EnvelopeFlag.deliverByTrace ? 'T' : ''}`
}

/** RFC 2852 §4.1.4.2: where the peer cannot keep a time itself, it is asked to report delays. */
function notifyFor(recipient: Recipient, envelope: Envelope, peer: Capabilities): number {
  const { notify } = recipient
  if (envelope.deliverBy === 0 || peer.deliverBy >= 0 || notify & Notify.never) return notify
  return notify === 0 ? Notify.failure | Notify.delay : notify | Notify.delay
}

const NOTIFY_WORDS = [
  [Notify.success, 'SUCCESS'],
  [Notify.failure, 'FAILURE'],
  [Notify.delay, 'DELAY'],
] as const

/** RFC 3461 §4.1: nothing when the sender gave nothing. */
function notifyParameter(notify: number): string {
  if (notify === 0) return ''
  if (notify & Notify.never) return ' NOTIFY=NEVER'
  const words = NOTIFY_WORDS.filter(([bit]) => notify & bit).map(([, word]) => word)
  return ` NOTIFY=${words.join(',')}`
}

/** `type;address` with the address in xtext (RFC 3461 §4.2), or in utf-8-addr-xtext for type utf-8 (RFC 6533 §3). */
function originalRecipient(orcpt: string): string {
  const cut = orcpt.indexOf(';') + 1
  const type = orcpt.slice(0, cut)
  const address = orcpt.slice(cut)
  return type + (type.toLowerCase() === 'utf-8;' ? utf8Xtext(address) : xtext(address))
}

/** RFC 3461 §4: what is not a printable character, and `+` and `=`, becomes `+` and two hexadecimal digits. */
export function xtext(text: string): string {
  if (/^[!-*,-<>-~]*$/.test(text)) return text
  let out = ''
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2b && byte !== 0x3d
    out += plain ? String.fromCharCode(byte) : `+${hex(byte, 2)}`
  }
  return out
}

/** RFC 6533 §3: `\x{HEXPOINT}` for what xtext would not take; a part that is written so already stays. */
function utf8Xtext(text: string): string {
  return text.replace(/\\x\{[0-9A-F]{2,6}\}|[^!-~]|[+=\\]/gu, (part) =>
    part.length > 2 ? part : `\\x{${hex(part.codePointAt(0) as number, 2)}}`,
  )
}

const HEX = '0123456789ABCDEF'

function hex(value: number, digits: number): string {
  let text = ''
  for (let rest = value; rest > 0 || text.length < digits; rest >>= 4) text = HEX.charAt(rest & 15) + text
  return text
}
