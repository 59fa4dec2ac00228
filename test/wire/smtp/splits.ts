// Ways to cut an input into chunks: whole, byte by byte, at every single point, and at random ones.

import { Prng } from '../../../src/lib/prng.ts'
import { runSeed } from '../../support/seed.ts'

/** Each chunk is memory of its own, at an odd offset now and then, so that nothing relies on alignment or on neighbours. */
export function cut(bytes: Buffer, points: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let from = 0
  for (const point of [...points, bytes.length]) {
    if (point <= from) continue
    const shift = from % 4
    const memory = Buffer.alloc(shift + point - from + 3, '\n.')
    bytes.copy(memory, shift, from, point)
    chunks.push(memory.subarray(shift, shift + point - from))
    from = point
  }
  return chunks
}

export function* cuttings(bytes: Buffer, everyPointUpTo = 400): Generator<Buffer[]> {
  yield cut(bytes, [])
  yield cut(
    bytes,
    Array.from(bytes, (_, i) => i),
  )
  if (bytes.length <= everyPointUpTo) for (let i = 1; i < bytes.length; i++) yield cut(bytes, [i])
  const random = new Prng(runSeed() + bytes.length)
  for (let round = 0; round < 8; round++) {
    const points = Array.from({ length: 1 + random.below(5) }, () => random.below(bytes.length + 1))
    yield cut(
      bytes,
      points.toSorted((a, b) => a - b),
    )
  }
}
