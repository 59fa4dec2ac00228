// The queue as it lies in the spool, for commands that run without a server. Read-only.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { linesOf, matchesGroup, matchesLine, storedOverlay } from '../admin/queue-rows.ts'
import type { QueueFilter, QueueLine } from '../admin/queue-rows.ts'
import { SpoolReader } from '../spool/reader.ts'
import { CliError, ExitCode } from './command.ts'

async function openSpool(dataDir: string): Promise<SpoolReader> {
  if (existsSync(join(dataDir, 'spool'))) return SpoolReader.open(dataDir)
  throw new CliError(ExitCode.notRunning, `no server is running, and there is no spool in ${dataDir}`)
}

/** The lines of `queue list`, as far as the stored records tell. */
export async function* offlineLines(dataDir: string, filter: QueueFilter, now: number): AsyncGenerator<QueueLine> {
  const reader = await openSpool(dataDir)
  try {
    for (const group of reader.groups()) {
      const message = matchesGroup(filter, group) ? reader.message(group.id) : undefined
      if (!message) continue
      for (const line of linesOf(group, message.envelope, storedOverlay(group, now))) if (matchesLine(filter, line)) yield line
    }
  } finally {
    await reader.close()
  }
}

/** What waits, by routing domain: sites are known to a running scheduler only. */
export interface StoredSummary {
  readonly domain: string
  scheduled: number
  ready: number
  active: number
  held: number
}

/** Groups by domain and state, the fullest domain first. */
export async function offlineSummary(dataDir: string, now: number): Promise<StoredSummary[]> {
  const reader = await openSpool(dataDir)
  const byDomain = new Map<string, StoredSummary>()
  try {
    for (const group of reader.groups()) {
      let summary = byDomain.get(group.domain)
      if (!summary) byDomain.set(group.domain, (summary = { domain: group.domain, scheduled: 0, ready: 0, active: 0, held: 0 }))
      summary[storedOverlay(group, now).state]++
    }
  } finally {
    await reader.close()
  }
  const total = ({ scheduled, ready, held }: StoredSummary): number => scheduled + ready + held
  return [...byDomain.values()].toSorted((a, b) => total(b) - total(a))
}
