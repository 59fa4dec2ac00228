// What the owner of shards does for the scheduler and the deliver threads: joins spool/owner.ts and channels. Net threads.
//
// A scheduler hears of everything that is in the spool when it starts, and again when it asks for a scan.

import { SpoolOwner } from '../spool/owner.ts'
import type { SpoolHost, SpoolOptions } from '../spool/ports.ts'
import type { QueueRow } from '../spool/types.ts'
import type { Sender } from './channel.ts'
import type { DeliverToOwner, OwnerToDeliver, OwnerToScheduler, SchedulerToOwner } from './messages.ts'
import { packRows, packSettled, unpackSettlements } from './messages.ts'

/** Batches of a scan that may be on their way at once: a scheduler that is slower than the scan shall not hoard them. */
const SCAN_WINDOW = 4

export class OwnerService {
  readonly owner: SpoolOwner
  readonly #shards: readonly number[]
  readonly #link: SchedulerLink
  #scanning = 0
  #goOn: (() => void) | undefined
  /** Scans follow one another: they share the window. */
  #scans: Promise<void> = Promise.resolve()

  private constructor(owner: SpoolOwner, shards: readonly number[], link: SchedulerLink) {
    this.owner = owner
    this.#shards = shards
    this.#link = link
  }

  /** Opens the shards as `SpoolOwner.open` does. */
  static async open(
    dataDir: string,
    shards: readonly number[],
    options: SpoolOptions,
    host: Pick<SpoolHost, 'log' | 'event'>,
  ): Promise<OwnerService> {
    const link: SchedulerLink = { channel: undefined, epoch: 0 }
    const owner = await SpoolOwner.open(dataDir, shards, options, {
      ...host,
      announce: (rows) => link.channel?.sendSoon({ kind: 'spool.announce', rows: packRows(rows) }),
      settled: (items) => link.channel?.sendSoon({ kind: 'spool.settled', items: packSettled(items) }),
    })
    return new OwnerService(owner, shards, link)
  }

  schedulerUp(scheduler: Sender<OwnerToScheduler>): void {
    this.#link.epoch++
    this.#link.channel?.close()
    this.#link.channel = scheduler
    this.#scanning = 0
    this.#goOn?.()
    this.#scan(0)
  }

  fromScheduler(message: SchedulerToOwner): void {
    switch (message.kind) {
      case 'schedule.more':
        this.#scanning--
        this.#goOn?.()
        break
      case 'schedule.scan':
        this.#scan(message.scan)
        break
      case 'schedule.expire':
        this.owner.expire(message.rows)
        break
      case 'schedule.warn':
        this.owner.warn(message.rows)
        break
      case 'schedule.bounce':
        this.owner.bounce(message.rows, message.reply)
        break
    }
  }

  /** Also from a thread that has died since: what it settled is true. */
  fromDeliver(channel: Sender<OwnerToDeliver>, { batch, settlements }: DeliverToOwner): void {
    this.owner.settle(unpackSettlements(settlements), () => channel.sendSoon({ kind: 'spool.ack', batch }))
  }

  #scan(number: number): void {
    const { epoch } = this.#link
    this.#scans = this.#scans.then(() => this.#announceAll(epoch, number))
  }

  async #announceAll(epoch: number, scan: number): Promise<void> {
    const announce = (rows: readonly QueueRow[]): boolean => {
      if (epoch !== this.#link.epoch) return false
      this.#scanning++
      this.#link.channel?.send({ kind: 'spool.scan', rows: packRows(rows) })
      return true
    }
    await this.owner.rescan(announce, () => this.#hasRoom(epoch))
    if (epoch === this.#link.epoch) this.#link.channel?.send({ kind: 'spool.scanned', scan, shards: this.#shards })
  }

  /** Room for one more batch, or a scheduler that is not the one any more. */
  async #hasRoom(epoch: number): Promise<boolean> {
    while (this.#scanning >= SCAN_WINDOW && epoch === this.#link.epoch) await new Promise<void>((resolve) => (this.#goOn = resolve))
    return epoch === this.#link.epoch
  }
}

interface SchedulerLink {
  channel: Sender<OwnerToScheduler> | undefined
  /** Grows with each scheduler: a scan for a dead one ends early. */
  epoch: number
}
