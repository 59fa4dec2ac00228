// rohrpost metrics: the counters of the running server.

import type { Command, CommandContext } from './command.ts'
import { askServer } from './control.ts'
import { CLIENT_EXITS, loadForClient } from './data-dir.ts'

export const metrics: Command = {
  name: 'metrics',
  summary: 'Print the counters of the running server in Prometheus text format',
  usage: '',
  options: {},
  exits: CLIENT_EXITS,
  details: 'The text is the same with --json.',
  async run(context: CommandContext): Promise<number> {
    const { dataDir } = await loadForClient(context)
    return askServer({ dataDir, verb: 'metrics', args: {} }, (row) => context.out.put(String(row)))
  },
}
