// rohrpost account …: the directory of accounts. Works beside a running server, which sees a change at the next login.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { ACCOUNT_QUOTA_MAX } from '../config/limits.ts'
import { aliasPattern, newAccountName } from '../session/auth/account-name.ts'
import type { AccountDirectory } from '../session/auth/accounts.ts'
import type { Account, AccountQuota, Credentials } from '../session/auth/ports.ts'
import { parseMailbox } from '../wire/smtp/path.ts'
import { CliError, ExitCode, usageError } from './command.ts'
import type { Command, CommandContext, OptionSpec } from './command.ts'
import { CONFIG_EXITS, loadForClient } from './data-dir.ts'
import { readPassword } from './password.ts'
import { Table } from './table.ts'

const PASSWORD_STDIN: OptionSpec = { type: 'boolean', help: 'read the password from the first line of standard input' }

const PROPERTIES: Readonly<Record<string, OptionSpec>> = {
  alias: { type: 'string', multiple: true, value: 'PATTERN', help: 'address, or *@domain, that it may send as; repeatable' },
  'quota-messages': { type: 'string', value: 'N', help: 'messages an hour; 0 is no limit' },
  'quota-recipients': { type: 'string', value: 'N', help: 'recipients an hour; 0 is no limit' },
}

/** How a command ends that changes an account. */
const CHANGE_EXITS = { findings: 'there is no such account', ...CONFIG_EXITS }

const accountAdd: Command = {
  name: 'account add',
  summary: 'Add an account',
  usage: 'NAME [OPTIONS]',
  arguments: 1,
  exits: { findings: 'there is one of that name already', ...CONFIG_EXITS },
  options: { 'password-stdin': PASSWORD_STDIN, ...PROPERTIES },
  details: 'NAME is an address. The password is asked for on the terminal, or read with --password-stdin.',
  async run(context: CommandContext): Promise<number> {
    const name = sendingName(onlyName(context))
    const aliases = aliasesOf(context)
    const quota = quotaOf(context, { messagesPerHour: 0, recipientsPerHour: 0 })
    return withDirectory(context, async (directory) => {
      if (directory.find(name)) throw new CliError(ExitCode.findings, `there is an account ${name} already`)
      const credentials = await newCredentials(context)
      const account: Account = { name, aliases, quota, disabled: false, createdAt: context.clock.now(), ...credentials }
      if (!(await directory.add(account))) throw new CliError(ExitCode.findings, `there is an account ${name} already`)
      await tell(context, name, 'added')
      return ExitCode.ok
    })
  },
}

const accountSet: Command = {
  name: 'account set',
  summary: 'Change what an account may do',
  usage: 'NAME [OPTIONS]',
  arguments: 1,
  exits: CHANGE_EXITS,
  options: {
    ...PROPERTIES,
    'no-aliases': { type: 'boolean', help: 'take all aliases away' },
    disable: { type: 'boolean', help: 'refuse its logins and its mail' },
    enable: { type: 'boolean', help: 'allow them again' },
  },
  details: '--alias replaces all aliases.',
  async run(context: CommandContext): Promise<number> {
    const name = onlyName(context)
    const change = changeOf(context)
    return withDirectory(context, async (directory, config) => {
      if (!(await directory.update(name, change))) throw unknownAccount(name, config)
      await tell(context, name, 'changed')
      return ExitCode.ok
    })
  },
}

const accountPasswd: Command = {
  name: 'account passwd',
  summary: 'Set a new password',
  usage: 'NAME [--password-stdin]',
  arguments: 1,
  exits: CHANGE_EXITS,
  options: { 'password-stdin': PASSWORD_STDIN },
  async run(context: CommandContext): Promise<number> {
    const name = onlyName(context)
    return withDirectory(context, async (directory, config) => {
      if (!directory.find(name)) throw unknownAccount(name, config)
      const credentials = await newCredentials(context)
      if (!(await directory.update(name, (account) => ({ ...account, ...credentials })))) throw unknownAccount(name, config)
      await tell(context, name, 'changed')
      return ExitCode.ok
    })
  },
}

const accountRemove: Command = {
  name: 'account remove',
  summary: 'Remove an account',
  usage: 'NAME',
  arguments: 1,
  exits: CHANGE_EXITS,
  options: {},
  details: 'Its mail in the queue still goes out.',
  async run(context: CommandContext): Promise<number> {
    const name = onlyName(context)
    return withDirectory(context, async (directory, config) => {
      if (!directory.find(name) || !(await directory.remove(name))) throw unknownAccount(name, config)
      await tell(context, name, 'removed')
      return ExitCode.ok
    })
  },
}

const accountList: Command = {
  name: 'account list',
  summary: 'List accounts',
  usage: '',
  options: {},
  exits: CONFIG_EXITS,
  details: 'Those of the configuration too, which are for trials. Passwords are not shown: nobody has them.',
  async run(context: CommandContext): Promise<number> {
    const { dataDir, accounts } = await loadForClient(context)
    const printer = linePrinter(context)
    const known = new Set<string>()
    const { AccountDirectory, accountsPath } = await import('../session/auth/accounts.ts')
    if (existsSync(join(accountsPath(dataDir), 'data.mdb'))) {
      const directory = await AccountDirectory.open(accountsPath(dataDir), 'read')
      for (const account of directory.all()) {
        known.add(account.name)
        await printer.row(lineOf(account, 'directory'))
      }
      await directory.close()
    }
    for (const account of accounts) {
      if (!known.has(account.name)) await printer.row(lineOf({ ...account, disabled: false, createdAt: 0 }, 'configuration'))
    }
    await printer.end()
    return ExitCode.ok
  },
}

export const accountCommands: readonly Command[] = [accountAdd, accountList, accountSet, accountPasswd, accountRemove]

/** A line of `account list --json`. */
interface AccountLine {
  readonly name: string
  readonly aliases: readonly string[]
  readonly messagesPerHour: number
  readonly recipientsPerHour: number
  readonly disabled: boolean
  /** ISO 8601; '' for accounts of the configuration. */
  readonly createdAt: string
  readonly origin: 'directory' | 'configuration'
}

function lineOf(account: Omit<Account, keyof Credentials>, origin: AccountLine['origin']): AccountLine {
  const { name, aliases, quota, disabled, createdAt } = account
  return { name, aliases, ...quota, disabled, createdAt: createdAt === 0 ? '' : new Date(createdAt).toISOString(), origin }
}

function linePrinter(context: CommandContext): { row(line: AccountLine): Promise<void>; end(): Promise<void> } {
  if (context.json) return { row: (line) => context.out.json(line), end: () => Promise.resolve() }
  const titles = ['name', 'messages/h', 'recipients/h', 'state', 'created', 'origin', 'aliases']
  const table = new Table(
    context.out,
    titles.map((title) => ({ title, right: title.endsWith('/h') })),
  )
  return {
    row: ({ name, aliases, messagesPerHour, recipientsPerHour, disabled, createdAt, origin }) => {
      const state = disabled ? 'disabled' : 'enabled'
      return table.row([name, messagesPerHour || '-', recipientsPerHour || '-', state, createdAt || '-', origin, aliases.join(' ')])
    },
    end: () => table.end(),
  }
}

async function tell(context: CommandContext, name: string, done: string): Promise<void> {
  await (context.json ? context.out.json({ name, done }) : context.out.line(`${name} ${done}`))
}

function unknownAccount(name: string, { accounts }: Config): CliError {
  const elsewhere = accounts.some((account) => account.name === name) ? '; it stands in the configuration: change it there' : ''
  return new CliError(ExitCode.findings, `there is no account ${name} in the directory${elsewhere}`)
}

async function withDirectory(
  context: CommandContext,
  use: (directory: AccountDirectory, config: Config) => Promise<number>,
): Promise<number> {
  const config = await loadForClient(context)
  const { AccountDirectory, accountsPath } = await import('../session/auth/accounts.ts')
  const directory = await AccountDirectory.open(accountsPath(config.dataDir), 'write')
  try {
    return await use(directory, config)
  } finally {
    await directory.close()
  }
}

function changeOf(context: CommandContext): (account: Account) => Account {
  const aliases = aliasesOf(context)
  const noAliases = context.flag('no-aliases')
  const [disable, enable] = [context.flag('disable'), context.flag('enable')]
  if (noAliases && aliases.length > 0) throw usageError('--alias and --no-aliases contradict each other')
  if (disable && enable) throw usageError('--disable and --enable contradict each other')
  const hasQuota = context.text('quota-messages') !== undefined || context.text('quota-recipients') !== undefined
  if (!noAliases && aliases.length === 0 && !disable && !enable && !hasQuota) throw usageError('account set needs something to change')
  return (account) => ({
    ...account,
    aliases: noAliases || aliases.length > 0 ? aliases : account.aliases,
    quota: quotaOf(context, account.quota),
    disabled: disable || (account.disabled && !enable),
  })
}

function onlyName(context: CommandContext): string {
  const [text] = context.positionals
  if (text === undefined) throw usageError('the name of the account is missing; it is an address such as anna@example.org')
  const name = newAccountName(text)
  if (name === undefined) throw usageError(`not an address: ${text}; accounts are called such as anna@example.org`)
  return name
}

/** The name of a new account must be an address as MAIL takes it (RFC 5321 §4.1.2): under another it could never send. */
function sendingName(name: string): string {
  const buf = Buffer.from(name, 'utf8')
  const mailbox = parseMailbox({ buf, start: 0, end: buf.length })
  if (!mailbox.ok) throw usageError(`not an address: ${name}: ${mailbox.error}`)
  return name
}

function aliasesOf(context: CommandContext): string[] {
  return context.texts('alias').map((text) => {
    const pattern = aliasPattern(text)
    if (pattern === undefined) throw usageError(`--alias takes an address or *@domain, not ${text}`)
    return pattern
  })
}

function quotaOf(context: CommandContext, before: AccountQuota): AccountQuota {
  return {
    messagesPerHour: countOf(context, 'quota-messages') ?? before.messagesPerHour,
    recipientsPerHour: countOf(context, 'quota-recipients') ?? before.recipientsPerHour,
  }
}

function countOf(context: CommandContext, option: string): number | undefined {
  const text = context.text(option)
  if (text === undefined) return undefined
  if (!/^\d{1,7}$/.test(text) || Number(text) > ACCOUNT_QUOTA_MAX)
    throw usageError(`--${option} takes a number up to ${ACCOUNT_QUOTA_MAX}, not ${text}`)
  return Number(text)
}

async function newCredentials(context: CommandContext): Promise<Credentials> {
  const password = await readPassword(context)
  const { prepareStored } = await import('../wire/sasl/text.ts')
  const { deriveCredentials } = await import('../session/auth/password-hash.ts')
  const prepared = prepareStored(password)
  if (prepared === undefined) throw new CliError(ExitCode.usage, 'the password is empty or has characters that SASLprep forbids (RFC 4013)')
  return deriveCredentials(prepared)
}
