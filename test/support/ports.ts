// Free ports on loopback for programs that cannot choose one by themselves.

import { readFileSync } from 'node:fs'
import { createServer, connect, type AddressInfo } from 'node:net'
import { eventually } from './wait.ts'

/** A port that was free a moment ago. The kernel hands out others before it comes round to the same again. */
export function freePort(host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

function answers(port: number, host: string): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(undefined))
  })
}

/** Resolves when something accepts connections on the port. */
export async function portOpens(port: number, ms = 15_000, describe?: () => string, host = '127.0.0.1'): Promise<void> {
  await eventually(ms, `port ${port}`, () => answers(port, host), describe)
}

const LISTEN_STATE = '0A'

/** Resolves when something listens on an IPv4 port, without connecting to it: for a proxy that would pass the probe on. */
export async function portListens(port: number, ms = 15_000, describe?: () => string): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const listens = (): true | undefined => {
    const sockets = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)
    return sockets.some((line) => {
      const [, local, , state] = line.trim().split(/\s+/)
      return local?.endsWith(`:${hex}`) && state === LISTEN_STATE
    })
      ? true
      : undefined
  }
  await eventually(ms, `port ${port} listens`, listens, describe)
}
