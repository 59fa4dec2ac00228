// Doubling delays with jitter, for paths and for messages. Pure.

import type { Random } from './prng.ts'

/** Share by which a delay varies to each side, so that what failed together does not return together. */
const JITTER = 0.1

/** Delay in ms after the `failures`th failure in a row (from 1): `firstMs`, doubling up to `maxMs`, 10 % jitter. */
export function backoffDelay(failures: number, limits: { readonly firstMs: number; readonly maxMs: number }, random: Random): number {
  const doublings = Math.min(Math.max(failures, 1) - 1, 52)
  const delay = Math.min(limits.firstMs * 2 ** doublings, limits.maxMs)
  return Math.round(delay * (1 - JITTER + 2 * JITTER * random.float()))
}
