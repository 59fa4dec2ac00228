// Durations and sizes as people write them. Pure.

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

export const DURATION_FORM = "ms as a number, or text such as '500ms', '30s', '5m', '4h', '5d', '2w'"
export const SIZE_FORM = "bytes as a number, or text such as '16 KiB', '512 MB', '2 GiB'"

/** ms, or undefined when it is no duration. */
export function parseDuration(value: unknown): number | undefined {
  return quantity(value, DURATION_UNITS)
}

/** Bytes, or undefined when it is no size. */
export function parseSize(value: unknown): number | undefined {
  return quantity(value, SIZE_UNITS)
}

function quantity(value: unknown, units: Readonly<Record<string, number>>): number | undefined {
  if (typeof value === 'number') return whole(value)
  if (typeof value !== 'string') return undefined
  const match = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]+)\s*$/i.exec(value)
  if (!match) return undefined
  const factor = Object.hasOwn(units, (match[2] as string).toLowerCase()) ? units[(match[2] as string).toLowerCase()] : undefined
  return factor === undefined ? undefined : whole(Math.round(Number(match[1]) * factor))
}

function whole(n: number): number | undefined {
  return Number.isSafeInteger(n) && n >= 0 ? n : undefined
}

/** `90000` as `1m 30s`: at most two units, for people. */
export function formatDuration(durationMs: number): string {
  let rest = Math.max(0, Math.round(durationMs))
  const parts: string[] = []
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const factor = DURATION_UNITS[unit] as number
    const n = Math.floor(rest / factor)
    if (n > 0) parts.push(`${n}${unit}`)
    rest -= n * factor
    if (parts.length === 2) break
  }
  return parts.join(' ') || '0s'
}

/** `1536` as `1.5 KiB`. */
export function formatSize(sizeBytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let at = 0
  let n = sizeBytes
  while (n >= 1024 && at < names.length - 1) {
    n /= 1024
    at++
  }
  return `${at === 0 ? n : Number(n.toFixed(1))} ${names[at] as string}`
}
