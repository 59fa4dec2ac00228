// Which real peers this machine has. scripts/install-peers.sh brings them.

import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where install-peers.sh unpacks what conflicts with Postfix. */
export const UNPACKED: string = process.env['ROHRPOST_PEERS'] ?? '/var/cache/rohrpost-peers'

const UNPACKED_AT: Readonly<Record<string, string>> = {
  exim4: join(UNPACKED, 'exim4-daemon-heavy/usr/sbin/exim4'),
  smtpd: join(UNPACKED, 'opensmtpd/usr/sbin/smtpd'),
}

/** The path of a program, or undefined. Those of administrators count too. */
export function programPath(name: string): string | undefined {
  const unpacked = UNPACKED_AT[name]
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']
  const candidates = unpacked ? [unpacked] : folders.map((folder) => join(folder, name))
  return candidates.find((path) => existsSync(path))
}

/** A reason to skip, or false: for the `skip` option of a test. */
export function without(...programs: string[]): string | false {
  const missing = programs.filter((name) => programPath(name) === undefined)
  return missing.length > 0 ? `needs ${missing.join(', ')}: scripts/install-peers.sh` : false
}

/** As `without`, for daemons that drop privileges and so must be started by root. */
export function withoutRootOr(...programs: string[]): string | false {
  if (process.getuid?.() !== 0) return `needs root, to start ${programs.join(', ')} as their own users`
  return without(...programs)
}

export function program(name: string): string {
  const path = programPath(name)
  if (path === undefined) throw new Error(`${name} is not on this machine`)
  return path
}
