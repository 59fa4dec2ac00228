// Free space of the spool's file system, looked at once a second. Owner thread.

import type { Clock, Timer } from '../lib/clock.ts'
import type { SpoolDisk } from './disk.ts'
import type { SpoolLog } from './ports.ts'

const POLL_MS = 1000
/** Room inside the index is room for short messages only: bodies and events need at least this share as real free space. */
const REAL_SHARE = 0.25
/** With `minFreeBytes: 0` a disk still counts as full when a commit fails with less than this. */
const FLOOR_BYTES = 1024 * 1024

export interface GaugePorts {
  readonly disk: SpoolDisk
  readonly clock: Clock
  readonly log: SpoolLog
  readonly directory: string
  readonly minFreeBytes: () => number
  /** Bytes inside the index files that will be used before they grow. */
  readonly reusableBytes: () => number
  /** Called after each look. */
  readonly polled: () => void
}

export class DiskGauge {
  readonly #ports: GaugePorts
  #timer: Timer | undefined
  #stopped = false
  /** Reusable bytes included. */
  freeBytes: number = Infinity
  #realBytes = Infinity

  constructor(ports: GaugePorts) {
    this.#ports = ports
  }

  /** Messages are refused. */
  get full(): boolean {
    const limit = this.#ports.minFreeBytes()
    return this.freeBytes < limit || this.#realBytes < limit * REAL_SHARE
  }

  /** So little is left that a failed write is no surprise. */
  get short(): boolean {
    return this.full || this.#realBytes < FLOOR_BYTES
  }

  async start(): Promise<void> {
    await this.look()
    this.#next()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  async look(): Promise<void> {
    const { disk, directory, log, reusableBytes } = this.#ports
    const was = this.full
    try {
      this.#realBytes = await disk.freeBytes(directory)
      this.freeBytes = this.#realBytes + reusableBytes()
    } catch (error) {
      log.warn({ directory, error: String(error) }, 'free space unknown')
    }
    if (this.full !== was)
      log.warn({ freeBytes: this.freeBytes, full: this.full }, this.full ? 'disk is full: refusing mail' : 'disk has room again')
  }

  #next(): void {
    if (this.#stopped) return
    this.#timer = this.#ports.clock.after(POLL_MS, () => void this.#tick())
  }

  async #tick(): Promise<void> {
    await this.look()
    if (!this.#stopped) this.#ports.polled()
    this.#next()
  }
}
