// What a running server says of itself, and what the kernel says of its process.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { askServer } from '../../../src/cli/control.ts'
import { EventTail, type LoggedEvent } from '../../../src/spool/events.ts'
import type { Server } from '../../support/server.ts'
import { eventually } from '../../support/wait.ts'

const MS_MAX = 30_000

/** Rows that the control socket answers to a verb. */
export async function ask<Row>(server: Server, verb: string, args: Readonly<Record<string, unknown>> = {}): Promise<Row[]> {
  const rows: Row[] = []
  await askServer({ dataDir: server.dataDir, verb, args }, (row) => void rows.push(row as Row))
  return rows
}

/** A line of `queue list`. */
export interface Queued {
  readonly id: string
  readonly sender: string
  readonly recipient: string
  readonly state: string
  readonly attempts: number
  readonly lastReply: string
}

export function queued(server: Server): Promise<Queued[]> {
  return ask<Queued>(server, 'queue.list')
}

export async function queueEmpties(server: Server, ms: number = MS_MAX): Promise<void> {
  let left: Queued[] = []
  const probe = async (): Promise<true | undefined> => {
    left = await queued(server)
    return left.length === 0 || undefined
  }
  await eventually(ms, 'the queue is empty', probe, () => JSON.stringify(left.slice(0, 5), null, 1) + server.child.output())
}

/** Every event logged so far. */
export async function events(server: Server): Promise<LoggedEvent[]> {
  const tail = await EventTail.open(server.dataDir, { holdBackMs: 0 })
  const found: LoggedEvent[] = []
  for (let lines = await tail.poll(); lines.length > 0; lines = await tail.poll()) {
    for (const { line } of lines) found.push(JSON.parse(line) as LoggedEvent)
  }
  tail.close()
  return found
}

/** Resolves with the first event that `matches` once there is one. */
export async function eventOf(
  server: Server,
  what: string,
  matches: (event: LoggedEvent) => boolean,
  ms: number = MS_MAX,
): Promise<LoggedEvent> {
  let all: LoggedEvent[] = []
  const probe = async (): Promise<LoggedEvent | undefined> => {
    all = await events(server)
    return all.find(matches)
  }
  return eventually(ms, what, probe, () => all.map((event) => JSON.stringify(event)).join('\n') + server.child.output())
}

/** Resolves once the log holds a line that matches. */
export async function logs(server: Server, pattern: RegExp, ms: number = MS_MAX): Promise<string> {
  const probe = (): string | undefined => server.child.stderr.split('\n').find((line) => pattern.test(line))
  return eventually(ms, `the log says ${pattern}`, probe, () => server.child.output())
}

/** Anonymous memory of the process in MB: what mapped files and the page cache do not count towards. */
export function anonymousMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const kb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
  return (kb('RssAnon') + kb('RssShmem')) / 1024
}

/** Sockets that the process holds, listening ones included. */
export function openSockets(pid: number): number {
  let count = 0
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${name}`).startsWith('socket:')) count++
    } catch {
      // Closed since it was listed.
    }
  }
  return count
}
