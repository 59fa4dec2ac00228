// The queue as it lies in the spool, for commands that run without a server. Read-only.

import { iso, lastReplyIn, linesOf, splitHistory, matchesEnvelope, matchesGroup, matchesLine, storedOverlay } from '../admin/queue-rows.ts'
import type { QueueFilter, QueueLine } from '../admin/queue-rows.ts'
import { EventTail } from '../spool/events.ts'
import { idFromText } from '../spool/ids.ts'
import { SpoolFormatError } from '../spool/layout.ts'
import { SpoolReader } from '../spool/reader.ts'
import { waitingIn } from '../spool/types.ts'
import { CliError, ExitCode } from './command.ts'
import type { Explanation } from './explain.ts'

async function openSpool(dataDir: string): Promise<SpoolReader> {
  try {
    return await SpoolReader.open(dataDir)
  } catch (error) {
    if (!(error instanceof SpoolFormatError)) throw error
    throw new CliError(ExitCode.notRunning, `no server is running, and ${error.message}`)
  }
}

/** The lines of `queue list`, as far as the stored records tell. */
export async function* offlineLines(dataDir: string, filter: QueueFilter, now: number): AsyncGenerator<QueueLine> {
  const reader = await openSpool(dataDir)
  try {
    for (const group of reader.groups()) {
      const message = matchesGroup(filter, group) ? reader.message(group.id) : undefined
      if (!message || !matchesEnvelope(filter, message.envelope, now)) continue
      for (const line of linesOf(group, message.envelope, storedOverlay(group, now))) if (matchesLine(filter, line)) yield line
    }
  } finally {
    await reader.close()
  }
}

/** What `explain` can say without a server: one record a group that is left, or one for a message that is done. */
export async function offlineExplain(dataDir: string, id: string, now: number): Promise<Explanation[]> {
  const reader = await openSpool(dataDir)
  const tail = await EventTail.open(dataDir)
  try {
    // The queue first: what takes a group out of it was written to the log before.
    const groups = reader.groupsOf(idFromText(id))
    const history = await tail.historyOf(id)
    const { parts, rest } = splitHistory(groups, history)
    const done = { id, state: 'done', nextAttempt: '', binding: null, lastReply: lastReplyIn(rest), history: rest }
    const binding = { limit: 'server', value: 'not running', origin: dataDir }
    const waiting = groups.map((group, index) => {
      const { state, nextAttempt, site } = storedOverlay(group, now)
      const recipients = waitingIn(group).map(({ address }) => address)
      return {
        id,
        recipients,
        state,
        site,
        nextAttempt: iso(nextAttempt),
        binding,
        lastReply: group.lastReply,
        history: parts[index] ?? [],
      }
    })
    return rest.length === 0 ? waiting : [...waiting, done]
  } finally {
    tail.close()
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
