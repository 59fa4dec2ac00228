// All commands, in the order of help.

import { accountCommands } from './account.ts'
import { checkConfig } from './check-config.ts'
import { checkSpool } from './check-spool.ts'
import type { Command } from './command.ts'
import { debugThrow } from './debug-throw.ts'
import { eventsTail } from './events-tail.ts'
import { explain } from './explain.ts'
import { metrics } from './metrics.ts'
import { queueChanges, queueList, queueShow, queueSummary } from './queue.ts'
import { send } from './send.ts'
import { sink } from './sink.ts'
import { start } from './start.ts'
import { traceIn, traceOut } from './trace.ts'

export const COMMANDS: readonly Command[] = [
  start,
  checkConfig,
  checkSpool,
  queueSummary,
  queueList,
  queueShow,
  ...queueChanges,
  explain,
  eventsTail,
  traceIn,
  traceOut,
  metrics,
  ...accountCommands,
  send,
  sink,
  debugThrow,
]
