// Starts the threads, joins them by channels, starts a dead one again with back-off. Main thread.
//
// A restarted thread gets new channels to all its peers, and so do they: no message of its former life can reach anybody.

import { MessageChannel, Worker } from 'node:worker_threads'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { Channel } from './channel.ts'
import type { BoundListener, FromMain, ThreadData, ToMain } from './messages.ts'
import { CHANNELS, kindOf, TOPOLOGY } from './topology.ts'

const BACKOFF_MS_FIRST = 100
const BACKOFF_MS_MAX = 10_000
/** A thread that lived this long starts with a fresh back-off. */
const STEADY_MS = 30_000

interface Child {
  readonly name: string
  worker: Worker | undefined
  channel: Channel<FromMain, ToMain> | undefined
  /** Who waits for the first start; undefined afterwards. */
  starting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  up: boolean
  startedAt: number
  failures: number
  listeners: readonly BoundListener[]
  lastError: string
}

export interface SupervisorEvents {
  row(request: number, row: unknown): void
  end(request: number, error: string | undefined): void
  drained(name: string): void
  down(name: string): void
  up(name: string, listeners: readonly BoundListener[]): void
}

export interface SupervisorOptions {
  readonly clock: Clock
  readonly log: Log
  readonly events: SupervisorEvents
  /** The data that a thread starts with, asked anew for each start so that reloads count. */
  readonly data: (name: string) => ThreadData
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #children = new Map<string, Child>()
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** Starts the named threads together and resolves when all are up. Rejects when one dies before it is. */
  async start(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#startOne(name)))
  }

  #startOne(name: string): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const child: Child = {
        name,
        worker: undefined,
        channel: undefined,
        starting: { resolve, reject },
        up: false,
        startedAt: 0,
        failures: 0,
        listeners: [],
        lastError: '',
      }
      this.#children.set(name, child)
      this.#spawn(child)
    })
  }

  names(): string[] {
    return [...this.#children.keys()]
  }

  listeners(): BoundListener[] {
    return [...this.#children.values()].flatMap((child) => child.listeners)
  }

  isUp(name: string): boolean {
    return this.#children.get(name)?.up ?? false
  }

  send(name: string, message: FromMain): void {
    this.#children.get(name)?.channel?.send(message)
  }

  broadcast(message: FromMain): void {
    for (const name of this.#children.keys()) this.send(name, message)
  }

  /** From now on the end of a thread is expected. */
  stopping(): void {
    this.#stopping = true
  }

  async terminateAll(): Promise<void> {
    this.#stopping = true
    const workers = [...this.#children.values()].flatMap(({ worker }) => (worker ? [worker] : []))
    await Promise.all(workers.map((worker) => worker.terminate()))
  }

  /** Resolves when the named thread has ended by itself. */
  ended(name: string): Promise<void> {
    const worker = this.#children.get(name)?.worker
    if (!worker) return Promise.resolve()
    return new Promise((resolve) => worker.once('exit', () => resolve()))
  }

  #spawn(child: Child): void {
    const { clock, data } = this.#options
    const { entry: path, youngGenerationMb } = TOPOLOGY[kindOf(child.name)]
    const entry = new URL(`../${path}`, import.meta.url)
    if (!import.meta.url.endsWith('.ts')) entry.pathname = entry.pathname.replace(/\.ts$/, '.js')
    const worker = new Worker(entry, {
      workerData: data(child.name),
      name: child.name,
      ...(youngGenerationMb && { resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb } }),
    })
    child.worker = worker
    child.startedAt = clock.now()
    child.channel = new Channel<FromMain, ToMain>(worker, (message) => this.#receive(child, message))
    worker.on('error', (error: unknown) => {
      child.lastError = error instanceof Error ? (error.stack ?? error.message) : String(error)
      if (error instanceof Error) child.starting?.reject(error)
    })
    worker.once('exit', (code) => this.#onExit(child, code))
    this.#join(child)
  }

  /** Gives the thread and each living peer the two ends of a new channel. */
  #join(child: Child): void {
    for (const peer of this.#children.values()) {
      if (peer === child || !peer.worker) continue
      const pair = [kindOf(child.name), kindOf(peer.name)]
      if (!CHANNELS.some(([a, b]) => (a === pair[0] && b === pair[1]) || (a === pair[1] && b === pair[0]))) continue
      const { port1, port2 } = new MessageChannel()
      child.worker?.postMessage([{ kind: 'main.peer', name: peer.name, port: port1 }], [port1])
      peer.worker.postMessage([{ kind: 'main.peer', name: child.name, port: port2 }], [port2])
    }
  }

  #receive(child: Child, message: ToMain): void {
    switch (message.kind) {
      case 'thread.up':
        child.up = true
        child.listeners = message.listeners
        this.#options.events.up(child.name, message.listeners)
        child.starting?.resolve()
        child.starting = undefined
        break
      case 'thread.drained':
        this.#options.events.drained(child.name)
        break
      case 'thread.row':
        this.#options.events.row(message.request, message.row)
        break
      case 'thread.end':
        this.#options.events.end(message.request, message.error)
        break
    }
  }

  #onExit(child: Child, code: number): void {
    child.worker = undefined
    child.channel = undefined
    const wasUp = child.up
    child.up = false
    this.#options.events.down(child.name)
    if (this.#stopping) return
    if (child.starting) {
      child.starting.reject(new Error(child.lastError || `thread ${child.name} ended with code ${code} before it was up`))
      return
    }
    const lived = this.#options.clock.now() - child.startedAt
    child.failures = wasUp && lived > STEADY_MS ? 1 : child.failures + 1
    const delayMs = Math.min(BACKOFF_MS_FIRST * 2 ** (child.failures - 1), BACKOFF_MS_MAX)
    this.#options.log.error({ thread: child.name, code, error: child.lastError, restartInMs: delayMs }, 'thread died')
    child.lastError = ''
    this.#options.clock.after(delayMs, () => {
      if (!this.#stopping) this.#spawn(child)
    })
  }
}
