// A listener that could not be opened: what the operator is told.

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** What the system's codes mean to who chose the address. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another process',
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  EACCES: 'it is not permitted; ports below 1024 need CAP_NET_BIND_SERVICE',
  ENOTFOUND: 'no such name',
}

/** `code` is the system's, e.g. EADDRINUSE or EACCES. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: string
  constructor({ host, port }: ListenAddress, cause: NodeJS.ErrnoException) {
    const code = cause.code ?? 'UNKNOWN'
    super(`cannot listen on ${host.includes(':') ? `[${host}]` : host}:${port}: ${REASONS[code] ?? cause.message}`, { cause })
    this.code = code
  }
}
