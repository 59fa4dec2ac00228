// Listening sockets of one net thread. Every net thread listens on the same port with `reusePort`; the kernel spreads connections.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { ListenError, type ListenAddress } from './listen-error.ts'

/** Opens a listener; resolves with the server and the address that it got (port 0 picks a free one). */
export function listen(address: ListenAddress, accept: (socket: Socket) => void): Promise<{ server: Server; bound: ListenAddress }> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, accept)
    server.once('error', (error) => reject(new ListenError(address, error)))
    server.listen({ host: address.host, port: address.port, reusePort: true, backlog: 4096 }, () => {
      const info = server.address() as AddressInfo
      resolve({ server, bound: { host: address.host, port: info.port } })
    })
  })
}
