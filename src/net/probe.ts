// Whether an address is free to listen on. Main thread, before net threads listen with `reusePort`.
//
// With SO_REUSEPORT a second process would bind the same port without an error and take half of the connections.

import { createServer } from 'node:net'
import { ListenError, type ListenAddress } from './listen-error.ts'

/** Rejects with ListenError when somebody listens there, or when we may not. Port 0 is always free. */
export function probe(address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => reject(new ListenError(address, error)))
    server.listen({ host: address.host, port: address.port, exclusive: true }, () => server.close(() => resolve()))
  })
}
