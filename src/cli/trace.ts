// rohrpost trace in|out: the live dialogue of sessions, until interrupted.

import type { Command, CommandContext } from './command.ts'
import { askServer } from './control.ts'
import { CLIENT_EXITS, loadForClient } from './data-dir.ts'
import { printable } from './table.ts'

function traceCommand(direction: 'in' | 'out', summary: string, matches: string): Command {
  return {
    name: `trace ${direction}`,
    summary,
    usage: '[--match TEXT]',
    options: { match: { type: 'string', value: 'TEXT', help: matches } },
    exits: CLIENT_EXITS,
    details: 'Shows each line with the milliseconds since the one before. What AUTH carries is blanked.',
    async run(context: CommandContext): Promise<number> {
      const { dataDir } = await loadForClient(context)
      const { signal } = context
      const before = new Map<string, number>()
      const match = context.text('match') ?? ''
      return askServer({ dataDir, verb: `trace.${direction}`, args: { match }, signal }, (row) =>
        context.json ? context.out.json(row) : context.out.line(traceLine(row as TraceRow, before)),
      )
    },
  }
}

export const traceIn: Command = traceCommand(
  'in',
  'Follow the dialogue of incoming sessions',
  'only sessions whose client is TEXT, or whose dialogue or account contains it',
)
export const traceOut: Command = traceCommand(
  'out',
  'Follow the dialogue of deliveries',
  'only deliveries whose site, tenant, addresses or replies contain TEXT',
)

/** A row of the verbs `trace.in` and `trace.out`. */
interface TraceRow {
  /** ISO 8601. */
  readonly time: string
  readonly connection: number | string
  readonly direction: 'in' | 'out' | 'note'
  readonly text: string
}

const MARKS = { in: '<', out: '>', note: '*' } as const
const SESSIONS_MAX = 10_000

function traceLine(row: TraceRow, before: Map<string, number>): string {
  const connection = String(row.connection)
  const at = Date.parse(row.time)
  const elapsed = at - (before.get(connection) ?? at)
  if (before.size > SESSIONS_MAX) before.clear()
  before.set(connection, at)
  return `${row.time.slice(11, 23)} ${`+${elapsed}`.padStart(7)} ${connection.padStart(6)} ${MARKS[row.direction]} ${printable(row.text)}`
}
