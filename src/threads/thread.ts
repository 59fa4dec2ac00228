// What every worker thread does the same: its channel to main, channels to peers, questions, its clock-driven duties.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { assert } from '../lib/assert.ts'
import { systemClock } from '../lib/clock.ts'
import { makeLog, type Log } from '../lib/log.ts'
import { ThreadMetrics } from '../lib/metrics.ts'
import { Channel } from './channel.ts'
import type { BoundListener, FromMain, ThreadData, ToMain } from './messages.ts'

const SECOND_MS = 1000
const LOOP_DELAY_RESOLUTION_MS = 20

/** How a thread answers a question: any number of rows, then one end. */
export interface Answer {
  row(row: unknown): void
  end(error?: string): void
  /** Calls `fn` when main cancels the question. */
  onCancel(fn: () => void): void
}

export interface ThreadDuties {
  peer(name: string, port: MessagePort): void
  reload(config: ThreadData['config']): void
  drain(): void
  stop(): void
  ask(verb: string, args: unknown, answer: Answer): void
  /** Once a second. */
  second(): void
}

export interface Thread {
  readonly data: ThreadData
  readonly log: Log
  readonly metrics: ThreadMetrics
  /** Connects the duties; messages of main are handled from now on. */
  run(duties: ThreadDuties): void
  up(listeners?: readonly BoundListener[]): void
  drained(): void
  /** Ends the thread once everything posted has left. */
  exit(): void
}

/** Makes the thread's side of what supervisor.ts started. Call once, first. */
export function thisThread(): Thread {
  assert(parentPort, 'a thread entry runs in a worker')
  const port = parentPort
  const data = workerData as ThreadData
  const log = makeLog(data.name, data.config.log)
  const metrics = new ThreadMetrics(data.metrics, data.name)
  let channel: Channel<ToMain, FromMain> | undefined
  const send = (message: ToMain): void => channel?.send(message)
  return {
    data,
    log,
    metrics,
    run: (duties) => {
      const cancels = new Map<number, () => void>()
      channel = new Channel<ToMain, FromMain>(port, (message) => dispatch(message, duties, cancels, send))
      everySecond(() => duties.second(), metrics)
    },
    up: (listeners = []) => send({ kind: 'thread.up', listeners }),
    drained: () => send({ kind: 'thread.drained' }),
    exit: () => {
      channel?.flush()
      process.exit(0)
    },
  }
}

function dispatch(message: FromMain, duties: ThreadDuties, cancels: Map<number, () => void>, send: (message: ToMain) => void): void {
  switch (message.kind) {
    case 'main.peer':
      duties.peer(message.name, message.port)
      break
    case 'main.reload':
      duties.reload(message.config)
      break
    case 'main.drain':
      duties.drain()
      break
    case 'main.stop':
      duties.stop()
      break
    case 'main.ask':
      duties.ask(message.verb, message.args, answerFor(message.request, cancels, send))
      break
    case 'main.cancel':
      cancels.get(message.request)?.()
      break
    case 'main.throw':
      throw new Error('this thread was asked to throw by `debug throw`')
  }
}

function answerFor(request: number, cancels: Map<number, () => void>, send: (message: ToMain) => void): Answer {
  return {
    row: (row) => send({ kind: 'thread.row', request, row }),
    end: (error) => {
      cancels.delete(request)
      send({ kind: 'thread.end', request, error })
    },
    onCancel: (fn) => cancels.set(request, fn),
  }
}

/** Calls `fn` once a second, and writes down how late the event loop of this thread is. */
export function everySecond(fn: () => void, metrics: ThreadMetrics): void {
  const delay = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS })
  delay.enable()
  const beat = (): void => {
    // The histogram holds the whole interval of its sampling timer; what exceeds it is the delay.
    const expected = LOOP_DELAY_RESOLUTION_MS / 1000
    metrics.loopDelay(Math.max(0, delay.mean / 1e9 - expected) || 0, Math.max(0, delay.percentile(99) / 1e9 - expected))
    delay.reset()
    fn()
    systemClock.after(SECOND_MS, beat)
  }
  systemClock.after(SECOND_MS, beat)
}
