// Free ports on loopback for programs that cannot choose one by themselves.

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
