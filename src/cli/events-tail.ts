// rohrpost events tail: the event log, read from its files; no server is needed.

import { parseEventLine } from '../spool/eventline.ts'
import type { EventLine, EventTail, LoggedEvent } from '../spool/events.ts'
import { CliError, ExitCode, usageError } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { CONFIG_EXITS, loadForClient } from './data-dir.ts'
import { printable } from './table.ts'

export const eventsTail: Command = {
  name: 'events tail',
  summary: 'Print what happened: receptions, deliveries, bounces, delays, rejections',
  usage: '[--from N] [--follow]',
  options: {
    from: { type: 'string', value: 'N', help: 'the first offset wanted (default: the oldest; with --follow only what is new)' },
    follow: { type: 'boolean', short: 'f', help: 'go on with what happens, until interrupted' },
  },
  exits: { findings: 'there is no spool, or an event is damaged', ...CONFIG_EXITS },
  details: 'Events are written at least once: who keeps them takes (type, id, recipient, attempt) as their key.',
  async run(context: CommandContext): Promise<number> {
    const follow = context.flag('follow')
    const from = firstOffset(context)
    const { dataDir } = await loadForClient(context)
    const tail = await openTail(dataDir, { from: from ?? (follow ? 'end' : 0), ...(!follow && { holdBackMs: 0 }) })
    if (follow) context.signal.addEventListener('abort', () => tail.close(), { once: true })
    let damaged = 0
    try {
      for await (const line of follow ? tail.follow() : written(tail)) if (!(await print(context, line))) damaged++
    } finally {
      tail.close()
    }
    return damaged > 0 ? ExitCode.findings : ExitCode.ok
  },
}

function firstOffset(context: CommandContext): number | undefined {
  const text = context.text('from')
  if (text !== undefined && !/^\d{1,16}$/.test(text)) throw usageError('--from is an offset: a number as in the field "offset"')
  return text === undefined ? undefined : Number(text)
}

async function openTail(dataDir: string, options: { from: number | 'end'; holdBackMs?: number }): Promise<EventTail> {
  const events = await import('../spool/events.ts')
  const { SpoolFormatError } = await import('../spool/layout.ts')
  return events.EventTail.open(dataDir, options).catch((error: unknown) => {
    throw error instanceof SpoolFormatError ? new CliError(ExitCode.findings, error.message) : error
  })
}

/** What is there already. */
async function* written(tail: EventTail): AsyncGenerator<EventLine> {
  for (let lines = await tail.poll(); lines.length > 0; lines = await tail.poll()) yield* lines
}

/** False when the line is damaged: readers of JSON must not meet it. */
async function print(context: CommandContext, { offset, line }: EventLine): Promise<boolean> {
  const event = parseEventLine(line)
  if (event) await context.out.line(context.json ? line : eventText(event))
  else await context.err.line(`rohrpost: the event at offset ${offset} is damaged and left out`)
  return event !== undefined
}

function eventText(event: LoggedEvent): string {
  const { time, type, id, recipient, source, site, code, enhanced, reply } = event
  const answer = [code > 0 ? code : '', enhanced, reply].filter((part) => part !== '').join(' ')
  const place = type === 'rejection' ? [source && `from ${source}`, site && `rule ${site}`] : [site && `at ${site}`]
  const parts = [time, type.padEnd(9), id || '-', recipient && `<${recipient}>`, ...place, answer]
  return printable(parts.filter((part) => part !== '').join('  '))
}
