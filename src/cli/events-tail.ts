// rohrpost events tail: the event log, read from its files; no server is needed.

import type { EventTail, LoggedEvent } from '../spool/events.ts'
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
  exits: { findings: 'there is no spool', ...CONFIG_EXITS },
  details: 'Events are written at least once: who keeps them takes (type, id, recipient, attempt) as their key.',
  async run(context: CommandContext): Promise<number> {
    const follow = context.flag('follow')
    const from = firstOffset(context)
    const { dataDir } = await loadForClient(context)
    const tail = await openTail(dataDir, { from: from ?? (follow ? 'end' : 0), ...(!follow && { holdBackMs: 0 }) })
    try {
      if (follow) await printFollowing(context, tail)
      else await printAll(context, tail)
    } finally {
      tail.close()
    }
    return ExitCode.ok
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

async function printAll(context: CommandContext, tail: EventTail): Promise<void> {
  for (let lines = await tail.poll(); lines.length > 0; lines = await tail.poll()) {
    for (const { line } of lines) await print(context, line)
  }
}

async function printFollowing(context: CommandContext, tail: EventTail): Promise<void> {
  context.signal.addEventListener('abort', () => tail.close(), { once: true })
  for await (const { line } of tail.follow()) await print(context, line)
}

function print(context: CommandContext, line: string): Promise<void> {
  return context.out.line(context.json ? line : eventText(JSON.parse(line) as LoggedEvent))
}

function eventText(event: LoggedEvent): string {
  const { time, type, id, recipient, source, site, code, enhanced, reply } = event
  const answer = [code > 0 ? code : '', enhanced, reply].filter((part) => part !== '').join(' ')
  const place = type === 'rejection' ? [source && `from ${source}`, site && `rule ${site}`] : [site && `at ${site}`]
  const parts = [time, type.padEnd(9), id || '-', recipient && `<${recipient}>`, ...place, answer]
  return printable(parts.filter((part) => part !== '').join('  '))
}
