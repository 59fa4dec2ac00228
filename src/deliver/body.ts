// A message's content on its way to the peer: whole when it is inline, else piece by piece as the peer takes it.
//
// The final dot, or the count of BDAT, is this file's: nothing else may end a message. A piece is read when the socket
// has room, so that no more than one waits, however slow the peer is.

import { EnvelopeFlag } from '../spool/types.ts'
import type { ContentSink } from '../wire/smtp/data.ts'
import { DataEncoder } from '../wire/smtp/data.ts'
import { SevenBitConverter } from './downgrade.ts'
import type { Fit } from './fit.ts'
import type { Piece } from './piece.ts'
import type { StoredMessage } from './ports.ts'
import type { Writer } from './writer.ts'

/** Where pieces come from. `ticket` comes back with the piece; answers to older tickets are ignored. */
export interface PieceSource {
  readBody(ticket: number, message: StoredMessage, offset: number): void
  /** No more pieces of the message that was read last. */
  closeBody(): void
}

type Phase = 'idle' | 'prepared' | 'sending'

export class BodySender implements ContentSink {
  readonly #writer: Writer
  readonly #source: PieceSource
  readonly #encoder = new DataEncoder()
  #phase: Phase = 'idle'
  #message: StoredMessage | undefined
  #bdat = false
  #converter: SevenBitConverter | undefined
  #ticket = 0
  #reading = false
  /** Read, but DATA was not answered yet. */
  #piece: Piece | undefined
  #offset = 0
  #error = ''

  constructor(writer: Writer, source: PieceSource) {
    this.#writer = writer
    this.#source = source
  }

  /** Announces a message whose envelope is being sent; a large body's first piece is read meanwhile. */
  prepare(message: StoredMessage, fit: Fit): void {
    this.#phase = 'prepared'
    this.#message = message
    this.#bdat = fit.transfer === 'bdat'
    this.#converter = fit.convert ? new SevenBitConverter() : undefined
    this.#offset = 0
    this.#dropPiece()
    this.#error = ''
    if (!message.inline) this.#read()
  }

  /** The peer is ready for it. True when the whole content is on its way, with its end. */
  send(): boolean {
    const { envelope, inline } = this.#message as StoredMessage
    this.#phase = 'sending'
    const bytes = inline ? inline.length : envelope.bytes
    if (this.#bdat) this.#writer.command(`BDAT ${bytes} LAST\r\n`)
    // What a conversion makes may begin with a dot where the original did not.
    else this.#encoder.start(this.#converter !== undefined || (envelope.flags & EnvelopeFlag.dots) !== 0)
    this.#writer.noteContent(bytes)
    if (!inline) return this.#advance()
    this.#encode(inline, 0, inline.length)
    return this.#end()
  }

  /** A piece arrived. True when it was the last one and is on its way. */
  onPiece(ticket: number, piece: Piece): boolean {
    if (ticket !== this.#ticket || !this.#reading) {
      piece.release()
      return false
    }
    this.#reading = false
    this.#piece = piece
    return this.#phase === 'sending' && this.#advance()
  }

  /** A piece cannot be read. True when the content was begun already; otherwise `error` tells. */
  onPieceError(ticket: number, cause: string): boolean {
    if (ticket !== this.#ticket || !this.#reading) return false
    this.#reading = false
    this.#error = cause
    return this.#phase === 'sending'
  }

  /** Why the content cannot be read, '' when it can. */
  get error(): string {
    return this.#error
  }

  /** The socket has room again. True when the last of the content is on its way. */
  onDrain(): boolean {
    return this.#phase === 'sending' && this.#message?.inline === undefined && this.#advance()
  }

  /** The content is not wanted any more. */
  abandon(): void {
    if (this.#phase === 'idle') return
    if (!this.#message?.inline) this.#source.closeBody()
    this.#phase = 'idle'
    this.#message = undefined
    this.#dropPiece()
    this.#reading = false
  }

  /** Takes encoded ranges from the encoder. */
  content(buf: Buffer, start: number, end: number): void {
    this.#writer.bytes(buf, start, end, this.#piece?.memory === buf ? this.#piece : undefined)
  }

  #advance(): boolean {
    const message = this.#message as StoredMessage
    if (this.#piece) {
      const { memory, length } = this.#piece
      this.#offset += length
      this.#encode(memory, 0, length)
      this.#writer.flush()
      this.#dropPiece()
    }
    if (this.#offset >= message.envelope.bytes) return this.#end()
    if (!this.#reading && this.#writer.hasRoom) this.#read()
    return false
  }

  #encode(buf: Buffer, start: number, end: number): void {
    if (this.#bdat) this.content(buf, start, end)
    else if (this.#converter) this.#stuff(this.#converter.convert(buf, start, end))
    else this.#encoder.encode(buf, start, end, this)
  }

  #stuff(converted: Buffer): void {
    this.#encoder.encode(converted, 0, converted.length, this)
  }

  #end(): true {
    if (this.#converter) this.#stuff(this.#converter.finish())
    if (!this.#bdat) {
      const end = this.#encoder.end()
      this.#writer.bytes(end, 0, end.length)
    }
    this.abandon()
    return true
  }

  #dropPiece(): void {
    this.#piece?.release()
    this.#piece = undefined
  }

  #read(): void {
    this.#reading = true
    this.#ticket++
    this.#source.readBody(this.#ticket, this.#message as StoredMessage, this.#offset)
  }
}
