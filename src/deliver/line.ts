// What the dispatcher holds for each connection that the scheduler knows: to a host, or to nowhere on the network. Types only.

import type { GrantItem, ReturnedItem, ReturnReason, RowRef } from '../queue/ports.ts'
import type { SettlementSink } from './attempt.ts'
import type { ConnectionDown, Destination, PeerInfo } from './ports.ts'

export interface Line {
  /** Stable name of the site. */
  readonly site: string
  /** ms since 1970 when `onDeadline` is due. */
  readonly deadline: number
  start(): void
  grant(items: readonly GrantItem[]): void
  /** Ends after what was begun. */
  close(): void
  /** Ends now. */
  abort(): void
  onDeadline(now: number): void
  /** Items whose slot is over return. */
  expire(now: number): void
  /** Whether its site's route still leads over this line. */
  follows(route: Destination): boolean
  /** Adds the groups that are neither settled nor returned. */
  held(into: RowRef[]): void
}

/** The dispatcher, as one line sees it. */
export interface LineHost extends SettlementSink {
  up(info: PeerInfo): void
  pull(want: number, onHand: number): void
  returned(item: ReturnedItem, reason: ReturnReason, cause?: string): void
  /** The last word. */
  down(down: ConnectionDown): void
}
