// A name server on loopback (UDP) for a few names, some of which it never answers about.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import packet from 'dns-packet'
import { replyTo, soa } from './dns.ts'

/** `NAME TYPE VALUE`, such as `a.test MX 10 mx.a.test` and `mx.a.test A 127.0.0.1`. */
export interface DnsZone {
  records: readonly string[]
  /** Names that get no answer. */
  silent?: readonly string[]
}

const TTL_S = 300
const NXDOMAIN = 3

function recordOf(line: string): { name: string; type: string; ttl: number; data: unknown } {
  const [name = '', type = '', ...rest] = line.split(' ')
  const data = type === 'MX' ? { preference: Number(rest[0]), exchange: rest[1] } : rest[0]
  return { name, type, ttl: TTL_S, data }
}

export class DnsServer {
  readonly #socket: Socket
  /** May be changed while it runs. */
  zone: DnsZone
  /** `NAME TYPE` of all questions so far. */
  readonly asked: string[] = []

  private constructor(socket: Socket, zone: DnsZone) {
    this.#socket = socket
    this.zone = zone
    socket.on('message', (query, { port, address }) => {
      const reply = this.#reply(query)
      if (reply) socket.send(reply, port, address)
    })
  }

  static async start(zone: DnsZone): Promise<DnsServer> {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return new DnsServer(socket, zone)
  }

  /** As `dns.servers` wants it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`
  }

  #reply(query: Buffer): Buffer | undefined {
    const question = packet.decode(query).questions?.[0]
    const name = question?.name.toLowerCase() ?? ''
    this.asked.push(`${name} ${question?.type}`)
    if (this.zone.silent?.includes(name)) return undefined
    const records = this.zone.records.map(recordOf).filter((record) => record.name === name)
    const answers = records.filter((record) => record.type === question?.type)
    if (answers.length > 0) return replyTo(query, { answers })
    return replyTo(query, { authorities: [soa('test', TTL_S, TTL_S)], rcode: records.length === 0 ? NXDOMAIN : 0 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()))
  }
}
