// Whether a message fits through a peer as it is, and how: what the message needs against what the peer announced. Pure.

import { hasEightBit } from '../lib/bytes.ts'
import { EnvelopeFlag } from '../spool/types.ts'
import type { Envelope } from '../spool/types.ts'
import type { Capabilities } from './capabilities.ts'
import { BDAT_FROM_BYTES } from './limits.ts'
import { Verdicts } from './outcome.ts'
import type { Verdict } from './outcome.ts'
import type { StoredMessage } from './ports.ts'

/** How a message is handed to a peer. */
export interface Fit {
  readonly transfer: 'data' | 'bdat'
  /** ` BODY=8BITMIME`, ` BODY=BINARYMIME` or ''. */
  readonly bodyParameter: string
  readonly smtpUtf8: boolean
  /** The body is re-encoded as 7-bit MIME on the way. */
  readonly convert: boolean
}

export type Fitting = { readonly kind: 'fits'; readonly fit: Fit } | { readonly kind: 'misfit'; readonly verdict: Verdict }

/** `final`: the peer is where mail ends (LMTP), so that DELIVERBY is kept by handing over now. */
export function fitMessage(message: StoredMessage, peer: Capabilities, final: boolean, now: number): Fitting {
  const { envelope } = message
  const verdict = misfitOf(message, peer, final, now)
  return verdict ? { kind: 'misfit', verdict } : { kind: 'fits', fit: fitOf(envelope, peer) }
}

function misfitOf(message: StoredMessage, peer: Capabilities, final: boolean, now: number): Verdict | undefined {
  const { envelope } = message
  if (hasControl(envelope.sender)) return Verdicts.badSender()
  if (peer.size > 0 && envelope.bytes > peer.size) return Verdicts.tooLarge(envelope.bytes, peer.size)
  return deliverByMisfit(envelope, peer, final, now) ?? utf8Misfit(message, peer)
}

/** RFC 2852 §4.1.3 and §4.1.4.1; mode N goes anywhere. */
function deliverByMisfit(envelope: Envelope, peer: Capabilities, final: boolean, now: number): Verdict | undefined {
  if (envelope.deliverBy === 0 || !(envelope.flags & EnvelopeFlag.deliverByReturn)) return undefined
  // Less than a second would be told as 0, which mode R does not allow (§4).
  const seconds = Math.floor((envelope.deliverBy - now) / 1000)
  if (seconds <= 0) return Verdicts.deliverByPassed()
  if (final) return undefined
  if (peer.deliverBy < 0) return Verdicts.noDeliverBy('DELIVERBY is not offered')
  if (peer.deliverBy > seconds) return Verdicts.noDeliverBy(`it asks for ${peer.deliverBy} seconds, ${seconds} remain`)
  return undefined
}

/** RFC 6531 §3.2 and §3.5: recipients are looked at one by one, see `recipientMisfit`. */
function utf8Misfit(message: StoredMessage, peer: Capabilities): Verdict | undefined {
  if (peer.smtpUtf8) return undefined
  if (!isAscii(message.envelope.sender)) return Verdicts.noSmtpUtf8('the sender address')
  if (message.envelope.flags & EnvelopeFlag.smtputf8 && headerHasEightBit(message)) return Verdicts.noSmtpUtf8('the header')
  return undefined
}

/** Why one recipient cannot be named to the peer, or undefined. */
export function recipientMisfit(address: string, peer: Capabilities): Verdict | undefined {
  if (hasControl(address)) return Verdicts.badRecipient()
  if (!peer.smtpUtf8 && !isAscii(address)) return Verdicts.noSmtpUtf8('the recipient address')
  return undefined
}

function fitOf(envelope: Envelope, peer: Capabilities): Fit {
  const { flags, bytes } = envelope
  const binary = (flags & EnvelopeFlag.binary) !== 0
  const eightBit = (flags & EnvelopeFlag.eightBit) !== 0
  const convert = binary ? !peer.binaryMime : eightBit && !peer.eightBitMime
  const smtpUtf8 = peer.smtpUtf8 && (flags & EnvelopeFlag.smtputf8) !== 0
  const bodyParameter = convert ? '' : binary ? ' BODY=BINARYMIME' : eightBit ? ' BODY=8BITMIME' : ''
  const bdat = peer.chunking && !convert && (binary || bytes >= BDAT_FROM_BYTES || (flags & EnvelopeFlag.noFinalCrlf) !== 0)
  return { transfer: bdat ? 'bdat' : 'data', bodyParameter, smtpUtf8, convert }
}

/** Whether the header has bytes above 127. A large body is not read for it: any such byte counts. */
function headerHasEightBit(message: StoredMessage): boolean {
  const { inline, envelope } = message
  if (!(envelope.flags & EnvelopeFlag.eightBit)) return false
  if (!inline) return true
  const end = inline.indexOf('\r\n\r\n')
  return hasEightBit(inline, 0, end < 0 ? inline.length : end)
}

/** What would end a command line, or worse; addresses are checked when they are accepted, this is the last gate. */
function hasControl(address: string): boolean {
  for (let i = 0; i < address.length; i++) {
    const c = address.charCodeAt(i)
    if (c < 0x20 || c === 0x7f) return true
  }
  return false
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}
