// Questions to a running server over its control socket, without a process for each.

import { askServer } from '../../src/cli/control.ts'
import type { QueueLine } from '../../src/admin/queue-rows.ts'
import type { Explanation } from '../../src/cli/explain.ts'
import type { Server } from './server.ts'
import { eventually } from './wait.ts'

const STATE_MS = 15_000

/** All rows of the answer. */
export async function ask<Row>(server: Server, verb: string, args: Readonly<Record<string, unknown>> = {}): Promise<Row[]> {
  const rows: Row[] = []
  await askServer({ dataDir: server.dataDir, verb, args }, (row) => void rows.push(row as Row))
  return rows
}

export function queueList(server: Server, filter: Readonly<Record<string, string>> = {}): Promise<QueueLine[]> {
  return ask<QueueLine>(server, 'queue.list', filter)
}

/** Resolves with the queue's lines once the condition holds for them. */
export async function queueBecomes(
  server: Server,
  what: string,
  condition: (lines: readonly QueueLine[]) => boolean,
  filter: Readonly<Record<string, string>> = {},
): Promise<QueueLine[]> {
  let lines: QueueLine[] = []
  const probe = async (): Promise<QueueLine[] | undefined> => {
    lines = await queueList(server, filter)
    return condition(lines) ? lines : undefined
  }
  return eventually(STATE_MS, what, probe, () => `${JSON.stringify(lines)}\n${server.child.output()}`)
}

/** Resolves with the lines once there are `count`, each tried once and put off, and the scheduler knows of it. */
export function queueIsTried(server: Server, count: number, filter: Readonly<Record<string, string>> = {}): Promise<QueueLine[]> {
  const isPutOff = ({ attempts, state }: QueueLine): boolean => attempts === 1 && state !== 'active'
  return queueBecomes(server, `${count} are put off`, (lines) => lines.length === count && lines.every(isPutOff), filter)
}

export function queueIsEmpty(server: Server): Promise<unknown> {
  return queueBecomes(server, 'the queue is empty', (lines) => lines.length === 0)
}

/** The explanation of a message with one routing domain. */
export async function explanation(server: Server, id: string): Promise<Explanation> {
  const rows = await ask<Explanation>(server, 'explain', { id })
  if (rows.length !== 1) throw new Error(`${rows.length} explanations of ${id}`)
  return rows[0] as Explanation
}
