// rohrpost sink: a fast receiving server with scripted answers, to see and measure what is sent.

import type { TLSSocketOptions } from 'node:tls'
import { systemClock } from '../lib/clock.ts'
import { ListenError } from '../net/listen-error.ts'
import { serverOptions } from '../net/tls-context.ts'
import { makeSelfSigned } from '../net/tls-self-signed.ts'
import { CliError, ExitCode, usageError } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { fieldValue, headerFields, queueId } from './sink/head.ts'
import { STAGES, Script, parseReply } from './sink/script.ts'
import { SINK_KEYWORDS, type SunkMessage } from './sink/session.ts'
import { SINK_TLS, SinkServer } from './sink/server.ts'
import type { SinkCounts, SinkTls, SunkPeer } from './sink/server.ts'
import { printable } from './table.ts'

const DEFAULT_PORT = '2526'
const SECOND_MS = 1000

export const sink: Command = {
  name: 'sink',
  summary: 'Receive mail by SMTP or LMTP and show it, with scripted answers',
  usage: '[--port N] [--reply CODE:SHARE …]',
  options: {
    port: { type: 'string', value: 'N', help: `port to listen on (default ${DEFAULT_PORT}, 0 picks a free one)` },
    host: { type: 'string', value: 'ADDRESS', help: 'address to listen on (default 127.0.0.1)' },
    lmtp: { type: 'boolean', help: 'speak LMTP' },
    tls: { type: 'string', value: 'MODE', help: 'starttls, implicit, or broken: offers STARTTLS, then speaks something else' },
    reply: { type: 'string', value: 'CODE:SHARE', multiple: true, help: 'answer a share with this code: 451:0.1, 550:5%; may be repeated' },
    stage: { type: 'string', value: 'STAGE', help: 'what --reply and --delay are for: mail, rcpt, data or dot (default dot)' },
    delay: { type: 'string', value: 'MS', help: 'wait before each answer at the stage' },
    seed: { type: 'string', value: 'N', help: 'which commands the shares hit (default 1)' },
    without: { type: 'string', value: 'KEYWORD', multiple: true, help: 'do not announce this extension; may be repeated' },
    'slow-read': { type: 'boolean', help: 'read 1 KB every 100 ms' },
    count: { type: 'string', value: 'N', help: 'end after N messages' },
    full: { type: 'boolean', help: 'with --json: header fields, parameters of MAIL and RCPT, the client' },
    quiet: { type: 'boolean', help: 'no line for each message' },
  },
  exits: { busy: 'the port is in use' },
  details: [
    'One received message a line on standard output. With --json: time, from, to, bytes, id (the queue id in the topmost',
    'Received field), messageId, subject. The summary at the end goes to standard error.',
  ].join('\n'),
  async run(context: CommandContext): Promise<number> {
    const plan = planOf(context)
    return new SinkRun(context, plan).run()
  },
}

interface Plan {
  readonly host: string
  readonly port: number
  readonly tls: SinkTls
  readonly script: Script
  readonly lmtp: boolean
  readonly without: ReadonlySet<string>
  readonly slowRead: boolean
  /** Infinity without --count. */
  readonly count: number
  readonly quiet: boolean
  readonly full: boolean
}

function planOf(context: CommandContext): Plan {
  const replies = context.texts('reply').map((text) => {
    const reply = parseReply(text)
    if (!reply.ok) throw usageError(`--reply ${reply.error}`)
    return reply.value
  })
  if (replies.reduce((sum, { share }) => sum + share, 0) > 1 + 1e-9) throw usageError('--reply: the shares are more than 1 together')
  const stage = word(context, 'stage', STAGES, 'dot')
  return {
    host: context.text('host') ?? '127.0.0.1',
    port: count(context, 'port', DEFAULT_PORT, 65_535),
    tls: word(context, 'tls', SINK_TLS, 'off'),
    script: new Script(stage, replies, count(context, 'delay', '0', 86_400_000), count(context, 'seed', '1', 0xffffffff)),
    lmtp: context.flag('lmtp'),
    without: new Set(context.texts('without').map(keyword)),
    slowRead: context.flag('slow-read'),
    count: context.text('count') === undefined ? Infinity : count(context, 'count', '1', 1e12, 1),
    quiet: context.flag('quiet'),
    full: context.flag('full'),
  }
}

function keyword(text: string): string {
  const found = SINK_KEYWORDS.find((candidate) => candidate === text.toUpperCase())
  if (found === undefined) throw usageError(`--without ${text}: the sink announces ${SINK_KEYWORDS.join(', ')}`)
  return found
}

function word<T extends string>(context: CommandContext, option: string, words: readonly T[], fallback: T): T {
  const value = context.text(option) ?? fallback
  const found = words.find((candidate) => candidate === value)
  if (found === undefined) throw usageError(`--${option} is one of ${words.join(', ')}`)
  return found
}

function count(context: CommandContext, option: string, fallback: string, max: number, min = 0): number {
  const text = context.text(option) ?? fallback
  if (!/^\d{1,16}$/.test(text) || Number(text) > max || Number(text) < min)
    throw usageError(`--${option} is a number from ${min} to ${max}`)
  return Number(text)
}

class SinkRun {
  readonly #context: CommandContext
  readonly #plan: Plan
  #server: SinkServer | undefined
  #done: (() => void) | undefined

  constructor(context: CommandContext, plan: Plan) {
    this.#context = context
    this.#plan = plan
  }

  async run(): Promise<number> {
    const { plan, context } = { plan: this.#plan, context: this.#context }
    const server = new SinkServer({
      clock: systemClock,
      settings: {
        lmtp: plan.lmtp,
        starttls: plan.tls === 'starttls' || plan.tls === 'broken',
        keepsHead: !plan.quiet,
        without: plan.without,
        script: plan.script,
      },
      tls: plan.tls,
      tlsOptions: await tlsOptions(plan.tls),
      slowRead: plan.slowRead,
      received: (message, peer) => this.#received(message, peer),
    })
    this.#server = server
    const done = new Promise<void>((resolve) => {
      this.#done = resolve
    })
    context.signal.addEventListener('abort', () => this.#done?.(), { once: true })
    const startedAt = context.clock.mono()
    await this.#open(server)
    if (context.err.isTerminal) this.#progress(server.counts, { ...server.counts })
    await done
    await server.close()
    await context.err.line(summaryLine(server.counts, context.clock.mono() - startedAt))
    return ExitCode.ok
  }

  async #open(server: SinkServer): Promise<void> {
    const { host, port } = this.#plan
    try {
      const bound = await server.listen(host, port)
      await this.#context.err.line(`rohrpost sink listens on ${host.includes(':') ? `[${host}]` : host}:${bound}`)
    } catch (error) {
      const cause = new ListenError({ host, port }, error as NodeJS.ErrnoException)
      throw new CliError(cause.code === 'EADDRINUSE' ? ExitCode.busy : ExitCode.usage, cause.message)
    }
  }

  #received(message: SunkMessage, peer: SunkPeer): void {
    const { count: wanted, quiet, full } = this.#plan
    const { out, clock, json } = this.#context
    if (!quiet) {
      const time = new Date(clock.now()).toISOString()
      const record = recordOf(message, time)
      out.put(json ? `${JSON.stringify(full ? { ...record, ...fullOf(message, peer) } : record)}\n` : `${textLine(record)}\n`)
    }
    if ((this.#server as SinkServer).counts.messages >= wanted) this.#done?.()
  }

  /** A line a second on a terminal. */
  #progress(counts: SinkCounts, before: SinkCounts): void {
    this.#context.clock.after(SECOND_MS, () => {
      if (counts.messages !== before.messages) {
        this.#context.err.put(`${counts.messages - before.messages} messages/s, ${counts.messages} in all, ${counts.refused} refused\n`)
      }
      this.#progress(counts, { ...counts })
    })
  }
}

async function tlsOptions(mode: SinkTls): Promise<TLSSocketOptions | undefined> {
  if (mode === 'off' || mode === 'broken') return undefined
  const fallback = await makeSelfSigned('localhost', systemClock.now())
  const ticketKeys = crypto.getRandomValues(new Uint8Array(48))
  return serverOptions({ fallback, names: [], minVersion: 'TLSv1.2', clientCa: '', ticketKeys })
}

interface SunkRecord {
  readonly time: string
  readonly from: string
  readonly to: readonly string[]
  readonly bytes: number
  readonly id: string
  readonly messageId: string
  readonly subject: string
}

function recordOf(message: SunkMessage, time: string): SunkRecord {
  const fields = headerFields(message.head)
  return {
    time,
    from: message.from,
    to: message.to.map(({ address }) => address),
    bytes: message.bytes,
    id: queueId(fields),
    messageId: fieldValue(fields, 'message-id'),
    subject: fieldValue(fields, 'subject'),
  }
}

function fullOf(message: SunkMessage, peer: SunkPeer): object {
  return {
    client: peer.address,
    tls: peer.tls,
    hello: message.hello,
    mailParameters: message.mailParameters,
    rcptParameters: message.to.map(({ parameters }) => parameters),
    headers: headerFields(message.head),
  }
}

const RECIPIENTS_SHOWN = 3

function textLine({ time, from, to, bytes, id, subject }: SunkRecord): string {
  const shown =
    to.length > RECIPIENTS_SHOWN ? `${to.slice(0, RECIPIENTS_SHOWN).join(', ')} and ${to.length - RECIPIENTS_SHOWN} more` : to.join(', ')
  return printable(`${time.slice(11, 23)}  ${id || '-'}  <${from}> to ${shown}  ${bytes} bytes  ${subject}`)
}

function summaryLine(counts: SinkCounts, elapsedMs: number): string {
  const rate = (counts.messages / Math.max(elapsedMs / 1000, 0.001)).toFixed(1)
  const { messages, recipients, bytes, refused, connections } = counts
  return `sink: ${messages} messages (${rate}/s), ${recipients} recipients, ${bytes} bytes, ${refused} refused, ${connections} connections`
}
