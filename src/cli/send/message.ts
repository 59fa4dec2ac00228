// The message that `rohrpost send` hands over. Pure, but for the Message-ID.

import { randomUUID } from 'node:crypto'
import { sevenBitField } from '../../deliver/encoded-word.ts'

export interface MessageParts {
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly body: string
  /** ms since 1970. */
  readonly now: number
}

/** A plain text message with the fields that RFC 5322 §3.6 asks for. */
export function composeMessage(parts: MessageParts): Buffer {
  const host = parts.from.slice(parts.from.lastIndexOf('@') + 1) || 'localhost'
  const fields = [
    `Date: ${new Date(parts.now).toUTCString().replace('GMT', '+0000')}`,
    `From: ${parts.from === '' ? `postmaster@${host}` : parts.from}`,
    `To: ${parts.to.join(',\r\n\t')}`,
    sevenBitField(Buffer.from(`Subject: ${parts.subject}`).toString('latin1')),
    `Message-ID: <${randomUUID()}@${host}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
  ]
  return Buffer.from(`${fields.join('\r\n')}\r\n\r\n${parts.body}`)
}

/** Line ends as CRLF, one at the end too: what the parameter SIZE counts (RFC 1870 §5). */
export function withLineEnds(message: Buffer): Buffer {
  const text = message.toString('latin1').replace(/\r\n|\r|\n/g, '\r\n')
  return Buffer.from(text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`, 'latin1')
}

/** Dots stuffed, and the dot that ends DATA (RFC 5321 §4.5.2). */
export function encodeForData(message: Buffer): Buffer {
  const text = withLineEnds(message).toString('latin1').replace(/^\./gm, '..')
  return Buffer.from(`${text}.\r\n`, 'latin1')
}

export function hasEightBit(bytes: Buffer): boolean {
  return bytes.some((byte) => byte > 127)
}
