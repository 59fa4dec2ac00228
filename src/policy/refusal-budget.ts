// How many refusals of one network are written down: strangers shall not fill the disk with events about themselves. Pure.

import { networkKey } from '../lib/address.ts'

const PER_NETWORK_A_MINUTE = 60
const MINUTE_MS = 60_000
/** Beyond so many networks in a minute the rest share one budget. */
const NETWORKS_MAX = 50_000
const OTHERS = 'others'

export class RefusalBudget {
  #minute = 0
  readonly #counts = new Map<string, number>()
  /** Refusals that were not written down. */
  dropped = 0

  /** Whether a refusal of `client` is to be written down; `now` in ms. */
  take(client: string, now: number): boolean {
    const minute = Math.floor(now / MINUTE_MS)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#counts.clear()
    }
    const network = networkKey(client)
    const key = this.#counts.has(network) || this.#counts.size < NETWORKS_MAX ? network : OTHERS
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.set(key, count)
    if (count <= PER_NETWORK_A_MINUTE) return true
    this.dropped++
    return false
  }
}
