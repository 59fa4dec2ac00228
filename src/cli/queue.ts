// rohrpost queue …: looks at the queue and changes it. The server answers; without one, `list` and `summary` read the spool.

import { noAge, noId } from '../admin/queue-rows.ts'
import type { QueueFilter, QueueLine } from '../admin/queue-rows.ts'
import { parseDuration } from '../config/units.ts'
import { idFromText, idToText } from '../spool/ids.ts'
import { CliError, ExitCode, usageError } from './command.ts'
import type { Command, CommandContext, OptionSpec } from './command.ts'
import { askServer } from './control.ts'
import { CLIENT_EXITS, loadForClient } from './data-dir.ts'
import { objectTable } from './rows.ts'
import { printable, Table } from './table.ts'

const FILTERS: Readonly<Record<keyof QueueFilter, OptionSpec>> = {
  id: { type: 'string', value: 'ID', help: 'the message with this id' },
  domain: { type: 'string', value: 'DOMAIN', help: 'recipients in this domain' },
  sender: { type: 'string', value: 'ADDRESS', help: "messages of this sender; '' is the null sender" },
  recipient: { type: 'string', value: 'ADDRESS', help: 'this recipient' },
  tenant: { type: 'string', value: 'NAME', help: 'messages of this tenant' },
  site: { type: 'string', value: 'SITE', help: 'what goes to this site' },
  state: { type: 'string', value: 'STATE', help: 'scheduled, ready, active or held' },
  older: { type: 'string', value: 'AGE', help: 'messages accepted at least so long ago: 30m, 4h, 2d' },
}
/** What works without a server too, from the spool. */
const OFFLINE_EXITS = { ...CLIENT_EXITS, notRunning: 'no server is running, and there is no spool' }
const STATES: readonly string[] = ['scheduled', 'ready', 'active', 'held']

function filterOf(context: CommandContext): QueueFilter {
  const given = Object.keys(FILTERS).flatMap((name) => {
    const value = context.text(name)
    return value === undefined ? [] : [[name, value]]
  })
  const filter = Object.fromEntries(given) as QueueFilter
  if (filter.id !== undefined) checkId(filter.id)
  if (filter.state !== undefined && !STATES.includes(filter.state)) throw usageError(`--state is one of ${STATES.join(', ')}`)
  if (filter.older !== undefined && parseDuration(filter.older) === undefined) throw usageError(noAge(filter.older))
  return filter
}

export const queueList: Command = {
  name: 'queue list',
  summary: 'List the recipients that mail waits for',
  usage: '[FILTERS]',
  options: FILTERS,
  exits: OFFLINE_EXITS,
  details: 'One line a recipient. Works without a running server too: the spool is then read as it lies.',
  async run(context: CommandContext): Promise<number> {
    const filter = filterOf(context)
    const { dataDir } = await loadForClient(context)
    const printer = linePrinter(context)
    const onRow = (row: unknown): Promise<void> => printer.row(row as QueueLine)
    const code = await orOffline(
      () => askServer({ dataDir, verb: 'queue.list', args: { ...filter } }, onRow),
      async () => {
        const { offlineLines } = await import('./offline.ts')
        for await (const line of offlineLines(dataDir, filter, context.clock.now())) await printer.row(line)
        return ExitCode.ok
      },
    )
    await printer.end()
    return code
  },
}

export const queueSummary: Command = {
  name: 'queue summary',
  summary: 'Count what waits, by site and state',
  usage: '',
  options: {},
  exits: OFFLINE_EXITS,
  details: 'Without a running server the spool is counted as it lies, by routing domain.',
  async run(context: CommandContext): Promise<number> {
    const { dataDir } = await loadForClient(context)
    const table = objectTable(context)
    const code = await orOffline(
      () =>
        askServer({ dataDir, verb: 'queue.summary', args: {} }, (row) => table.row(context.json ? (row as object) : shown(row as object))),
      async () => {
        const { offlineSummary } = await import('./offline.ts')
        for (const row of await offlineSummary(dataDir, context.clock.now())) await table.row(row)
        return ExitCode.ok
      },
    )
    await table.end()
    return code
  },
}

export const queueShow: Command = {
  name: 'queue show',
  summary: 'Show a message: its envelope and its recipients',
  usage: 'ID',
  arguments: 1,
  options: {},
  exits: { findings: 'no such message is in the queue', ...CLIENT_EXITS },
  async run(context: CommandContext): Promise<number> {
    const id = onlyId(context)
    const { dataDir } = await loadForClient(context)
    return askServer({ dataDir, verb: 'queue.show', args: { id } }, async (row) => {
      if (context.json) return context.out.json(row)
      for (const [key, value] of Object.entries(row as object)) {
        const text = Array.isArray(value) ? value.join(' ') : String(value)
        if (text !== '') await context.out.line(`${key.padEnd(12)}${printable(text)}`)
      }
      await context.out.line('')
    })
  },
}

const TOGETHER = 'Recipients of one message in one domain are held, released and retried together.'
const DETAILS = {
  hold: TOGETHER,
  release: TOGETHER,
  retry: TOGETHER,
  remove: 'What is on its way may still arrive: hold it first.',
  bounce: 'What is on its way is left alone: hold it first.',
} as const

type Action = keyof typeof DETAILS

function changeCommand(action: Action, summary: string, done: string, options: Readonly<Record<string, OptionSpec>> = {}): Command {
  return {
    name: `queue ${action}`,
    summary,
    usage: 'FILTERS | --all',
    options: { ...FILTERS, all: { type: 'boolean', help: 'everything in the queue' }, ...options },
    exits: { findings: 'nothing was changed', ...CLIENT_EXITS },
    details: `Needs at least one filter. ${DETAILS[action]}`,
    async run(context: CommandContext): Promise<number> {
      const filter = filterOf(context)
      const all = context.flag('all')
      if (Object.keys(filter).length === 0 && !all) throw usageError(`queue ${action} needs a filter, or --all`)
      const { dataDir } = await loadForClient(context)
      const reason = options['reason'] ? context.text('reason') : undefined
      const args = { ...filter, ...(all && { all }), ...(reason !== undefined && { reason }) }
      return askServer({ dataDir, verb: `queue.${action}`, args }, (row) => {
        return context.json ? context.out.json(row) : context.out.line(told(row as Changed, done))
      })
    },
  }
}

interface Changed {
  readonly changed: number
  /** Of a bounce: what was left alone because it is on its way. */
  readonly active?: number
  /** Of a retry: what waits for its release first. */
  readonly held?: number
}

function told({ changed, active = 0, held = 0 }: Changed, done: string): string {
  if (held > 0) return `${changed} ${done}; ${held} held, to be tried when released`
  if (active > 0) return `${changed} ${done}; ${active} on their way were left alone`
  return `${changed} ${done}${changed > 0 ? '' : ': nothing matches, or all that does is so already'}`
}

export const queueChanges: readonly Command[] = [
  changeCommand('hold', 'Keep messages from being tried', 'held'),
  changeCommand('release', 'Let held messages go', 'released'),
  changeCommand('retry', 'Try messages now', 'to be tried now'),
  changeCommand('remove', 'Take messages out of the queue without a word to their senders', 'removed'),
  changeCommand('bounce', 'Give messages up and tell their senders', 'bounced', {
    reason: { type: 'string', value: 'TEXT', help: 'what their senders are told' },
  }),
]

/** The id that a command takes as its one argument, in the letters that it is stored in. */
export function onlyId(context: CommandContext): string {
  const [id] = context.positionals
  if (id === undefined) throw usageError('a message id is missing, as in "queued as ID"')
  checkId(id)
  return idToText(idFromText(id))
}

function checkId(id: string): void {
  if (idFromText(id) < 0) throw usageError(noId(id))
}

/** A row of the summary with its time as people read it. */
function shown(row: object): object {
  if (!('backoffUntil' in row) || typeof row.backoffUntil !== 'number') return row
  return { ...row, backoffUntil: row.backoffUntil > 0 ? new Date(row.backoffUntil).toISOString() : '' }
}

/** The server's answer, or what can be had without one. */
export async function orOffline(online: () => Promise<number>, offline: () => Promise<number>): Promise<number> {
  try {
    return await online()
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== ExitCode.notRunning || !error.message.startsWith('no server')) throw error
    return offline()
  }
}

function linePrinter(context: CommandContext): { row(line: QueueLine): Promise<void>; end(): Promise<void> } {
  if (context.json) return { row: (line) => context.out.json(line), end: () => Promise.resolve() }
  const titles = ['id', 'sender', 'recipient', 'site', 'state', 'tries', 'next', 'bytes', 'last reply']
  const table = new Table(
    context.out,
    titles.map((title) => ({ title, right: title === 'tries' || title === 'bytes' })),
  )
  return {
    row: ({ id, sender, recipient, site, state, attempts, nextAttempt, bytes, lastReply }) =>
      table.row([id, sender === '' ? '<>' : sender, recipient, site, state, attempts, nextAttempt || '-', bytes, lastReply]),
    end: () => table.end(),
  }
}
