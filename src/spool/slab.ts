// Memory for values on their way to the index, and for bodies on their way in. One thread.

import type { ValueSpace } from './record.ts'

const SLAB_BYTES = 1024 * 1024

/** Values of one commit group, one behind the other. Used again after the commit: lmdb-js has copied them by then. */
export class Slab implements ValueSpace {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0

  take(bytes: number): Buffer {
    if (bytes > SLAB_BYTES) return Buffer.allocUnsafeSlow(bytes)
    if (this.#used + bytes > SLAB_BYTES) {
      // The full one stays alive by the values that lie in it.
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const value = this.#slab.subarray(this.#used, this.#used + bytes)
    this.#used += bytes
    return value
  }

  /** What was taken may be overwritten from now on. */
  reset(): void {
    this.#used = 0
  }
}

/** Bodies up to this size lie in the index, larger ones in segments. */
export const INLINE_BYTES_MAX: number = 16 * 1024
const CHUNK_BYTES = 64 * 1024
const SPARE_MAX = 256

/** Buffers for incoming bodies in two sizes, used again and again. */
export class ChunkPool {
  readonly #small: Buffer[] = []
  readonly #large: Buffer[] = []

  /** INLINE_BYTES_MAX bytes: for the beginning of a body. */
  takeSmall(): Buffer {
    return this.#small.pop() ?? Buffer.allocUnsafeSlow(INLINE_BYTES_MAX)
  }

  /** For the rest of a body that goes to segments. */
  takeLarge(): Buffer {
    return this.#large.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)
  }

  give(chunk: Buffer): void {
    const spare = chunk.length === INLINE_BYTES_MAX ? this.#small : this.#large
    if (spare.length < SPARE_MAX) spare.push(chunk)
  }
}
