// The system's hosts file, for hosts that the administrator names. Never asked about names from the outside.

import { readFileSync } from 'node:fs'
import { canonicalAddress } from '../lib/address.ts'
import { asciiName } from '../lib/hostname.ts'

/** Addresses by lower-case name. */
export type HostTable = ReadonlyMap<string, readonly string[]>

const LINES_MAX = 100_000

/** hosts(5): an address and its names a line, `#` begins a comment. Unreadable lines are skipped. */
export function parseHosts(text: string): HostTable {
  const table = new Map<string, string[]>()
  for (const line of text.split('\n', LINES_MAX)) {
    const [first, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    const address = canonicalAddress(first ?? '')
    if (address === undefined) continue
    for (const word of names) {
      const name = asciiName(word)
      if (name === undefined) continue
      const known = table.get(name)
      if (known) known.push(address)
      else table.set(name, [address])
    }
  }
  return table
}

/** Empty on a machine without the file. */
export function systemHosts(path = '/etc/hosts'): HostTable {
  try {
    return parseHosts(readFileSync(path, 'utf8'))
  } catch {
    return new Map()
  }
}

/** What the table says, else loopback for localhost and what ends in it (RFC 6761 §6.3), else undefined: ask DNS. */
export function localAddresses(hosts: HostTable, name: string): readonly string[] | undefined {
  const known = hosts.get(name)
  if (known) return known
  return name === 'localhost' || name.endsWith('.localhost') ? ['127.0.0.1', '::1'] : undefined
}
