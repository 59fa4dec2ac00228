// What a deliver thread does for the scheduler and the owners: joins deliver/dispatcher.ts, deliver/route.ts and channels.
//
// A row is in flight until its owner has acknowledged the settlement: what the ledger holds counts as held.

import { DeliverCore, type DeliverOptions, type DeliverSettings } from '../deliver/dispatcher.ts'
import type { ConnectionDown, DeliverHost, PeerInfo } from '../deliver/ports.ts'
import type { Router } from '../deliver/route.ts'
import type { Log } from '../lib/log.ts'
import type { ReturnedItem, ReturnReason, RowRef } from '../queue/ports.ts'
import { idToText } from '../spool/ids.ts'
import type { Settlement } from '../spool/types.ts'
import type { Sender } from './channel.ts'
import type { DeliverToOwner, DeliverToScheduler, OwnerToDeliver, SchedulerToDeliver } from './messages.ts'
import { unpackItems } from './messages.ts'
import { SettlementLedger } from './settlement-ledger.ts'

/**
 * So many settlements may wait for their owners before the thread takes no more work: they are in memory, and a crash sends
 * what they are about again. Twice what a disk with commits of 200 ms leaves open at 10,000 a second.
 */
const UNACKNOWLEDGED_MOST = 4000

export interface DeliverServiceOptions {
  readonly netThreads: number
  readonly deliver: Omit<DeliverOptions, 'host'>
  readonly router: Router
  readonly log: Pick<Log, 'warn' | 'error'>
  /** A connection of the scheduler's ended. */
  readonly closed: (conn: number) => void
  /** After `drain`: nothing is under way any more. */
  readonly drained: () => void
}

export class DeliverService implements DeliverHost {
  readonly core: DeliverCore
  readonly #options: DeliverServiceOptions
  readonly #ledger: SettlementLedger
  #router: Router
  #scheduler: Sender<DeliverToScheduler> | undefined
  #draining = false
  #behind = false
  #onSettled: (() => void) | undefined

  constructor(options: DeliverServiceOptions) {
    this.#options = options
    this.#router = options.router
    this.#ledger = new SettlementLedger(options.netThreads)
    this.core = new DeliverCore({ ...options.deliver, host: this })
  }

  /** A scheduler started. Its predecessor's connections are known to that one alone: they finish what they have begun and end. */
  schedulerUp(scheduler: Sender<DeliverToScheduler>): void {
    if (this.#scheduler) {
      this.#scheduler.close()
      this.core.retire()
    }
    this.#scheduler = scheduler
    scheduler.send({ kind: 'deliver.inflight', rows: this.held() })
    if (this.#behind) scheduler.send({ kind: 'deliver.behind', behind: true })
  }

  fromScheduler(message: SchedulerToDeliver): void {
    switch (message.kind) {
      case 'schedule.held':
        this.#scheduler?.send({ kind: 'deliver.held', rows: this.held() })
        break
      case 'schedule.route':
        this.#findRoute(message.domain)
        break
      case 'schedule.open':
        this.core.open(message.conn, message.site, message.source)
        break
      case 'schedule.grant':
        this.core.grant(message.conn, unpackItems(message.items))
        break
      case 'schedule.close':
        this.core.close(message.conn)
        break
    }
  }

  ownerUp(name: string, owner: Sender<DeliverToOwner>): void {
    this.#ledger.ownerUp(name, owner)
  }

  fromOwner(message: OwnerToDeliver): void {
    this.#ledger.acknowledged(message)
    this.#judgeBacklog()
    this.#maybeDrained()
  }

  /** New settings, and a router that has them: routes are asked for again. */
  configure(settings: DeliverSettings, router: Router): void {
    this.core.configure(settings)
    this.#router = router
    this.#scheduler?.send({ kind: 'deliver.rerouted' })
  }

  drain(): void {
    this.#draining = true
    this.core.drain()
    this.#maybeDrained()
  }

  /** Cuts all connections. `settled` follows once the owners have what became of it on their books, perhaps never. */
  abort(settled: () => void): void {
    this.#onSettled = settled
    this.core.abort()
    this.#maybeDrained()
  }

  /** Groups that are granted here, or settled and not acknowledged. */
  held(): RowRef[] {
    return [...this.core.held(), ...this.#ledger.unsettled()]
  }

  // ---- What the core tells ----

  connectionUp(conn: number, info: PeerInfo): void {
    if (info.tlsFallback) this.#options.log.warn({ peer: info.peer, cause: info.tlsFallback }, 'TLS failed, sending in plain text')
    this.#scheduler?.send({ kind: 'deliver.up', conn })
  }

  pull(conn: number, want: number, onHand: number): void {
    this.#scheduler?.send({ kind: 'deliver.pull', conn, want, onHand })
  }

  returned(conn: number, items: readonly ReturnedItem[], reason: ReturnReason, cause?: string): void {
    if (reason === 'error') {
      const messages = items.map(({ id }) => idToText(id))
      this.#options.log.error({ messages, cause }, 'message cannot be delivered now: it stays in the queue')
    }
    this.#scheduler?.send({ kind: 'deliver.returned', conn, items, reason })
  }

  connectionDown(conn: number, down: ConnectionDown): void {
    this.#options.closed(conn)
    this.#scheduler?.send({ kind: 'deliver.down', conn, down })
    this.#maybeDrained()
  }

  settle(settlements: readonly Settlement[]): void {
    this.#ledger.settle(settlements)
    this.#judgeBacklog()
  }

  /** Tells the scheduler when too many outcomes wait, and when few enough do again. */
  #judgeBacklog(): void {
    const { count } = this.#ledger
    const behind = count > (this.#behind ? UNACKNOWLEDGED_MOST / 2 : UNACKNOWLEDGED_MOST)
    if (behind === this.#behind) return
    this.#behind = behind
    if (behind) this.#options.log.warn({ outcomes: count }, 'outcomes wait for the spool: nothing more is sent until it has written them')
    this.#scheduler?.send({ kind: 'deliver.behind', behind })
  }

  #findRoute(domain: string): void {
    const asked = this.#router
    asked.route(domain, (answer) => {
      if (asked !== this.#router) return this.#findRoute(domain)
      // Connections to hosts that the site has given up end; the scheduler opens new ones.
      if (answer.kind === 'site') this.core.routeChanged(answer.site)
      this.#scheduler?.send({ kind: 'deliver.route', domain, answer })
    })
  }

  #maybeDrained(): void {
    if (this.core.connections > 0 || this.#ledger.count > 0) return
    if (this.#draining) this.#options.drained()
    const settled = this.#onSettled
    this.#onSettled = undefined
    settled?.()
  }
}
