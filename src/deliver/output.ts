// Output of one turn, composed in one piece of memory so that it leaves in one write. Deliver threads.
//
// A slab is filled from the left and never written twice: a socket may keep what it was given for as long as it likes.
// One instance serves all connections of a thread, because each takes its bytes before the next one composes.

const SLAB_BYTES = 64 * 1024
/** Most bytes that UTF-8 needs for one UTF-16 unit. */
const UTF8_BYTES_MAX = 3

export class Output {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #from = 0
  #at = 0

  /** Bytes that wait for `take`. */
  get length(): number {
    return this.#at - this.#from
  }

  text(text: string): void {
    this.#reserve(text.length * UTF8_BYTES_MAX)
    this.#at += this.#slab.write(text, this.#at, 'utf8')
  }

  bytes(buf: Buffer, start: number, end: number): void {
    this.#reserve(end - start)
    buf.copy(this.#slab, this.#at, start, end)
    this.#at += end - start
  }

  /** What was composed since the last call, or undefined when nothing was. */
  take(): Buffer | undefined {
    if (this.#at === this.#from) return undefined
    const bytes = this.#slab.subarray(this.#from, this.#at)
    this.#from = this.#at
    return bytes
  }

  /** Makes room for `count` more bytes; what is waiting moves along to the new slab. */
  #reserve(count: number): void {
    if (this.#at + count <= this.#slab.length) return
    const waiting = this.#at - this.#from
    const slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (waiting + count)))
    this.#slab.copy(slab, 0, this.#from, this.#at)
    this.#slab = slab
    this.#from = 0
    this.#at = waiting
  }
}
