// Pieces of bodies that are not inline, read from the spool for one connection at a time. Deliver threads.
//
// One stream is open, one read is under way. Each piece is memory of its own, because a socket may hold it for long.

import { BODY_PIECE_BYTES } from './limits.ts'
import type { BodyStream, MessageReader, StoredMessage } from './ports.ts'

export interface PieceEvents {
  piece(ticket: number, piece: Buffer): void
  failed(ticket: number, cause: string): void
}

interface OpenBody {
  readonly message: StoredMessage
  readonly stream: Promise<BodyStream>
  /** The read under way, which a close waits for. */
  busy: Promise<void>
  closed: boolean
}

export class PieceReader {
  readonly #reader: MessageReader
  readonly #events: PieceEvents
  #open: OpenBody | undefined

  constructor(reader: MessageReader, events: PieceEvents) {
    this.#reader = reader
    this.#events = events
  }

  /** Reads the piece at `offset`; the event with this ticket follows, unless `close` comes before. */
  read(ticket: number, message: StoredMessage, offset: number): void {
    if (this.#open?.message !== message) {
      this.close()
      this.#open = { message, stream: this.#reader.openBody(message), busy: Promise.resolve(), closed: false }
    }
    const body = this.#open
    body.busy = this.#fetch(body, ticket, offset)
  }

  close(): void {
    const body = this.#open
    if (!body) return
    this.#open = undefined
    body.closed = true
    void release(body)
  }

  async #fetch(body: OpenBody, ticket: number, offset: number): Promise<void> {
    try {
      const stream = await body.stream
      const piece = Buffer.allocUnsafeSlow(Math.min(BODY_PIECE_BYTES, body.message.envelope.bytes - offset))
      const count = await stream.read(offset, piece, 0, piece.length)
      if (body.closed) return
      if (count > 0) this.#events.piece(ticket, piece.subarray(0, count))
      else this.#events.failed(ticket, `the body ends at ${offset} of ${body.message.envelope.bytes} bytes`)
    } catch (error) {
      if (!body.closed) this.#events.failed(ticket, error instanceof Error ? error.message : String(error))
    }
  }
}

/** A failure to open was told by the read that waited for it; there is nothing to close then. */
async function release(body: OpenBody): Promise<void> {
  await body.busy
  const stream = await body.stream.catch(() => undefined)
  stream?.close()
}
