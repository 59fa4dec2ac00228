// rohrpost check config: reads a configuration as `start` would, and says what it means.

import { resolve } from 'node:path'
import type { Config } from '../config/schema.ts'
import { parseTarget } from '../config/target.ts'
import { formatDuration } from '../config/units.ts'
import { ExitCode } from './command.ts'
import type { Command, CommandContext } from './command.ts'

export const checkConfig: Command = {
  name: 'check config',
  summary: 'Check the configuration and print what it amounts to',
  usage: '[--config FILE]',
  options: {},
  exits: { config: 'mistakes, each on a line of its own' },
  details: 'Nothing is written.',
  async run(context: CommandContext): Promise<number> {
    const { loadConfig } = await import('../config/load.ts')
    const { ConfigError } = await import('../config/problems.ts')
    try {
      const config = await loadConfig(context.configFile)
      const warnings = [...warningsOf(config), ...(await tlsWarnings(config, context))]
      await print(context, config, warnings)
      return ExitCode.ok
    } catch (error) {
      if (!(error instanceof ConfigError) || !context.json) throw error
      for (const problem of error.problems) await context.out.json(problem)
      return ExitCode.config
    }
  },
}

async function tlsWarnings(config: Config, context: CommandContext): Promise<string[]> {
  const { checkCertificates, TlsError } = await import('../net/tls.ts')
  const { ConfigError } = await import('../config/problems.ts')
  try {
    return await checkCertificates(config, context.clock.now())
  } catch (error) {
    if (!(error instanceof TlsError)) throw error
    throw new ConfigError(context.configFile && resolve(context.configFile), [{ path: 'tls', text: error.message }])
  }
}

/** What is allowed, but should not stay so where others can reach it. */
function warningsOf(config: Config): string[] {
  const warnings: string[] = []
  const open = config.listeners.filter(({ host }) => !host.startsWith('127.') && host !== '::1').map(({ name }) => name)
  if (config.allowPlaintextAuth && open.length > 0)
    warnings.push(`allowPlaintextAuth: passwords cross the network readable at ${open.join(', ')}`)
  if (config.accounts.length > 0) warnings.push('accounts: passwords stand in the configuration; `rohrpost account add` keeps only hashes')
  if (config.allowHosts.length > 0) warnings.push('allowHosts: foreign MX records can point deliveries at these hosts')
  if (config.mxPort !== 25) warnings.push(`mxPort: mail exchangers listen on 25, not ${config.mxPort}`)
  return warnings
}

async function print(context: CommandContext, config: Config, warnings: readonly string[]): Promise<void> {
  if (context.json) return context.out.json({ ...presentable(config), warnings })
  for (const [title, lines] of summaryOf(config)) {
    for (const [i, line] of lines.entries()) await context.out.line(`${(i === 0 ? title : '').padEnd(12)}${line}`)
  }
  for (const warning of warnings) await context.err.line(`warning: ${warning}`)
}

/** The configuration without its secrets. */
function presentable(config: Config): object {
  return {
    ...config,
    routes: config.routes.map(({ domain, to }) => ({ domain, to: withoutPassword(to) })),
    domains: config.domains.map(({ name, deliverTo }) => ({ name, deliverTo: deliverTo.map(withoutPassword) })),
    accounts: config.accounts.map(({ password: _, ...account }) => account),
    oauth: config.oauth && { ...config.oauth, clientSecret: config.oauth.clientSecret === '' ? '' : '…' },
  }
}

function withoutPassword(target: string): string {
  const parsed = parseTarget(target)
  return parsed.ok ? parsed.value.key : target
}

function summaryOf(config: Config): [title: string, lines: string[]][] {
  const { threads, retry } = config
  const domains = config.domains.map(({ name, deliverTo }) => `${name} to ${deliverTo.map(withoutPassword).join(', then ')}`)
  return [
    ['hostname', [config.hostname]],
    ['data', [config.dataDir]],
    ['threads', [`${threads.net} net, ${threads.deliver} deliver, ${threads.inspect} inspect`]],
    ['certificate', [config.tls.files?.cert ?? 'self-signed, made on the first start']],
    [
      'listeners',
      config.listeners.map(({ name, protocol, host, port, tls }) => `${name}: ${protocol} on ${host} port ${port}, TLS ${tls}`),
    ],
    ['relays for', [config.relayFrom.length > 0 ? config.relayFrom.join(', ') : 'authenticated clients only']],
    ['domains', domains.length > 0 ? domains : ['none']],
    ['routes', config.routes.map(({ domain, to }) => `${domain} to ${withoutPassword(to)}`)],
    [
      'retries',
      [`after ${formatDuration(retry.firstMs)}, doubling to ${formatDuration(retry.maxMs)}, until ${formatDuration(retry.expireMs)}`],
    ],
  ]
}
