// A spool in memory: messages by id, bodies inline or in pieces.

import type { BodyStream, MessageReader, StoredMessage } from '../../../src/deliver/ports.ts'
import { EnvelopeFlag, QueueClass } from '../../../src/spool/types.ts'
import type { Envelope, Group, Recipient } from '../../../src/spool/types.ts'

export interface TestMessage {
  readonly id: number
  readonly sender?: string
  /** Recipients by group: addresses, or whole recipients. */
  readonly groups: readonly (readonly (string | Partial<Recipient>)[])[]
  readonly flags?: readonly (keyof typeof EnvelopeFlag)[]
  readonly body?: string
  readonly envelope?: Partial<Envelope>
  /** The body is not inline. */
  readonly large?: boolean
}

export const SMALL_BODY = 'Subject: hello\r\n\r\nHello.\r\n'

function recipientOf(given: string | Partial<Recipient>): Recipient {
  const partial = typeof given === 'string' ? { address: given } : given
  return { address: '', notify: 0, orcpt: '', ...partial }
}

function envelopeOf(message: TestMessage, bytes: number): Envelope {
  return {
    id: message.id,
    acceptedAt: 0,
    sender: message.sender ?? 'a@example.org',
    flags: (message.flags ?? []).reduce((bits, name) => bits | EnvelopeFlag[name], 0),
    bytes,
    envid: '',
    tenant: 't',
    account: '',
    client: '192.0.2.1',
    priority: 0,
    deliverBy: 0,
    ...message.envelope,
  }
}

function groupOf(message: TestMessage, group: number, bytes: number): Group {
  const pending = (message.groups[group] as readonly (string | Partial<Recipient>)[]).map(recipientOf)
  return {
    id: message.id,
    group,
    domain: 'example.net',
    tenant: 't',
    class: QueueClass.bulk,
    priority: 0,
    due: 0,
    expires: Infinity,
    warnAt: 0,
    attempts: 0,
    recipients: pending.length,
    bytes,
    held: false,
    pending,
    lastReply: '',
    lastAttemptAt: 0,
  }
}

export class MemoryReader implements MessageReader {
  readonly #messages = new Map<number, { message: StoredMessage; groups: (Group | undefined)[]; body: Buffer }>()
  /** Cause of the next failure to read a body, '' for none. */
  failure = ''
  refreshed = 0
  openStreams = 0

  add(message: TestMessage): void {
    const body = Buffer.from(message.body ?? SMALL_BODY, 'latin1')
    const envelope = envelopeOf(message, body.length)
    const groups = message.groups.map((_, group) => groupOf(message, group, body.length))
    this.#messages.set(message.id, { message: { envelope, inline: message.large ? undefined : body }, groups, body })
  }

  removeGroup(id: number, group: number): void {
    const stored = this.#messages.get(id)
    if (stored) stored.groups[group] = undefined
  }

  refresh(): void {
    this.refreshed++
  }

  message(id: number): StoredMessage | undefined {
    return this.#messages.get(id)?.message
  }

  group(id: number, group: number): Group | undefined {
    return this.#messages.get(id)?.groups[group]
  }

  /** For a client that runs without a reader of pieces: the piece itself. */
  piece(message: StoredMessage, offset: number, length: number): Buffer {
    return this.#bodyOf(message).subarray(offset, offset + length)
  }

  async openBody(message: StoredMessage): Promise<BodyStream> {
    if (this.failure !== '') throw new Error(this.failure)
    const body = this.#bodyOf(message)
    this.openStreams++
    return {
      bytes: body.length,
      read: async (offset, buffer, at, length) => {
        if (this.failure !== '') throw new Error(this.failure)
        return body.copy(buffer, at, offset, Math.min(body.length, offset + length))
      },
      close: () => void this.openStreams--,
    }
  }

  #bodyOf(message: StoredMessage): Buffer {
    return (this.#messages.get(message.envelope.id) as { body: Buffer }).body
  }
}
