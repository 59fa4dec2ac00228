// The part of a notification that programs read: message/delivery-status (RFC 3464 §2) or its SMTPUTF8 form (RFC 6533 §4.1).

import { EnvelopeFlag } from '../spool/types.ts'
import type { DsnEnvelope, DsnFacts, DsnRecipient } from './dsn.ts'
import { ascii, field, isAscii, mailDate, type Part, printable } from './dsn-mime.ts'

export function statusPart(facts: DsnFacts, eightBitPath: boolean): Part {
  const utf8 = (facts.envelope.flags & EnvelopeFlag.smtputf8) !== 0
  const groups = [messageFields(facts), ...facts.recipients.map((recipient) => recipientFields(facts, recipient, utf8))]
  const text = groups.join('\r\n')
  const bytes = Buffer.from(text)
  const description = 'Delivery report'
  // RFC 6533 §4.4: what is all 7-bit goes in the form that everybody reads.
  if (isAscii(text)) return { type: 'message/delivery-status', description, encoding: '7bit', bytes }
  return { type: 'message/global-delivery-status', description, encoding: eightBitPath ? '8bit' : 'quoted-printable', bytes }
}

function messageFields({ envelope, hostname, queueId }: DsnFacts): string {
  return [
    // RFC 3461 §6.3 (a): only when ENVID was given, and as it was.
    envelope.envid === '' ? '' : field('Original-Envelope-Id', ascii(envelope.envid)),
    field('Reporting-MTA', `dns; ${hostname}`),
    field('Arrival-Date', mailDate(envelope.acceptedAt)),
    // RFC 2852 §5.
    envelope.deliverBy === 0 ? '' : field('Deliver-By-Date', mailDate(envelope.deliverBy)),
    envelope.releaseAt ? field('Future-Release-Request', holdRequest(envelope.releaseAt, envelope.holdForSeconds ?? 0)) : '',
    field('X-Rohrpost-Queue-Id', ascii(queueId)),
  ].join('')
}

/** RFC 4865 §5.1.2 item 2: what the HOLD parameter said; a time in UTC. */
function holdRequest(releaseAt: number, holdForSeconds: number): string {
  return holdForSeconds > 0 ? `for;${holdForSeconds}` : `until;${new Date(releaseAt).toISOString().replace('.000Z', 'Z')}`
}

function recipientFields(facts: DsnFacts, recipient: DsnRecipient, utf8: boolean): string {
  const { address, orcpt, action, lastAttemptAt } = recipient
  const remote = remoteMta(recipient)
  const diagnostic = diagnosticOf(recipient, utf8)
  return [
    orcpt === '' ? '' : field('Original-Recipient', originalRecipient(orcpt)),
    field('Final-Recipient', `${isAscii(address) ? 'rfc822' : 'utf-8'}; ${printable(address)}`),
    field('Action', action),
    field('Status', statusOf(facts, recipient)),
    remote === '' ? '' : field('Remote-MTA', `dns; ${remote}`),
    diagnostic === '' ? '' : field('Diagnostic-Code', diagnostic),
    lastAttemptAt === 0 ? '' : field('Last-Attempt-Date', mailDate(lastAttemptAt)),
    action === 'delayed' ? field('Will-Retry-Until', mailDate(recipient.retryUntil)) : '',
  ].join('')
}

/**
 * The status of a recipient: the peer's when it fits the action, else the least that RFC 3461 §6.3 (g) asks for.
 * RFC 3463 §3.5: a message that grew too old gets the code of the real problem, where there was one.
 */
export function statusOf({ envelope, at }: DsnFacts, recipient: DsnRecipient): string {
  const { action, code, enhanced, expired } = recipient
  const overdue = isOverdue(envelope, at)
  // RFC 2852 §4.1.3.
  if (action === 'failed' && expired && overdue && (envelope.flags & EnvelopeFlag.deliverByReturn) !== 0) return '5.4.7'
  if (action === 'delayed' && overdue) return '4.4.7'
  const classes = action === 'failed' ? '45' : action === 'delayed' ? '4' : '2'
  if (/^[245](?:\.(?:0|[1-9]\d{0,2})){2}$/.test(enhanced) && classes.includes(enhanced.charAt(0))) return enhanced
  if (action === 'failed') return expired ? '4.4.7' : code >= 400 && code < 500 ? '4.0.0' : '5.0.0'
  return action === 'delayed' ? '4.0.0' : '2.0.0'
}

function isOverdue({ deliverBy }: DsnEnvelope, at: number): boolean {
  return deliverBy !== 0 && deliverBy <= at
}

/** Whether the words are a peer's. The router's have a code as well, but nobody was asked. */
export function isPeers({ peer, code }: DsnRecipient): boolean {
  return code !== 0 && peer !== ''
}

/**
 * The peer's name, when the words are the peer's (RFC 3464 §2.3.5); its address as a literal when it has none. Where a socket
 * lies on this machine is nobody's business.
 */
export function remoteMta(recipient: DsnRecipient): string {
  const { peer } = recipient
  if (!isPeers(recipient) || peer.startsWith('/')) return ''
  const bracket = peer.indexOf('[')
  if (bracket > 0) return ascii(peer.slice(0, bracket))
  return ascii(peer.replace(/:\d+$/, ''))
}

/** RFC 3461 §9.2 for what a peer said; our own words under a type of our own. */
function diagnosticOf(recipient: DsnRecipient, utf8: boolean): string {
  const words = replyWords(recipient)
  if (words === '') return ''
  const text = utf8 ? printable(words) : ascii(words)
  return isPeers(recipient) ? `smtp; ${text}` : `x-rohrpost; ${text}`
}

/** `550 5.1.1 no such user`, with whatever of it there is. */
export function replyWords(recipient: DsnRecipient): string {
  const { code, enhanced, text } = recipient
  return isPeers(recipient) ? [String(code), enhanced, text].filter((part) => part !== '').join(' ') : text
}

/**
 * RFC 3461 §6.3 (d): as ORCPT had it. Addresses of type utf-8 lose their `\x{…}` encoding (RFC 6533 §3), unless what
 * they stand for is no address.
 */
function originalRecipient(orcpt: string): string {
  const semicolon = orcpt.indexOf(';')
  const type = ascii(semicolon < 0 ? 'rfc822' : orcpt.slice(0, semicolon))
  const address = orcpt.slice(semicolon + 1)
  if (type.toLowerCase() !== 'utf-8') return `${type}; ${ascii(address)}`
  const decoded = address.replace(/\\x\{([0-9A-F]{2,6})\}/g, (whole, point: string) => characterOf(parseInt(point, 16)) ?? whole)
  return `${type}; ${printable(decoded)}`
}

function characterOf(point: number): string | undefined {
  if (point < 0x20 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined
  return String.fromCodePoint(point)
}
