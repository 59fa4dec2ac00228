// What a server has to offer to be measured.

export interface Setup {
  /** A folder of its own. */
  readonly folder: string
  /** Where everything goes on 127.0.0.1: the sink, or a port where nobody listens. */
  readonly nextPort: number
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  readonly threads: { readonly net: number; readonly deliver: number }
}

export interface Running {
  readonly port: number
  /** CPU time so far in µs, of the server alone with all its processes and threads. */
  cpuUs(): number
  /** RssAnon + RssShmem in bytes; undefined where it is spread over processes. */
  memoryBytes(): number | undefined
  stop(): Promise<void>
}

export interface Peer {
  readonly name: string
  /** What makes a 250 durable there, for the report. */
  readonly durability: string
  /** Of the messages that Rohrpost gets in a run, the share that keeps a run of this peer about as long. */
  readonly share: number
  version(): Promise<string>
  start(setup: Setup): Promise<Running>
}
