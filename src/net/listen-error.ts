// A listener that could not be opened: what main tells the operator.

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** `code` is the system's, e.g. EADDRINUSE or EACCES. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: string
  constructor(address: ListenAddress, cause: NodeJS.ErrnoException) {
    super(`cannot listen on ${address.host}:${address.port}: ${cause.message}`, { cause })
    this.code = cause.code ?? 'UNKNOWN'
  }
}
