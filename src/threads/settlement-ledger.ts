// Settlements on their way from a deliver thread to the owners: each batch is kept until its owner says that it is
// committed, and sent again to a restarted owner. Deliver threads.

import type { RowRef } from '../queue/ports.ts'
import { shardOf } from '../spool/ids.ts'
import type { Settlement } from '../spool/types.ts'
import type { Sender } from './channel.ts'
import type { DeliverToOwner, OwnerToDeliver, Packed } from './messages.ts'
import { packSettlements, unpackSettlements } from './messages.ts'
import { ownerOf } from './topology.ts'

export class SettlementLedger {
  readonly #netThreads: number
  readonly #owners = new Map<string, Sender<DeliverToOwner>>()
  /** Settlements by batch number that their owner has not acknowledged. */
  readonly #unacknowledged = new Map<number, { readonly owner: string; readonly count: number; readonly settlements: Packed }>()
  #count = 0
  #nextBatch = 1

  constructor(netThreads: number) {
    this.#netThreads = netThreads
  }

  /** Settlements that no owner has acknowledged. */
  get count(): number {
    return this.#count
  }

  settle(settlements: readonly Settlement[]): void {
    const split = new Map<string, Settlement[]>()
    for (const settlement of settlements) {
      const owner = ownerOf(shardOf(settlement.id), this.#netThreads)
      const list = split.get(owner)
      if (list) list.push(settlement)
      else split.set(owner, [settlement])
    }
    for (const [owner, list] of split) {
      const batch = this.#nextBatch++
      const packed = packSettlements(list)
      this.#unacknowledged.set(batch, { owner, count: list.length, settlements: packed })
      this.#count += list.length
      this.#owners.get(owner)?.sendSoon({ kind: 'deliver.settle', batch, settlements: packed })
    }
  }

  /** An owner started, for the first time or again: it gets what it has not acknowledged. */
  ownerUp(name: string, channel: Sender<DeliverToOwner>): void {
    this.#owners.get(name)?.close()
    this.#owners.set(name, channel)
    for (const [batch, { owner, settlements }] of this.#unacknowledged)
      if (owner === name) channel.send({ kind: 'deliver.settle', batch, settlements })
  }

  acknowledged({ batch }: OwnerToDeliver): void {
    this.#count -= this.#unacknowledged.get(batch)?.count ?? 0
    this.#unacknowledged.delete(batch)
  }

  /** Groups that the scheduler must count as in flight, although nothing of them is under way here. */
  unsettled(): RowRef[] {
    const rows: RowRef[] = []
    for (const { settlements } of this.#unacknowledged.values())
      for (const { id, group } of unpackSettlements(settlements)) rows.push({ id, group })
    return rows
  }
}
