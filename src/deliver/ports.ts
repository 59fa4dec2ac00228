// What the outbound side is given and what it tells its host: types only, no I/O. Deliver threads.
//
// The scheduler decides what goes next and over how many connections; deliver opens them, asks for work, and reports
// what became of each recipient. Every grant ends in exactly one of: its groups are settled, or the item is returned.

import type { ConnectionEnd, ReturnedItem, ReturnReason, Site } from '../queue/ports.ts'
import type { Envelope, Group, MessageId, Settlement } from '../spool/types.ts'

// ---- Where mail goes: made by the router, kept by the scheduler, read here ----

/**
 * `off`: never. `opportunistic`: when offered, without checking the certificate, plain when the handshake fails.
 * `required`: no plain text, certificate unchecked. `verify`: the certificate must be valid for the host's name.
 */
export type TlsPolicy = 'off' | 'opportunistic' | 'required' | 'verify'

/** AUTH to a smart host. */
export interface Credentials {
  readonly user: string
  readonly password: string
  /** Whether AUTH may happen without TLS; for labs. */
  readonly allowPlaintext?: boolean
}

export interface DestinationHost {
  /** Name for SNI, certificate check and logs; the address itself for an address literal and for a socket on this machine. */
  readonly name: string
  /** 0 for a socket on this machine. */
  readonly port: number
  /** IPv4 and IPv6 addresses as text, the families in the order to try them; or the absolute path of a socket on this machine. */
  readonly addresses: readonly string[]
  readonly preference: number
}

export type Destination =
  | HostsDestination
  /** Everything counts as delivered. */
  | { readonly kind: 'discard' }
  /** Everything is written into a Maildir. */
  | { readonly kind: 'capture'; readonly dir: string }

export interface HostsDestination {
  readonly kind: 'hosts'
  readonly protocol: 'smtp' | 'lmtp'
  /** By preference; each connection shuffles equal ones (RFC 5321 §5.1). */
  readonly hosts: readonly DestinationHost[]
  readonly tls: TlsPolicy
  /** TLS from the first byte (RFC 8314), for `smtps://` smart hosts. */
  readonly implicitTls?: boolean
  readonly auth?: Credentials
  /** The hosts come from a foreign MX: loopback, link-local and own addresses are refused. */
  readonly fromMx: boolean
}

/** The scheduler's site with our route. */
export type DeliverSite = Site<Destination>

/** An egress source. */
export interface EgressSource {
  readonly name: string
  /** Name for EHLO. */
  readonly hello: string
  /** Local addresses to bind to; without one the system chooses. */
  readonly address4?: string
  readonly address6?: string
}

// ---- What the thread is told ----

/** The peer of a connection that is up. */
export interface PeerInfo {
  /** `host[address]:port`, or the path of a socket on this machine. */
  readonly peer: string
  /** `TLSv1.3` and the like, '' for plain. */
  readonly tls: string
  /** Why an opportunistic handshake failed and plain text is used, '' when none did. */
  readonly tlsFallback: string
  /** What is wrong with the peer's certificate, '' when it is valid for the name or there is no TLS. */
  readonly certificateError: string
}

/** How a connection ended, and where. */
export interface ConnectionDown extends ConnectionEnd {
  /** What was awaited: `connect`, `banner`, `ehlo`, `starttls`, `tls`, `auth`, `mail`, `rcpt`, `data`, `body`, `final`, … */
  readonly stage: string
  /** `TLSv1.3` and the like, '' for plain. */
  readonly tls: string
  /** ms since 1970. */
  readonly startedAt: number
  readonly finishedAt: number
}

/** The deliver thread, as its core sees it. Implementations must not throw. */
export interface DeliverHost {
  connectionUp(conn: number, info: PeerInfo): void
  /** Asks for up to `want` more items; repeated requests replace each other. */
  pull(conn: number, want: number, onHand: number): void
  /** Items of which nothing was said to the peer: `unused`, or `error` when the spool gave no such message or group. */
  returned(conn: number, items: readonly ReturnedItem[], reason: ReturnReason, cause?: string): void
  /** The last word about a connection; everything granted to it was settled or returned before. */
  connectionDown(conn: number, down: ConnectionDown): void
  /** Outcomes of one turn of the loop. */
  settle(settlements: Settlement[]): void
}

// ---- The spool ----

/** A message as delivery reads it. */
export interface StoredMessage {
  readonly envelope: Envelope
  /** The whole body when it is stored inline, else undefined: then `openBody`. Never changes. */
  readonly inline: Buffer | undefined
}

/** A body that is not inline. Exactly one `close` ends it. */
export interface BodyStream {
  readonly bytes: number
  /** Reads up to `length` bytes of the body from `offset` into `buffer` at `at`; resolves with the number read, 0 at the end. */
  read(offset: number, buffer: Buffer, at: number, length: number): Promise<number>
  close(): void
}

/** The spool's reader, as far as delivery needs it. */
export interface MessageReader {
  /** Makes what other threads have committed visible. */
  refresh(): void
  /** undefined: there is no such message any more. */
  message(id: MessageId): StoredMessage | undefined
  openBody(message: StoredMessage, recent?: boolean): Promise<BodyStream>
  group(id: MessageId, group: number): Group | undefined
}

// ---- Observation ----

export type TraceDirection = 'in' | 'out' | 'note'

/** Live dialogue for `rohrpost trace out`. AUTH responses are blanked, bodies are only counted. */
export interface DeliverTrace {
  /** Whether anybody looks. */
  readonly active: boolean
  /** One line without its CRLF. */
  line(conn: number, site: string, direction: TraceDirection, text: string): void
  /** Another message begins; `text` names its owner, sender and recipients. */
  message(conn: number, site: string, text: string): void
}
