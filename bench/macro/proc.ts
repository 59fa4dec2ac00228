// What Linux says of a process: CPU time and memory, its threads included.

import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ is 100 on every Linux that Node runs on: times in /proc have a grain of 10 ms. */
const TICK_US = 10_000

interface Times {
  readonly parent: number
  readonly ownUs: number
  /** Of children that ended and were waited for. */
  readonly childrenUs: number
}

function times(pid: number): Times | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold anything; fields are counted from behind it. The third is the state.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    const at = (field: number): number => fields[field - 3] ?? 0
    return { parent: at(4), ownUs: (at(14) + at(15)) * TICK_US, childrenUs: (at(16) + at(17)) * TICK_US }
  } catch {
    return undefined
  }
}

/** CPU time of one process so far, all its threads, in µs. */
export function cpuUs(pid: number): number {
  const found = times(pid)
  if (!found) throw new Error(`process ${pid} is gone`)
  return found.ownUs
}

/** CPU time of a process and all its descendants, those that ended included, in µs. */
export function treeCpuUs(root: number): number {
  const all = new Map<number, Times>()
  for (const name of readdirSync('/proc')) {
    const found = /^\d+$/.test(name) ? times(Number(name)) : undefined
    if (found) all.set(Number(name), found)
  }
  let sum = 0
  for (const [pid, found] of all) {
    let at = pid
    while (at > 1 && at !== root) at = all.get(at)?.parent ?? 0
    if (at === root) sum += found.ownUs + found.childrenUs
  }
  return sum
}

/** RssAnon + RssShmem in bytes. Mapped files count as RSS too, but they are the page cache's. */
export function memoryBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1')
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return (kilobytes('RssAnon') + kilobytes('RssShmem')) * 1024
}
