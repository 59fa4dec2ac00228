// Reads delivery status notifications (RFC 3464, RFC 6522) and other MIME as a strict program would.

import assert from 'node:assert/strict'

export interface Entity {
  /** Field names in lower case, values unfolded. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: Buffer
}

export interface DsnReport {
  readonly fields: ReadonlyMap<string, string>
  /** The part for people. */
  readonly text: string
  /** Type of the second part, such as `message/delivery-status`. */
  readonly statusType: string
  readonly message: ReadonlyMap<string, string>
  readonly recipients: readonly ReadonlyMap<string, string>[]
  /** The third part. */
  readonly returnedType: string
  readonly returned: Buffer
}

function fieldsOf(header: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of header.replaceAll(/\r\n(?=[ \t])/g, '').split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return fields
}

export function entityOf(bytes: Buffer): Entity {
  const end = bytes.indexOf('\r\n\r\n')
  assert.ok(end >= 0, 'an entity without an empty line')
  return { fields: fieldsOf(bytes.toString('utf8', 0, end)), body: bytes.subarray(end + 4) }
}

/** The body with its transfer encoding undone (RFC 2045 §6). */
export function decodedBody({ fields, body }: Entity): Buffer {
  const encoding = fields.get('content-transfer-encoding')?.toLowerCase() ?? '7bit'
  if (encoding === 'base64') return Buffer.from(body.toString('latin1'), 'base64')
  if (encoding !== 'quoted-printable') return body
  const soft = body.toString('latin1').replaceAll('=\r\n', '')
  const plain = soft.replaceAll(/=([0-9A-F]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
  return Buffer.from(plain, 'latin1')
}

/** The parts of a multipart body (RFC 2046 §5.1). */
export function partsOf({ fields, body }: Entity): Entity[] {
  const boundary = /boundary="([^"]+)"/.exec(fields.get('content-type') ?? '')?.[1] ?? assert.fail('no boundary')
  const pieces = `\r\n${body.toString('latin1')}`.split(`\r\n--${boundary}`)
  assert.equal(pieces.at(-1), '--\r\n', 'the closing boundary ends the message')
  return pieces.slice(1, -1).map((piece) => {
    assert.ok(piece.startsWith('\r\n'))
    return entityOf(Buffer.from(piece.slice(2), 'latin1'))
  })
}

function typeOf(entity: Entity): string {
  return (entity.fields.get('content-type') ?? '').split(';')[0] as string
}

/** The trace field of the last hop, unfolded. */
export function newestReceived(text: string): string {
  const match = /^Received: (?:[^\r]|\r\n[ \t])*/m.exec(text)
  return (match?.[0] ?? '').replaceAll(/\r\n[ \t]+/g, ' ')
}

export function reportOf(data: Buffer): DsnReport {
  const whole = entityOf(data)
  assert.match(whole.fields.get('content-type') ?? '', /^multipart\/report; report-type=(?:global-)?delivery-status;/)
  const parts = partsOf(whole)
  assert.equal(parts.length, 3, 'a report has three parts')
  const [human, status, returned] = parts as [Entity, Entity, Entity]
  const blocks = decodedBody(status).toString('utf8').trimEnd().split('\r\n\r\n')
  const [message, ...recipients] = blocks.map(fieldsOf)
  assert.ok(message && recipients.length > 0, 'a report says something of a message and of a recipient')
  return {
    fields: whole.fields,
    text: decodedBody(human).toString('utf8'),
    statusType: typeOf(status),
    message,
    recipients,
    returnedType: typeOf(returned),
    returned: decodedBody(returned),
  }
}
