// Logs for operators: pino to standard error, JSON lines, readable on a terminal. One logger a thread, named after it.
//
// Writing is synchronous: a line is out before a crash can eat it. That is cheap because there are few: starts, reloads,
// warnings, failures. What happens to a message is an event (spool/events.ts), never a log line, so addresses of senders
// and recipients do not stand here.

import { createRequire } from 'node:module'
import { isatty } from 'node:tty'
import { pino } from 'pino'
import type { DestinationStream } from 'pino'
import type { Clock } from './clock.ts'

export interface LogMethod {
  (fields: object, text: string): void
  (text: string): void
}

export interface Log {
  readonly trace: LogMethod
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
  readonly fatal: LogMethod
  /** A logger that adds `fields` to each line. */
  child(fields: Record<string, unknown>): Log
}

const STDERR = 2

/** The logger of the thread `name`; `level` as pino names them. */
export function makeLog(name: string, options: { readonly level: string }, destination: DestinationStream = defaultDestination()): Log {
  return pino({ name, level: options.level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, destination)
}

function defaultDestination(): DestinationStream {
  if (!isatty(STDERR)) return pino.destination({ fd: STDERR, sync: true })
  // Loaded only on a terminal; a stream of this thread, because a transport would cost each thread another one.
  const pretty = createRequire(import.meta.url)('pino-pretty') as (options: object) => DestinationStream
  return pretty({ destination: STDERR, sync: true, ignore: 'pid', translateTime: 'SYS:HH:MM:ss.l' })
}

interface Repeats {
  quietUntil: number
  suppressed: number
}

const KEYS_MAX = 1000

/** Warnings that may come thousands of times: each key is written once an interval, with how many were left out. */
export class RepeatedWarnings {
  readonly #log: Log
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #seen = new Map<string, Repeats>()

  constructor(log: Log, clock: Clock, intervalMs = 60_000) {
    this.#log = log
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  /** `key` says which warnings are the same; it must come from a small set or be an address. */
  warn(key: string, fields: object, text: string): void {
    const now = this.#clock.mono()
    const repeats = this.#seen.get(key)
    if (repeats && now < repeats.quietUntil) {
      repeats.suppressed++
      return
    }
    const suppressed = repeats?.suppressed ?? 0
    // Oldest first, so that hostile keys cannot grow the map.
    this.#seen.delete(key)
    if (this.#seen.size >= KEYS_MAX) this.#seen.delete(this.#seen.keys().next().value as string)
    this.#seen.set(key, { quietUntil: now + this.#intervalMs, suppressed: 0 })
    this.#log.warn(suppressed > 0 ? { ...fields, suppressed } : fields, text)
  }
}
