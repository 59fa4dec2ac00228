// Domains with wildcards: `example.org`, `*.example.org` for all below it, `*` for everything. Pure; no thread.

interface Entry<Value> {
  readonly value: Value
  readonly rank: number
}

export class DomainTable<Value> {
  readonly #exact = new Map<string, Entry<Value>>()
  readonly #below = new Map<string, Entry<Value>>()
  readonly #order: 'first' | 'best'
  #count = 0

  /** `first`: the first entry that matches counts; `best`: the one that names most labels. */
  constructor(order: 'first' | 'best') {
    this.#order = order
  }

  /** The first entry of a pattern holds. */
  add(pattern: string, value: Value): void {
    const [map, key] =
      pattern === '*' ? [this.#below, ''] : pattern.startsWith('*.') ? [this.#below, pattern.slice(2)] : [this.#exact, pattern]
    if (!map.has(key)) map.set(key, { value, rank: this.#count++ })
  }

  find(domain: string): Value | undefined {
    let found = this.#exact.get(domain)
    if (found && this.#order === 'best') return found.value
    // From the longest suffix to the empty one, which is `*`.
    for (let at = domain.indexOf('.'); domain !== ''; at = domain.indexOf('.', at + 1)) {
      const below = this.#below.get(at < 0 ? '' : domain.slice(at + 1))
      if (below && (!found || below.rank < found.rank)) found = below
      if (at < 0 || (found && this.#order === 'best')) break
    }
    return found?.value
  }
}
