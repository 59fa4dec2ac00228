// Randomness as a port, so that a seed reproduces a run. Not for secrets: those come from node:crypto.

export interface Random {
  /** A float in [0, 1). */
  float(): number
  /** An integer in [0, bound). */
  below(bound: number): number
}

/** xoshiro128** seeded through splitmix32: small, fast, and the same sequence everywhere. */
export class Prng implements Random {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number) {
    let s = seed >>> 0
    const next = (): number => {
      s = (s + 0x9e3779b9) >>> 0
      let z = s
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next()
  }

  u32(): number {
    const rotate = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0
    const result = Math.imul(rotate(Math.imul(this.#b, 5) >>> 0, 7), 9) >>> 0
    const t = (this.#b << 9) >>> 0
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= t
    this.#d = rotate(this.#d >>> 0, 11)
    return result
  }

  float(): number {
    return this.u32() / 0x1_0000_0000
  }

  below(bound: number): number {
    return Math.floor(this.float() * bound)
  }
}

/** A generator seeded from the system; only for jitter and load spreading. */
export function systemRandom(): Random {
  return new Prng(crypto.getRandomValues(new Uint32Array(1))[0] as number)
}

/** A copy in random order (Fisher and Yates). */
export function shuffled<T>(values: readonly T[], random: Random): T[] {
  const result = [...values]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swap = result[i] as T
    result[i] = result[j] as T
    result[j] = swap
  }
  return result
}
