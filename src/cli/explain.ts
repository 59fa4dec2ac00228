// rohrpost explain ID: why a message is where it is.

import { CliError, ExitCode } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { askServer } from './control.ts'
import { CLIENT_EXITS, loadForClient } from './data-dir.ts'
import { onlyId, orOffline } from './queue.ts'
import { printable } from './table.ts'

export const explain: Command = {
  name: 'explain',
  summary: 'Say why a message is not moving, and what happened to it',
  usage: 'ID',
  arguments: 1,
  options: {},
  exits: { findings: 'nothing is known of the message', ...CLIENT_EXITS, notRunning: 'no server is running, and there is no spool' },
  details: [
    'ID as in "250 2.0.0 queued as ID", in Received fields and in events. Answers one record a routing domain. Without a',
    'running server it tells what the spool and the event log know.',
  ].join('\n'),
  async run(context: CommandContext): Promise<number> {
    const id = onlyId(context)
    const { dataDir } = await loadForClient(context)
    const onRow = async (row: Explanation): Promise<void> => {
      if (context.json) return context.out.json(row)
      for (const line of explanationLines(row)) await context.out.line(line)
    }
    return orOffline(
      () => askServer({ dataDir, verb: 'explain', args: { id } }, (row) => onRow(row as Explanation)),
      async () => {
        const { offlineExplain } = await import('./offline.ts')
        const rows = await offlineExplain(dataDir, id, context.clock.now())
        if (rows.length === 0) throw new CliError(ExitCode.findings, `nothing is known of ${id}: not in the queue, and no event names it`)
        for (const row of rows) await onRow(row)
        return ExitCode.ok
      },
    )
  },
}

/** A row of the verb `explain`; see admin/verbs.ts. */
export interface Explanation {
  readonly id: string
  readonly state: string
  readonly site?: string
  readonly recipients?: readonly string[]
  /** ISO 8601, '' when there is none. */
  readonly nextAttempt: string
  readonly binding: { readonly limit: string; readonly value: string; readonly origin: string } | null
  readonly lastReply: string
  readonly history: readonly HistoryEvent[]
}

interface HistoryEvent {
  readonly time: string
  readonly type: string
  readonly recipient: string
  /** Where it was tried, '' when nowhere. */
  readonly site?: string
  readonly code: number
  readonly enhanced: string
  readonly reply: string
}

function explanationLines(row: Explanation): string[] {
  const { binding } = row
  const facts: [string, string][] = [
    ['state', row.state],
    ['site', row.site ?? ''],
    ['recipients', (row.recipients ?? []).join(', ')],
    ['waits for', binding ? `${binding.limit} = ${binding.value} (${binding.origin})` : ''],
    ['next try', row.nextAttempt],
    ['last reply', row.lastReply],
  ]
  const known = facts.filter(([, value]) => value !== '').map(([title, value]) => `${title.padEnd(12)}${printable(value)}`)
  const history = row.history.map((event) => {
    const reply = [event.code > 0 ? event.code : '', event.enhanced, event.reply].filter((part) => part !== '').join(' ')
    const site = event.site ? `at ${event.site}  ` : ''
    return `  ${event.time}  ${event.type.padEnd(9)}  ${printable(`${event.recipient}  ${site}${reply}`).trimEnd()}`
  })
  return history.length > 0 ? [...known, 'history', ...history, ''] : [...known, '']
}
