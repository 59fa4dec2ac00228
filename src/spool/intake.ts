// A message on its way in: up to 16 KiB in memory, the rest streamed into body segments. Owner thread.

import { assert } from '../lib/assert.ts'
import { RECIPIENTS_MAX } from './plan.ts'
import type { AcceptedRecipient, Intake, SpoolError } from './ports.ts'
import type { StoredBody } from './record.ts'
import type { Extent, Segments } from './segments.ts'
import type { ChunkPool } from './slab.ts'
import type { Envelope, MessageId } from './types.ts'

/** A message handed over for its commit. `release` ends its hold on memory and segments. */
export interface Accepted {
  readonly envelope: Envelope
  readonly recipients: readonly AcceptedRecipient[]
  readonly body: StoredBody
  readonly release: () => void
  readonly done: (error: SpoolError | undefined) => void
}

/** What an intake needs of its owner and shard. */
export interface IntakeHost {
  readonly segments: Segments
  readonly pool: ChunkPool
  readonly backlogLimit: number
  /** Why nothing is taken just now. */
  refusal(id: MessageId): SpoolError | undefined
  accept(message: Accepted): void
  closed(intake: SpoolIntake): void
  turn(fn: () => void): void
}

/** Adds `extent` to the list, or to its last member when it follows that. */
function join(extents: Extent[], extent: Extent): void {
  const last = extents.at(-1)
  if (last && last.segment === extent.segment && last.offset + last.length === extent.offset) {
    extents[extents.length - 1] = { ...last, length: last.length + extent.length }
  } else {
    extents.push(extent)
  }
}

export class SpoolIntake implements Intake {
  readonly id: MessageId
  readonly #host: IntakeHost
  /** Known from the start: the body is dropped. */
  readonly #refused: SpoolError | undefined
  #chunk: Buffer | undefined
  #used = 0
  #bytes = 0
  #extents: Extent[] = []
  #pins: number[] = []
  #unwritten = 0
  #open = true
  #onDrain: (() => void) | undefined

  constructor(id: MessageId, host: IntakeHost) {
    this.id = id
    this.#host = host
    this.#refused = host.refusal(id)
  }

  write(buf: Buffer, start: number, end: number): void {
    assert(this.#open, 'intake written after its end')
    this.#bytes += end - start
    if (this.#refused) return
    let at = start
    while (at < end) {
      const chunk = this.#room()
      const n = Math.min(end - at, chunk.length - this.#used)
      buf.copy(chunk, this.#used, at, at + n)
      this.#used += n
      at += n
    }
  }

  backlogBytes(): number {
    return this.#unwritten
  }

  onDrain(fn: () => void): void {
    this.#onDrain = fn
    if (this.#unwritten < this.#host.backlogLimit) this.#host.turn(() => this.#drained())
  }

  abort(): void {
    if (!this.#open) return
    this.#close()
    this.#release()
  }

  commit(envelope: Envelope, recipients: readonly AcceptedRecipient[], done: (error: SpoolError | undefined) => void): void {
    assert(this.#open && recipients.length > 0, 'intake committed twice or without recipients')
    const many: SpoolError | undefined = recipients.length > RECIPIENTS_MAX ? { kind: 'failed', cause: 'too many recipients' } : undefined
    const refusal = many ?? this.#refused ?? this.#host.refusal(this.id)
    if (refusal) {
      this.abort()
      this.#host.turn(() => done(refusal))
      return
    }
    this.#close()
    const body = this.#finish()
    const exact = envelope.id === this.id && envelope.bytes === this.#bytes
    const stored = exact ? envelope : { ...envelope, id: this.id, bytes: this.#bytes }
    this.#host.accept({ envelope: stored, recipients, body, release: () => this.#release(), done })
  }

  /** The chunk that takes the next byte; a full one goes to the disk first. */
  #room(): Buffer {
    this.#chunk ??= this.#host.pool.takeSmall()
    if (this.#used === this.#chunk.length) {
      this.#spill()
      this.#chunk = this.#host.pool.takeLarge()
    }
    return this.#chunk
  }

  #spill(): void {
    const chunk = this.#chunk as Buffer
    const bytes = this.#used
    this.#chunk = undefined
    this.#used = 0
    this.#unwritten += bytes
    const extent = this.#host.segments.append(chunk.subarray(0, bytes), () => this.#written(chunk, bytes))
    this.#pins.push(extent.segment)
    join(this.#extents, extent)
  }

  #finish(): StoredBody {
    if (this.#extents.length > 0) {
      if (this.#used > 0) this.#spill()
      return { kind: 'extents', extents: this.#extents }
    }
    return { kind: 'inline', bytes: this.#chunk ? this.#chunk.subarray(0, this.#used) : Buffer.alloc(0) }
  }

  #written(chunk: Buffer, bytes: number): void {
    this.#host.pool.give(chunk)
    this.#unwritten -= bytes
    if (this.#unwritten < this.#host.backlogLimit) this.#drained()
  }

  #drained(): void {
    const fn = this.#onDrain
    this.#onDrain = undefined
    if (this.#open) fn?.()
  }

  #close(): void {
    this.#open = false
    this.#host.closed(this)
  }

  #release(): void {
    if (this.#chunk) this.#host.pool.give(this.#chunk)
    this.#chunk = undefined
    for (const segment of this.#pins) this.#host.segments.unpin(segment)
    this.#pins = []
  }
}
