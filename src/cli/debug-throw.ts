// rohrpost debug throw THREAD: ends a thread as a bug would, to see that nothing is lost.

import { usageError } from './command.ts'
import type { Command, CommandContext } from './command.ts'
import { askServer } from './control.ts'
import { CLIENT_EXITS, loadForClient } from './data-dir.ts'

export const debugThrow: Command = {
  name: 'debug throw',
  summary: 'Make a thread of the running server die, as a bug would',
  usage: 'THREAD',
  arguments: 1,
  options: {},
  exits: CLIENT_EXITS,
  details:
    'Threads are named as in logs and metrics, such as net.1, deliver.1 or scheduler. The server restarts the thread; no mail is lost.',
  async run(context: CommandContext): Promise<number> {
    const [thread] = context.positionals
    if (thread === undefined) throw usageError('expected one thread, such as net.1')
    const { dataDir } = await loadForClient(context)
    return askServer({ dataDir, verb: 'debug.throw', args: { thread } }, () => undefined)
  },
}
