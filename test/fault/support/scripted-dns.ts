// A scripted name server over real sockets, UDP and TCP on one port of loopback: it may be silent, lie, cut off or wait.

import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import packet from 'dns-packet'
import { replyTo, soa, type ReplyParts } from '../../support/dns.ts'

export interface DnsQuestion {
  /** In lower case. */
  readonly name: string
  readonly type: string
  readonly protocol: 'udp' | 'tcp'
  readonly query: Buffer
}

/** Parts of a reply, whole messages, or undefined for silence. A promise answers when it is settled. */
export type DnsAnswer = ReplyParts | readonly Buffer[] | undefined
export type DnsScript = (question: DnsQuestion) => DnsAnswer | Promise<DnsAnswer>

const NXDOMAIN = 3
const TTL = 300

interface Names {
  readonly A?: readonly string[]
  readonly MX?: readonly (readonly [preference: number, exchange: string])[]
}

/** Records by name; a name without records has no data. */
export type Zone = Readonly<Record<string, Names>>

/** Answers from `zone`; names that are not there do not exist. */
export function zoneAnswer(zone: Zone, { name, type }: DnsQuestion): ReplyParts {
  const records = zone[name]
  const authorities = [soa('test', TTL, TTL)]
  if (!records) return { rcode: NXDOMAIN, authorities }
  const data: readonly unknown[] =
    type === 'A' ? (records.A ?? []) : type === 'MX' ? (records.MX ?? []).map(([preference, exchange]) => ({ preference, exchange })) : []
  return data.length > 0 ? { answers: data.map((value) => ({ name, type, ttl: TTL, data: value })) } : { authorities }
}

export class ScriptedDns {
  /** Every question as `PROTOCOL TYPE name`, in order. */
  readonly asked: string[] = []
  readonly #script: DnsScript
  readonly #tcp: Server
  readonly #udp: UdpSocket
  readonly #sockets = new Set<Socket>()

  private constructor(script: DnsScript) {
    this.#script = script
    this.#udp = createSocket('udp4')
    this.#tcp = createServer((socket) => this.#accept(socket))
  }

  static async start(script: DnsScript): Promise<ScriptedDns> {
    const dns = new ScriptedDns(script)
    dns.#tcp.listen(0, '127.0.0.1')
    await once(dns.#tcp, 'listening')
    dns.#udp.on('message', (query, from) => void dns.#answer(query, 'udp', (reply) => dns.#udp.send(reply, from.port, from.address)))
    dns.#udp.bind((dns.#tcp.address() as AddressInfo).port, '127.0.0.1')
    await once(dns.#udp, 'listening')
    return dns
  }

  /** For `dns.servers` of a configuration. */
  get address(): string {
    return `127.0.0.1:${(this.#tcp.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#udp.close()
    await new Promise((resolve) => this.#tcp.close(resolve))
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    let input: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk])
      while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
        const query = input.subarray(2, 2 + input.readUInt16BE(0))
        input = input.subarray(2 + query.length)
        void this.#answer(query, 'tcp', (reply) => socket.write(Buffer.concat([Buffer.of(reply.length >> 8, reply.length & 0xff), reply])))
      }
    })
  }

  async #answer(query: Buffer, protocol: 'udp' | 'tcp', send: (reply: Buffer) => void): Promise<void> {
    const question = packet.decode(query).questions?.[0]
    if (!question) return
    const name = question.name.toLowerCase()
    this.asked.push(`${protocol} ${question.type} ${name}`)
    const answer = await this.#script({ name, type: question.type, protocol, query })
    if (answer === undefined) return
    if (Array.isArray(answer)) for (const reply of answer as readonly Buffer[]) send(reply)
    else send(replyTo(query, answer as ReplyParts))
  }
}
