// Pieces of bodies that are not inline, read from the spool for one connection at a time. Deliver threads.
//
// One stream is open, one read is under way.

import type { Clock } from '../lib/clock.ts'
import type { Piece, PiecePool } from './piece.ts'
import type { BodyStream, MessageReader, StoredMessage } from './ports.ts'

/** For how long after its acceptance a body is read as one that memory still holds. */
const RECENT_MS = 30_000

export interface PieceEvents {
  /** Whoever gets it releases it. */
  piece(ticket: number, piece: Piece): void
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
  readonly #pool: PiecePool
  readonly #events: PieceEvents
  readonly #clock: Clock
  #open: OpenBody | undefined

  constructor(reader: MessageReader, pool: PiecePool, clock: Clock, events: PieceEvents) {
    this.#reader = reader
    this.#pool = pool
    this.#events = events
    this.#clock = clock
  }

  /** Reads the piece at `offset`; the event with this ticket follows, unless `close` comes before. */
  read(ticket: number, message: StoredMessage, offset: number): void {
    if (this.#open?.message !== message) {
      this.close()
      this.#open = { message, stream: this.#reader.openBody(message, this.#isRecent(message)), busy: Promise.resolve(), closed: false }
    }
    const body = this.#open
    body.busy = this.#fetch(body, ticket, offset)
  }

  #isRecent({ envelope }: StoredMessage): boolean {
    return this.#clock.now() - envelope.acceptedAt < RECENT_MS
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
      const piece = this.#pool.take()
      const want = Math.min(piece.memory.length, body.message.envelope.bytes - offset)
      piece.length = await stream.read(offset, piece.memory, 0, want)
      if (!body.closed && piece.length > 0) return this.#events.piece(ticket, piece)
      piece.release()
      if (!body.closed) this.#events.failed(ticket, `the body ends at ${offset} of ${body.message.envelope.bytes} bytes`)
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
