// The process: configuration, lock, threads, signals, control socket. Main thread; wiring only.

import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ControlServer } from './admin/control.ts'
import { makeVerbs } from './admin/verbs.ts'
import { loadConfig } from './config/load.ts'
import { restartReasons } from './config/reload.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import { systemClock } from './lib/clock.ts'
import { FileLock } from './lib/file-lock.ts'
import { makeLog, type Log } from './lib/log.ts'
import { makeMetrics, ThreadMetrics, type MetricsMemory } from './lib/metrics.ts'
import { probe } from './net/probe.ts'
import { ensureCertificate } from './net/tls.ts'
import { makeQuotaMemory } from './session/auth/quota.ts'
import { makeThrottleMemory } from './session/auth/throttle.ts'
import { prepareSpool } from './spool/layout.ts'
import { nodeDisk } from './spool/nodedisk.ts'
import { Asker } from './threads/asker.ts'
import type { BoundListener, ThreadData } from './threads/messages.ts'
import { Supervisor } from './threads/supervisor.ts'
import { everySecond } from './threads/thread.ts'
import { kindOf, ownerOf, threadNames } from './threads/topology.ts'

const TICKET_KEY_BYTES = 48
/** Flushing and closing after everything was drained. */
const STOP_MS_MAX = 10_000
/** For the outcomes of deliveries that were cut off. */
const SETTLE_MS_MAX = 2000

/** A reason not to start, with the exit code of the process. */
export class StartError extends Error {
  override readonly name = 'StartError'
  readonly code: number
  constructor(code: number, text: string) {
    super(text)
    this.code = code
  }
}

function lockDataDir(dataDir: string): FileLock {
  const path = join(dataDir, 'lock')
  let lock: FileLock | undefined
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    lock = FileLock.take(path)
  } catch (error) {
    throw unusable(dataDir, error)
  }
  if (lock) return lock
  throw new StartError(75, `the data directory ${dataDir} is in use by process ${FileLock.holder(path) ?? 'unknown'}`)
}

/** A data directory that this program cannot work with: the operator's matter, and another try does not help. */
function unusable(dataDir: string, error: unknown): StartError {
  return new StartError(78, `the data directory ${dataDir} cannot be used: ${error instanceof Error ? error.message : String(error)}`)
}

async function shardsOf(config: Config): Promise<number> {
  try {
    return (await prepareSpool(nodeDisk, config.dataDir, config.limits.shards)).shards
  } catch (error) {
    throw unusable(config.dataDir, error)
  }
}

function usesTls(config: Config): boolean {
  return config.listeners.some((listener) => listener.tls !== 'off')
}

/**
 * The listeners whose ports are free. A configured one that is taken ends the start. The embedded default is there to
 * try things out: what somebody else uses on this machine is left out, as long as anything is left.
 */
async function freeListeners(config: Config, isDefault: boolean, log: Log): Promise<readonly ListenerConfig[]> {
  const free: ListenerConfig[] = []
  let taken: unknown
  for (const listener of config.listeners) {
    try {
      await probe(listener)
      free.push(listener)
    } catch (error) {
      if (!isDefault) throw startError(error, config.dataDir)
      taken = error
      log.warn({ listener: listener.name }, `${(error as Error).message}; this default listener is left out`)
    }
  }
  if (free.length === 0 && taken !== undefined) throw startError(taken, config.dataDir)
  return free
}

/** What a disk says that has no room or may not be written. */
const DISK_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO']

/** An address, a damaged spool and a bad disk are the operator's matter; anything else is a bug and keeps its stack. */
function startError(error: unknown, dataDir: string): unknown {
  if (!(error instanceof Error)) return error
  // It may come from another thread: name and code tell what it was, not its class.
  const { code } = error as NodeJS.ErrnoException
  if (error.name === 'ListenError') return new StartError(code === 'EADDRINUSE' ? 75 : 78, error.message)
  const isUnusable = error.name === 'SpoolFormatError' || DISK_CODES.includes(code)
  return isUnusable ? unusable(dataDir, error) : error
}

/** A mistake of the operator's in words; anything else with its stack. */
function whyNot(error: unknown): object {
  return error instanceof Error && 'code' in error && error.code === 78 ? { why: error.message } : { err: error }
}

class Server {
  #config: Config
  readonly #configFile: string | undefined
  readonly #log: Log
  readonly #lock: FileLock
  readonly #metrics: MetricsMemory
  readonly #auth = { throttle: makeThrottleMemory(), quota: makeQuotaMemory() }
  readonly #spoolOpen = new Int32Array(new SharedArrayBuffer(4))
  readonly #ticketKeys = randomBytes(TICKET_KEY_BYTES)
  readonly #shards: number
  readonly #bound = new Map<string, BoundListener>()
  readonly #drained = new Map<string, () => void>()
  readonly #supervisor: Supervisor
  readonly #asker: Asker
  readonly #control: ControlServer
  #stopping = false

  constructor(config: Config, configFile: string | undefined, log: Log, lock: FileLock, shards: number) {
    this.#config = config
    this.#configFile = configFile
    this.#log = log
    this.#lock = lock
    this.#metrics = makeMetrics(threadNames(config.threads))
    this.#shards = shards
    this.#supervisor = new Supervisor({
      clock: systemClock,
      log,
      data: (name) => this.#threadData(name),
      events: {
        up: (_name, listeners) => listeners.forEach((listener) => this.#bound.set(listener.name, listener)),
        down: (name) => this.#asker.lost(name),
        drained: (name) => this.#drained.get(name)?.(),
        row: (request, row) => this.#asker.row(request, row),
        end: (request, error) => this.#asker.end(request, error),
      },
    })
    this.#asker = new Asker(
      (thread, message) => this.#supervisor.send(thread, message),
      (thread) => this.#supervisor.isUp(thread),
    )
    const verbs = makeVerbs({
      dataDir: config.dataDir,
      metrics: this.#metrics,
      asker: this.#asker,
      threads: () => this.#supervisor.names(),
      ownerOf: (shard) => ownerOf(shard, config.threads.net),
      throwIn: (thread) => this.#throwIn(thread),
      spoolIsOpen: () => Atomics.load(this.#spoolOpen, 0) === 1,
    })
    this.#control = new ControlServer(join(config.dataDir, 'control.sock'), verbs, log)
  }

  async start(): Promise<void> {
    if (usesTls(this.#config)) await ensureCertificate(this.#config, this.#log)
    await this.#control.open()
    try {
      await this.#startThreads()
    } catch (error) {
      await this.#supervisor.terminateAll()
      this.#control.close()
      throw startError(error, this.#config.dataDir)
    }
    const listeners = this.#config.listeners.map((listener) => this.#bound.get(listener.name) as BoundListener)
    const words = listeners.map(({ name, host, port }) => ` ${name}=${host.includes(':') ? `[${host}]` : host}:${port}`)
    everySecond(() => undefined, new ThreadMetrics(this.#metrics, 'main'))
    process.stdout.write(`rohrpost ready${words.join('')}\n`)
  }

  /**
   * All at once, but for two things: only the first net thread may choose the port of a `port: 0` listener, and deliver
   * threads open the spool behind its owners.
   */
  async #startThreads(): Promise<void> {
    const names = threadNames(this.#config.threads).filter((name) => name !== 'main')
    const lateNets = names.filter((name) => kindOf(name) === 'net' && name !== 'net.1')
    const delivers = names.filter((name) => kindOf(name) === 'deliver')
    const deliversUp = this.#supervisor.start(delivers)
    // A failure is told once, by the first to fail.
    deliversUp.catch(() => undefined)
    await this.#supervisor.start(['scheduler', 'net.1'])
    await this.#supervisor.start(lateNets)
    Atomics.store(this.#spoolOpen, 0, 1)
    Atomics.notify(this.#spoolOpen, 0)
    await deliversUp
  }

  #threadData(name: string): ThreadData {
    return {
      name,
      config: this.#config,
      metrics: this.#metrics,
      ticketKeys: this.#ticketKeys,
      spoolOpen: this.#spoolOpen,
      auth: this.#auth,
      shards: this.#shards,
      bound: Object.fromEntries(this.#bound),
    }
  }

  #throwIn(thread: string): boolean {
    if (!this.#supervisor.isUp(thread)) return false
    this.#supervisor.send(thread, { kind: 'main.throw' })
    return true
  }

  async reload(): Promise<void> {
    try {
      const loaded = await loadConfig(this.#configFile)
      // What is laid down at the start stays, also for threads that are restarted later.
      const { dataDir, threads, listeners, log } = this.#config
      const next = { ...loaded, dataDir, threads, listeners, log }
      const reasons = this.#configFile === undefined ? [] : restartReasons(this.#config, loaded)
      if (reasons.length > 0) this.#log.warn({ keys: reasons }, 'these settings change only with a restart')
      if (usesTls(next)) await ensureCertificate(next, this.#log)
      this.#config = next
      this.#supervisor.broadcast({ kind: 'main.reload', config: next })
      this.#log.info('configuration reloaded')
    } catch (error) {
      this.#log.error(whyNot(error), 'configuration not reloaded: the old one stays')
    }
  }

  /** Stop accepting, finish transactions, flush commits, hand back grants, end 0. */
  async stop(signal: string): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#log.info({ signal }, 'draining')
    this.#supervisor.stopping()
    const { drainSessionsMsMax, drainDeliveriesMsMax } = this.#config.limits
    await this.#drain('net', drainSessionsMsMax)
    await this.#drain('deliver', drainDeliveriesMsMax)
    // What was delivered is written down before those who do it end.
    await this.#end((name) => kindOf(name) === 'deliver', SETTLE_MS_MAX)
    await this.#end((name) => kindOf(name) !== 'deliver', STOP_MS_MAX)
    await this.#supervisor.terminateAll()
    this.#control.close()
    this.#lock.release()
    this.#log.info('stopped')
    process.exit(0)
  }

  async #end(which: (name: string) => boolean, msMax: number): Promise<void> {
    const names = this.#supervisor.names().filter(which)
    const ended = Promise.all(names.map((name) => this.#supervisor.ended(name)))
    for (const name of names) this.#supervisor.send(name, { kind: 'main.stop' })
    await this.#within(ended, msMax)
  }

  async #drain(kind: 'net' | 'deliver', msMax: number): Promise<void> {
    const names = this.#supervisor.names().filter((name) => kindOf(name) === kind && this.#supervisor.isUp(name))
    const all = Promise.all(names.map((name) => new Promise<void>((resolve) => this.#drained.set(name, resolve))))
    for (const name of names) this.#supervisor.send(name, { kind: 'main.drain' })
    await this.#within(all, msMax)
  }

  async #within(work: Promise<unknown>, msMax: number): Promise<void> {
    await Promise.race([work, new Promise<void>((resolve) => systemClock.after(msMax, resolve))])
  }
}

/** Runs the server until a signal ends it. Rejects with StartError or ConfigError when it cannot start. */
export async function main(options: { readonly configFile: string | undefined }): Promise<void> {
  // Mail, accounts and keys are nobody else's business, whatever the directory above allows.
  process.umask(0o077)
  const loaded = await loadConfig(options.configFile)
  const log = makeLog('main', loaded.log)
  const lock = lockDataDir(loaded.dataDir)
  const config = { ...loaded, listeners: await freeListeners(loaded, options.configFile === undefined, log) }
  const shards = await shardsOf(config)
  const server = new Server(config, options.configFile, log, lock, shards)
  process.on('SIGTERM', () => void server.stop('SIGTERM'))
  process.on('SIGINT', () => void server.stop('SIGINT'))
  process.on('SIGHUP', () => void server.reload())
  await server.start()
}
