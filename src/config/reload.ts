// What a reload may change: everything but what is laid down when the process starts. Pure.

import { isDeepStrictEqual } from 'node:util'
import type { Config } from './schema.ts'

/** Paths of the configuration that are read once, when threads, listeners and the spool are made. */
const FIXED: readonly (readonly string[])[] = [
  ['dataDir'],
  ['threads', 'net'],
  ['threads', 'deliver'],
  ['threads', 'inspect'],
  ['listeners'],
  ['log', 'level'],
]

/** Settings that differ and change only with a restart, such as `threads.net`. */
export function restartReasons(before: Config, after: Config): string[] {
  return FIXED.filter((path) => !isDeepStrictEqual(at(before, path), at(after, path))).map((path) => path.join('.'))
}

/** Settings that differ and take effect at once, as top-level keys or `limits.NAME`. */
export function liveChanges(before: Config, after: Config): string[] {
  const paths = Object.keys(after).flatMap((key) =>
    key === 'limits' ? Object.keys(after.limits).map((name) => ['limits', name]) : [[key]],
  )
  const changed = paths.filter((path) => !isDeepStrictEqual(at(before, path), at(after, path)))
  return changed.map((path) => path.join('.')).filter((path) => !FIXED.some((fixed) => fixed.join('.') === path || fixed[0] === path))
}

function at(config: Config, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], config)
}
