// A server and a few peers that misbehave, each behind a domain of its own, so that all of them do it at the same time.

import { startServer, type Server, type ServerConfig } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { Peer, type Behaviour, type PeerOptions } from './peer.ts'

export interface Scenario {
  /** Letters, digits and hyphens: the domain is `NAME.test`. */
  readonly name: string
  readonly behaviour: Behaviour
  readonly options?: PeerOptions
  /** What stands behind `smtp://127.0.0.1:PORT` in the route, as `?tls=off`. */
  readonly route?: string
}

/** Retries come fast: what a peer did once it does not do again soon enough to matter. */
const RETRY = { first: '100ms', max: '500ms', expire: '1h', warnAfter: false }

export class Lab {
  readonly server: Server
  readonly #peers: ReadonlyMap<string, Peer>

  private constructor(server: Server, peers: ReadonlyMap<string, Peer>) {
    this.server = server
    this.#peers = peers
  }

  static async start(scenarios: readonly Scenario[], config: ServerConfig = {}): Promise<Lab> {
    const peers = new Map<string, Peer>()
    for (const { name, behaviour, options } of scenarios) peers.set(name, await Peer.start(behaviour, options))
    const routes = scenarios.map(({ name, route = '' }) => {
      return { domain: `${name}.test`, to: `smtp://127.0.0.1:${(peers.get(name) as Peer).port}${route}` }
    })
    const server = await startServer({ routes: [...routes, { domain: '*', to: 'discard:' }], retry: RETRY, ...config })
    return new Lab(server, peers)
  }

  peer(name: string): Peer {
    const peer = this.#peers.get(name)
    if (!peer) throw new Error(`no peer ${name}`)
    return peer
  }

  /** Hands in one message for each of `names`; resolves with their ids by name. */
  async submit(names: readonly string[], body = 'x\r\n'): Promise<Map<string, string>> {
    const ids = new Map<string, string>()
    using client = await SmtpClient.connect(this.server.port())
    await client.expect(250, 'EHLO lab.test')
    for (const name of names) {
      const reply = await client.send('sender@example.org', [`b@${name}.test`], `Subject: ${name}\r\n\r\n${body}`)
      const id = /queued as (\w+)/.exec(reply.lines[0] ?? '')?.[1]
      if (id === undefined) throw new Error(`${name} was answered ${reply.code} ${reply.lines.join(' ')}`)
      ids.set(name, id)
    }
    return ids
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.server[Symbol.asyncDispose]()
    } finally {
      for (const peer of this.#peers.values()) await peer[Symbol.asyncDispose]()
    }
  }
}
