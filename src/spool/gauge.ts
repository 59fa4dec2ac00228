// Free space of the spool's file system: looked at once a second, in between less what was accepted. Owner thread.

import type { Clock, Timer } from '../lib/clock.ts'
import type { SpoolDisk } from './disk.ts'
import type { SpoolLog } from './ports.ts'

const POLL_MS = 1000
/** Room inside the index is room for short messages only: bodies and events need at least this share as real free space. */
const REAL_SHARE = 0.25
/** With `minFreeBytes: 0` a disk still counts as full when a commit fails with less than this. */
const FLOOR_BYTES = 1024 * 1024
/** So much more than the limit there must be before mail is taken again: not a message at a time. */
const AGAIN_SHARE = 0.1
/** What a message takes besides its body: pages of the index, events. */
const MESSAGE_BYTES = 4 * 1024

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
  /** What the file system has. */
  realBytes: number = Infinity
  /** Accepted since the last look. */
  #spentBytes = 0
  #full = false
  #toldFull = false

  constructor(ports: GaugePorts) {
    this.#ports = ports
  }

  /** Messages are refused. */
  get full(): boolean {
    return this.#full
  }

  /** A message was accepted: a fast disk shall not be filled between two looks. */
  spend(bodyBytes: number): void {
    this.#spentBytes += bodyBytes + MESSAGE_BYTES
    this.judge()
  }

  /** So little is left that a failed write is no surprise. */
  get short(): boolean {
    return this.full || this.realBytes < FLOOR_BYTES
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
    const spent = this.#spentBytes
    try {
      this.realBytes = await disk.freeBytes(directory)
      this.freeBytes = this.realBytes + reusableBytes()
      this.#spentBytes -= spent
    } catch (error) {
      log.warn({ directory, error: String(error) }, 'free space unknown')
    }
    this.judge()
    if (this.#full === this.#toldFull) return
    this.#toldFull = this.#full
    log.warn({ freeBytes: this.freeBytes, full: this.#full }, this.#full ? 'disk is full: refusing mail' : 'disk has room again')
  }

  /** Compares with the limit, which may have changed. */
  judge(): void {
    const limit = this.#ports.minFreeBytes() * (this.#full ? 1 + AGAIN_SHARE : 1)
    const spent = this.#spentBytes
    this.#full = this.freeBytes - spent < limit || this.realBytes - spent < limit * REAL_SHARE
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
