// DNS messages and a scripted server without sockets, for tests of the resolver.

import packet from 'dns-packet'
import type { DnsServer } from '../../src/net/resolver-config.ts'
import type { DnsExchange, DnsExchangeEvents, DnsProtocol, DnsTransport } from '../../src/net/resolver-transport.ts'

export interface ReplyParts {
  readonly answers?: readonly unknown[]
  readonly authorities?: readonly unknown[]
  readonly additionals?: readonly unknown[]
  readonly rcode?: number
  /** Bits beside QR, RD and RA. */
  readonly flags?: number
  /** Question to echo instead of the one that was asked. */
  readonly question?: { name: string; type: string }
  readonly id?: number
}

export const AD = 0x20
export const TC = 0x200
export const AA = 0x400

/** A reply to `query` with RD and RA set. */
export function replyTo(query: Buffer, parts: ReplyParts = {}): Buffer {
  const asked = packet.decode(query)
  return packet.encode({
    type: 'response',
    id: parts.id ?? asked.id,
    flags: 0x180 | (parts.flags ?? 0) | (parts.rcode ?? 0),
    questions: parts.question ? [parts.question] : asked.questions,
    answers: parts.answers ?? [],
    authorities: parts.authorities ?? [],
    additionals: parts.additionals ?? [],
  })
}

export const soa = (zone: string, ttl: number, minimum: number): unknown => ({
  name: zone,
  type: 'SOA',
  ttl,
  data: { mname: `ns.${zone}`, rname: `hostmaster.${zone}`, serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
})

/** One exchange as the script sees it. */
export interface Asked {
  readonly server: DnsServer
  readonly protocol: DnsProtocol
  readonly query: Buffer
  /** Answers from the server's side; ignored once the resolver closed the exchange. */
  readonly answer: (bytes: Buffer) => void
  readonly fail: (cause: string) => void
}

/** A transport whose servers do what `script` does with each message; everything sent is kept in `asked`. */
export class ScriptedTransport implements DnsTransport {
  readonly asked: Asked[] = []
  open_ = 0
  readonly #script: (asked: Asked, index: number) => void

  constructor(script: (asked: Asked, index: number) => void = () => {}) {
    this.#script = script
  }

  open(server: DnsServer, protocol: DnsProtocol, events: DnsExchangeEvents): DnsExchange {
    let live = true
    this.open_++
    return {
      send: (query) => {
        const asked: Asked = {
          server,
          protocol,
          query,
          answer: (bytes) => void (live && events.message(bytes)),
          fail: (cause) => void (live && events.failed(cause)),
        }
        this.asked.push(asked)
        // As real sockets do, never from within `send`.
        queueMicrotask(() => this.#script(asked, this.asked.indexOf(asked)))
      },
      close: () => {
        if (live) this.open_--
        live = false
      },
    }
  }
}
