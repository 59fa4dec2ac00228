// rohrpost send: hands one message to a server, to try it.

import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { CliError, ExitCode, usageError } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { Dialogue } from './send/dialogue.ts'
import type { Reply } from './send/dialogue.ts'
import { composeMessage, encodeForData, hasEightBit, withLineEnds } from './send/message.ts'
import { printable } from './table.ts'

const PORT_MAX = 65_535
const TLS_MODES = ['auto', 'off', 'starttls', 'implicit'] as const
type TlsMode = (typeof TLS_MODES)[number]

export const send: Command = {
  name: 'send',
  summary: 'Hand a message to a server',
  usage: '--from ADDRESS --to ADDRESS [--body TEXT | --file FILE]',
  options: {
    server: { type: 'string', value: 'HOST:PORT', help: 'default 127.0.0.1:2525' },
    from: { type: 'string', value: 'ADDRESS', help: "envelope sender; '' is the null sender" },
    to: { type: 'string', value: 'ADDRESS', multiple: true, help: 'recipient; may be repeated' },
    subject: { type: 'string', value: 'TEXT', help: 'subject of the composed message' },
    body: { type: 'string', value: 'TEXT', help: 'text of the composed message' },
    file: { type: 'string', value: 'FILE', help: 'a whole message with its header; - is standard input' },
    tls: { type: 'string', value: 'MODE', help: 'auto: STARTTLS when offered, certificate unchecked; off; starttls; implicit' },
    insecure: { type: 'boolean', help: 'do not check certificates, and allow a password without TLS' },
    auth: { type: 'string', value: 'USER[:PASSWORD]', help: 'AUTH PLAIN; the password may stand in ROHRPOST_PASSWORD instead' },
    lmtp: { type: 'boolean', help: 'speak LMTP' },
  },
  exits: { findings: 'something was refused', notRunning: 'the server cannot be reached' },
  async run(context: CommandContext): Promise<number> {
    const plan = await planOf(context)
    const { host, port, tls } = plan
    const verifies = !context.flag('insecure') && (tls === 'starttls' || tls === 'implicit')
    const dialogue = await Dialogue.open({ host, port, verifies }, tls === 'implicit')
    try {
      return await new Sending(context, plan, dialogue).run()
    } finally {
      dialogue.close()
    }
  },
}

interface Plan {
  readonly host: string
  readonly port: number
  readonly tls: TlsMode
  readonly lmtp: boolean
  readonly from: string
  readonly to: readonly string[]
  readonly message: Buffer
  readonly auth: { readonly user: string; readonly password: string } | undefined
}

async function planOf(context: CommandContext): Promise<Plan> {
  const from = context.text('from')
  const to = context.texts('to')
  if (from === undefined) throw usageError('--from is missing')
  if (to.length === 0) throw usageError('--to is missing')
  for (const address of [from, ...to]) if (/[\p{Cc}<>]/u.test(address)) throw usageError(`not an address: ${address}`)
  const tls = TLS_MODES.find((mode) => mode === (context.text('tls') ?? 'auto'))
  if (tls === undefined) throw usageError(`--tls is one of ${TLS_MODES.join(', ')}`)
  const server = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(context.text('server') ?? '127.0.0.1:2525')
  const port = Number(server?.[3] ?? 25)
  if (!server || port < 1 || port > PORT_MAX) throw usageError('--server is HOST:PORT, such as 127.0.0.1:2525 or [::1]:25')
  const host = (server[1] ?? server[2]) as string
  const message = withLineEnds(await messageOf(context, from, to))
  return { host, port, tls, lmtp: context.flag('lmtp'), from, to, message, auth: authOf(context) }
}

function authOf(context: CommandContext): Plan['auth'] {
  const text = context.text('auth')
  if (text === undefined) return undefined
  const colon = text.indexOf(':')
  const password = colon < 0 ? process.env['ROHRPOST_PASSWORD'] : text.slice(colon + 1)
  if (password === undefined) throw usageError('--auth needs USER:PASSWORD, or the password in ROHRPOST_PASSWORD')
  return { user: colon < 0 ? text : text.slice(0, colon), password }
}

async function messageOf(context: CommandContext, from: string, to: readonly string[]): Promise<Buffer> {
  const file = context.text('file')
  for (const option of ['body', 'subject']) {
    if (file !== undefined && context.text(option) !== undefined) throw usageError(`--${option} and --file exclude each other`)
  }
  const now = context.clock.now()
  const subject = (context.text('subject') ?? 'A test').replace(/[\r\n]+/g, ' ')
  if (file === undefined) return composeMessage({ from, to, subject, body: context.text('body') ?? 'A test.', now })
  if (file === '-') return buffer(context.stdin)
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw usageError(`cannot read ${file}: ${error.code ?? error.message}`)
  })
}

class Sending {
  readonly #context: CommandContext
  readonly #plan: Plan
  readonly #dialogue: Dialogue
  #keywords = new Set<string>()

  constructor(context: CommandContext, plan: Plan, dialogue: Dialogue) {
    this.#context = context
    this.#plan = plan
    this.#dialogue = dialogue
  }

  async run(): Promise<number> {
    expect(await this.#dialogue.greeting(), 'the greeting')
    await this.#hello()
    await this.#secure()
    await this.#authenticate()
    return this.#transaction()
  }

  async #hello(): Promise<void> {
    const reply = expect(await this.#dialogue.ask(`${this.#plan.lmtp ? 'LHLO' : 'EHLO'} localhost`), 'EHLO')
    this.#keywords = new Set(reply.lines.slice(1).map((line) => line.split(' ', 1)[0]?.toUpperCase() ?? ''))
  }

  async #secure(): Promise<void> {
    const { tls } = this.#plan
    if (tls === 'off' || tls === 'implicit') return
    if (!this.#keywords.has('STARTTLS')) {
      if (tls === 'starttls') throw new CliError(ExitCode.findings, 'the server does not offer STARTTLS')
      return
    }
    expect(await this.#dialogue.ask('STARTTLS'), 'STARTTLS')
    await this.#dialogue.startTls()
    await this.#hello()
  }

  async #authenticate(): Promise<void> {
    const { auth } = this.#plan
    if (!auth) return
    if (!this.#dialogue.isSecure && !this.#context.flag('insecure')) {
      throw new CliError(ExitCode.findings, 'the connection has no TLS; a password goes over it only with --insecure')
    }
    const response = Buffer.from(`\0${auth.user}\0${auth.password}`).toString('base64')
    expect(await this.#dialogue.ask(`AUTH PLAIN ${response}`), 'AUTH')
  }

  async #transaction(): Promise<number> {
    const { from, to, message, lmtp } = this.#plan
    expect(await this.#dialogue.ask(`MAIL FROM:<${from}>${this.#mailParameters()}`), 'MAIL')
    const taken: string[] = []
    for (const address of to) {
      const reply = await this.#dialogue.ask(`RCPT TO:<${address}>`)
      if (reply.code < 300) taken.push(address)
      else await this.#report(address, reply)
    }
    if (taken.length === 0) return ExitCode.findings
    expect(await this.#dialogue.ask('DATA'), 'DATA', 354)
    this.#dialogue.write(encodeForData(message))
    let refused = to.length - taken.length
    for (const address of lmtp ? taken : [taken.join(', ')]) {
      const reply = await this.#dialogue.reply()
      if (reply.code >= 300) refused++
      await this.#report(address, reply)
    }
    // Everything is said: a server that is gone by now has taken the message all the same.
    await this.#dialogue.ask('QUIT').catch(() => undefined)
    return refused > 0 ? ExitCode.findings : ExitCode.ok
  }

  #mailParameters(): string {
    const { from, to, message } = this.#plan
    const size = this.#keywords.has('SIZE') ? ` SIZE=${message.length}` : ''
    const body = this.#keywords.has('8BITMIME') && hasEightBit(message) ? ' BODY=8BITMIME' : ''
    const utf8 = this.#keywords.has('SMTPUTF8') && hasEightBit(Buffer.from([from, ...to].join(''))) ? ' SMTPUTF8' : ''
    return size + body + utf8
  }

  async #report(recipients: string, reply: Reply): Promise<void> {
    const text = reply.lines.join(' ')
    const id = /queued as (\S+)/.exec(text)?.[1] ?? ''
    if (this.#context.json) await this.#context.out.json({ recipients, code: reply.code, reply: text, id })
    else await this.#context.out.line(printable(`${recipients}: ${reply.code} ${text}`))
  }
}

/** The reply, when it is what was hoped for; else the command ends. */
function expect(reply: Reply, what: string, code?: number): Reply {
  if (code === undefined ? reply.code >= 200 && reply.code < 300 : reply.code === code) return reply
  throw new CliError(ExitCode.findings, printable(`${what} was answered ${reply.code} ${reply.lines.join(' ')}`))
}
