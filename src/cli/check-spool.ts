// rohrpost check spool: reads everything that is queued and says what does not fit together.

import { formatSize } from '../config/units.ts'
import { CliError, ExitCode } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { CONFIG_EXITS, loadForClient } from './data-dir.ts'

export const checkSpool: Command = {
  name: 'check spool',
  summary: 'Verify the spool without changing it',
  usage: '[--config FILE]',
  options: {},
  exits: { findings: 'mail is or will be lost or stuck, or there is no spool', ...CONFIG_EXITS },
  details: [
    'Best done while no server runs: what changes meanwhile may look like a mistake. What a crash left and the next start',
    'cleans up is a notice.',
  ].join('\n'),
  async run(context: CommandContext): Promise<number> {
    const { dataDir } = await loadForClient(context)
    const check = await import('../spool/check.ts')
    const { noSpool, SpoolFormatError } = await import('../spool/layout.ts')
    const report = await check.checkSpool(dataDir).catch((error: unknown) => {
      throw error instanceof SpoolFormatError ? new CliError(ExitCode.findings, error.message) : error
    })
    const { findings, ...counts } = report
    if (counts.shards === 0) throw new CliError(ExitCode.findings, noSpool(dataDir).message)
    if (context.json) await context.out.json({ ...counts, findings })
    else {
      for (const { severity, shard, text } of findings) await context.out.line(`${severity}: shard ${shard}: ${text}`)
      const { shards, messages, groups, recipients, bytes, deadBytes } = counts
      await context.out.line(`${shards} shards, ${messages} messages in ${groups} groups to ${recipients} recipients`)
      await context.out.line(`${formatSize(bytes)} of bodies, ${formatSize(deadBytes)} to be reclaimed`)
    }
    return findings.some(({ severity }) => severity === 'error') ? ExitCode.findings : ExitCode.ok
  },
}
