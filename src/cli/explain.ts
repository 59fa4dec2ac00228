// rohrpost explain ID: why a message is where it is.

import type { Command, CommandContext } from './command.ts'
import { askServer } from './control.ts'
import { loadForClient } from './data-dir.ts'
import { onlyId } from './queue.ts'
import { printable } from './table.ts'

export const explain: Command = {
  name: 'explain',
  summary: 'Say why a message is not moving, and what happened to it',
  usage: 'ID',
  options: {},
  details: 'ID as in "250 2.0.0 queued as ID", in Received fields and in events. Answers one record a routing domain.',
  async run(context: CommandContext): Promise<number> {
    const id = onlyId(context)
    const { dataDir } = await loadForClient(context)
    return askServer({ dataDir, verb: 'explain', args: { id } }, async (row) => {
      if (context.json) return context.out.json(row)
      for (const line of explanationLines(row as Explanation)) await context.out.line(line)
    })
  },
}

/** A row of the verb `explain`; see admin/verbs.ts. */
interface Explanation {
  readonly state: string
  readonly site?: string
  readonly recipients?: readonly string[]
  readonly nextAttempt: string
  readonly binding: { readonly limit: string; readonly value: string; readonly origin: string } | null
  readonly lastReply: string
  readonly history: readonly HistoryEvent[]
}

interface HistoryEvent {
  readonly time: string
  readonly type: string
  readonly recipient: string
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
    ['held by', binding ? `${binding.limit} = ${binding.value} (${binding.origin})` : ''],
    ['next try', row.nextAttempt],
    ['last reply', row.lastReply],
  ]
  const known = facts.filter(([, value]) => value !== '').map(([title, value]) => `${title.padEnd(12)}${printable(value)}`)
  const history = row.history.map((event) => {
    const reply = [event.code > 0 ? event.code : '', event.enhanced, event.reply].filter((part) => part !== '').join(' ')
    return `  ${event.time}  ${event.type.padEnd(9)}  ${printable(`${event.recipient}  ${reply}`).trimEnd()}`
  })
  return history.length > 0 ? [...known, 'history', ...history, ''] : [...known, '']
}
