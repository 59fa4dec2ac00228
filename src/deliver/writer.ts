// What a client says: commands and bodies, composed into one write a turn, and told to the trace. Deliver threads.

import { idToText } from '../spool/ids.ts'
import type { Envelope, Recipient } from '../spool/types.ts'
import type { Output } from './output.ts'
import type { Piece } from './piece.ts'
import type { DeliverTrace, TraceDirection } from './ports.ts'

/** The sending side of a connection. */
export interface ByteSink {
  /** Sends bytes that do not change until `done`. False: it has more waiting than it likes; `onDrain` follows. */
  write(bytes: Buffer, done?: () => void): boolean
}

/** Observes one connection. */
export interface LineTrace {
  /** Whether anybody watches now. */
  readonly active: boolean
  line(direction: TraceDirection, text: string): void
  message(text: string): void
}

/** From this size a range goes to the socket as it lies; below, copying it next to the commands is cheaper. */
const DIRECT_BYTES = 16 * 1024 + 1

export class Writer {
  readonly #sink: ByteSink
  readonly #out: Output
  readonly #trace: LineTrace | undefined
  #room = true

  constructor(sink: ByteSink, out: Output, trace: LineTrace | undefined) {
    this.#sink = sink
    this.#out = out
    this.#trace = trace
  }

  /** Whether the peer keeps up. */
  get hasRoom(): boolean {
    return this.#room
  }

  /** One or more whole command lines. */
  command(lines: string): void {
    this.#out.text(lines)
    if (this.#trace?.active) for (const line of lines.split('\r\n')) if (line !== '') this.#trace.line('out', line)
  }

  /** A line that nobody may see; the trace gets `shown`. */
  secret(line: string, shown: string): void {
    this.#out.text(line)
    this.#trace?.line('out', shown)
  }

  /** A range of a body, which lies in `piece` when that is given. A long one is sent as it lies and must not change. */
  bytes(buf: Buffer, start: number, end: number, piece?: Piece): void {
    if (end - start < DIRECT_BYTES) {
      this.#out.bytes(buf, start, end)
      return
    }
    this.flush()
    this.#send(buf.subarray(start, end), piece?.hold().release)
  }

  /** Tells the trace of a message whose transaction begins. */
  noteMessage(envelope: Envelope, targets: readonly { readonly recipient: Recipient }[]): void {
    if (!this.#trace?.active) return
    const { id, tenant, sender } = envelope
    const recipients = targets.map(({ recipient }) => `<${recipient.address}>`)
    this.#trace.message(`message ${idToText(id)}${tenant === '' ? '' : ` of ${tenant}`} from <${sender}> to ${recipients.join(', ')}`)
  }

  /** Tells the trace of a body that follows. */
  noteContent(bytes: number): void {
    if (this.#trace?.active) this.#trace.line('note', `${bytes} bytes of content`)
  }

  /** Sends what was composed. Called at the end of each turn, before another connection composes. */
  flush(): void {
    const bytes = this.#out.take()
    if (bytes) this.#send(bytes)
  }

  onDrain(): void {
    this.#room = true
  }

  #send(bytes: Buffer, done?: () => void): void {
    if (!this.#sink.write(bytes, done)) this.#room = false
  }
}

/** A trace bound to one connection. */
export function lineTrace(trace: DeliverTrace | undefined, conn: number, site: string): LineTrace | undefined {
  return (
    trace && {
      get active() {
        return trace.active
      },
      line: (direction, text) => trace.line(conn, site, direction, text),
      message: (text) => trace.message(conn, site, text),
    }
  )
}
