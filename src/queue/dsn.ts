// Delivery status notifications: RFC 3461 (when), RFC 3464 (what), RFC 6522 (container), RFC 6533 (SMTPUTF8), RFC 2852
// (DELIVERBY). Pure: date, id and boundary come from the facts, so that a repeated settlement writes the same bytes.
//
// Three parts: what a person reads, what a program reads, and the returned header or message. A notification travels over
// any server, for it has nobody to be returned to: it is 7-bit, unless its recipient's address is not ASCII or the
// sender asked for the whole of an 8-bit message.

import { latin1 } from '../lib/bytes.ts'
import { EnvelopeFlag, Notify } from '../spool/types.ts'
import { humanPart } from './dsn-human.ts'
import { encodePart, field, isAscii, isSevenBit, mailDate, type Part, printable } from './dsn-mime.ts'
import { returnedPart } from './dsn-returned.ts'
import { statusPart } from './dsn-status.ts'

/** RFC 3464 §2.3.3. `relayed`: handed to a peer that does not speak DSN; `expanded`: passed on to an alias's addresses. */
export type DsnAction = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'

export interface DsnRecipient {
  readonly address: string
  /** Notify bits, 0 when NOTIFY was not given. */
  readonly notify: number
  /** `type;address`, decoded, '' when ORCPT was not given. */
  readonly orcpt: string
  readonly action: DsnAction
  /** The peer's reply; code 0 and our own words when there was none. */
  readonly code: number
  readonly enhanced: string
  readonly text: string
  /** `host[address]:port`, '' when no connection was made. */
  readonly peer: string
  /** Whether the peer announced DSN: then success is its to report. */
  readonly peerDsn: boolean
  /** Whether the peer announced DELIVERBY: without it `relayed` is owed for every DELIVERBY message (RFC 2852 §4.1.4.2). */
  readonly peerDeliverBy: boolean
  /** Given up because its time is over, not because of a reply. */
  readonly expired: boolean
  /** ms since 1970 of the last attempt, 0 when there was none. */
  readonly lastAttemptAt: number
  /** ms since 1970: Will-Retry-Until of a delayed recipient. */
  readonly retryUntil: number
}

/** What the notification says of the message. An `Envelope` is one. */
export interface DsnEnvelope {
  readonly sender: string
  readonly envid: string
  /** EnvelopeFlag bits. */
  readonly flags: number
  readonly deliverBy: number
  readonly acceptedAt: number
  readonly releaseAt?: number
  readonly holdForSeconds?: number
}

export interface DsnFacts {
  /** Id of the message reported on, as text. */
  readonly queueId: string
  readonly envelope: DsnEnvelope
  /** Of one settlement, expiry or warning. */
  readonly recipients: readonly DsnRecipient[]
  /** Our domain: Reporting-MTA. */
  readonly hostname: string
  /** A person's address for the From field (RFC 3464 §2). */
  readonly postmaster: string
  /** ms since 1970: Date of the notification. */
  readonly at: number
  /** Message-ID of the notification, without brackets. */
  readonly messageId: string
  /** Lengthened when the message contains it. */
  readonly boundary: string
  /** The header section of the message; the empty line behind it may be there or not. */
  readonly header: Buffer
  /** The whole message when it is at hand; undefined when it is large. */
  readonly message: Buffer | undefined
  /** What is returned of a message at most; larger ones come back as their header. Default 50,000. */
  readonly returnBytesMax?: number
}

export interface Dsn {
  /** Always the null reverse-path (RFC 3461 §6.1). */
  readonly sender: ''
  readonly recipient: string
  /** The message with CRLF line ends, dots not stuffed. */
  readonly body: Buffer
  /** EnvelopeFlag bits of the body. */
  readonly flags: number
}

/** Whether the sender is to be told of this recipient (RFC 3461 §5.2, RFC 2852 §4.1). */
export function dsnOwed(envelope: DsnEnvelope, recipient: DsnRecipient): boolean {
  const { notify, action } = recipient
  if (envelope.sender === '' || (notify & Notify.never) !== 0) return false
  switch (action) {
    case 'failed':
      return notify === 0 || (notify & Notify.failure) !== 0
    case 'delayed':
      return notify === 0 || (notify & Notify.delay) !== 0
    case 'relayed':
      return relayOwed(envelope, recipient)
    case 'delivered':
    case 'expanded':
      return (notify & Notify.success) !== 0
  }
}

function relayOwed({ deliverBy, flags }: DsnEnvelope, { notify, peerDsn, peerDeliverBy }: DsnRecipient): boolean {
  if (deliverBy !== 0 && ((flags & EnvelopeFlag.deliverByTrace) !== 0 || !peerDeliverBy)) return true
  return !peerDsn && (notify & Notify.success) !== 0
}

/** The notification for all recipients of these facts that it is owed for; undefined when it is owed for none. */
export function composeDsn(facts: DsnFacts): Dsn | undefined {
  const recipients = facts.recipients.filter((recipient) => dsnOwed(facts.envelope, recipient))
  if (recipients.length === 0) return undefined
  const owed: DsnFacts = { ...facts, recipients }
  // The recipient of the notification needs SMTPUTF8 itself: then nothing has to be 7-bit.
  const eightBitPath = !isAscii(facts.envelope.sender)
  const returned = returnedPart(owed, eightBitPath)
  const body = assemble(owed, [humanPart(owed, returned, eightBitPath), statusPart(owed, eightBitPath), returned.part])
  return { sender: '', recipient: facts.envelope.sender, body, flags: flagsOf(body, eightBitPath) }
}

function flagsOf(body: Buffer, eightBitPath: boolean): number {
  let flags = 0
  if (body.includes('\n.')) flags |= EnvelopeFlag.dots
  if (!isSevenBit(body)) flags |= EnvelopeFlag.eightBit
  if (eightBitPath) flags |= EnvelopeFlag.smtputf8
  return flags
}

function assemble(facts: DsnFacts, parts: readonly Part[]): Buffer {
  const encoded = parts.map(encodePart)
  const boundary = boundaryFor(facts.boundary, encoded)
  const chunks: Buffer[] = [Buffer.from(header(facts, parts, boundary))]
  for (const part of encoded) chunks.push(Buffer.from(`--${boundary}\r\n`), part, Buffer.from('\r\n'))
  chunks.push(Buffer.from(`--${boundary}--\r\n`))
  return Buffer.concat(chunks)
}

/** A boundary that no part contains, whatever was put into the message to meet it. */
function boundaryFor(wanted: string, parts: readonly Buffer[]): string {
  for (let n = 0; ; n++) {
    const boundary = n === 0 ? wanted : `${wanted}.${n}`
    if (!parts.some((part) => part.includes(`--${boundary}`))) return boundary
  }
}

function header(facts: DsnFacts, parts: readonly Part[], boundary: string): string {
  const reply = originalMessageId(facts.header)
  const eightBit = parts.some((part) => part.encoding === '8bit')
  // RFC 6522 §3: the report type is the subtype of the second part.
  const reportType = (parts[1] as Part).type.slice('message/'.length)
  return [
    field('Date', mailDate(facts.at)),
    field('From', `Mail Delivery System <${facts.postmaster}>`),
    field('To', `<${printable(facts.envelope.sender)}>`),
    field('Subject', subject(facts)),
    field('Message-ID', `<${facts.messageId}>`),
    reply === '' ? '' : field('In-Reply-To', reply) + field('References', reply),
    // RFC 3834 §5.
    field('Auto-Submitted', 'auto-replied'),
    field('MIME-Version', '1.0'),
    field('Content-Type', `multipart/report; report-type=${reportType}; boundary="${boundary}"`),
    eightBit ? field('Content-Transfer-Encoding', '8bit') : '',
    '\r\nThis is a delivery status notification in MIME format (RFC 3464).\r\n\r\n',
  ].join('')
}

function subject({ recipients }: DsnFacts): string {
  const any = (action: DsnAction): boolean => recipients.some((recipient) => recipient.action === action)
  if (any('failed')) return 'Undelivered mail returned to sender'
  if (any('delayed')) return 'Delayed mail (still being tried)'
  return 'Delivery report'
}

/** The Message-ID of the original when it is a plain one, so that the report is shown beside it; else ''. */
function originalMessageId(section: Buffer): string {
  const text = latin1(section, 0, section.length)
  return /^message-id:[ \t]*(?:\r\n[ \t]+)?(<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>)[ \t]*\r$/im.exec(text)?.[1] ?? ''
}
