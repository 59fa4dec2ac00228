// All commands, in the order of help.

import { checkConfig } from './check-config.ts'
import type { Command } from './command.ts'
import { debugThrow } from './debug-throw.ts'
import { explain } from './explain.ts'
import { metrics } from './metrics.ts'
import { queueChanges, queueList, queueShow, queueSummary } from './queue.ts'
import { sink } from './sink.ts'
import { start } from './start.ts'
import { traceIn, traceOut } from './trace.ts'

export const COMMANDS: readonly Command[] = [
  start,
  checkConfig,
  queueSummary,
  queueList,
  queueShow,
  ...queueChanges,
  explain,
  traceIn,
  traceOut,
  metrics,
  sink,
  debugThrow,
]
