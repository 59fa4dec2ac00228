// Memory for pieces of bodies, used again once the socket has let go of it. Deliver threads.
//
// A piece of its own for each read costs page faults, and its garbage a collection of the whole heap every 64 MB. What
// nobody gives back (a socket that was cut) is left to the collector.

import { BODY_PIECE_BYTES } from './limits.ts'

/** Pieces kept for later; more are only needed while many slow peers hold theirs. */
const FREE_MAX = 64

export class PiecePool {
  readonly #free: Buffer[] = []

  /** A piece of BODY_PIECE_BYTES, held once. */
  take(): Piece {
    return new Piece(this.#free.pop() ?? Buffer.allocUnsafeSlow(BODY_PIECE_BYTES), this.#free)
  }
}

export class Piece {
  readonly memory: Buffer
  /** Octets of the body in `memory`. */
  length = 0
  readonly #home: Buffer[]
  #holders = 1

  constructor(memory: Buffer, home: Buffer[]) {
    this.memory = memory
    this.#home = home
  }

  /** Somebody more reads it until they call `release`. */
  hold(): this {
    this.#holders++
    return this
  }

  /** Bound, because sockets call it when a write has ended. */
  readonly release = (): void => {
    this.#holders--
    if (this.#holders === 0 && this.#home.length < FREE_MAX) this.#home.push(this.memory)
  }
}
