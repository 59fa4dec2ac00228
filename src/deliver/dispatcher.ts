// The outbound connections of one deliver thread: opened, fed and ended for the scheduler, outcomes handed on in batches.
//
// Calls come from the scheduler's channel, reports go to the host; neither calls back from within. Deadlines are looked at
// once a second for all connections together: none of them is shorter than that by much, and a timer a command costs more
// than the command.

import { randomBytes } from 'node:crypto'
import { assert } from '../lib/assert.ts'
import type { Clock, Timer } from '../lib/clock.ts'
import { systemRandom, type Random } from '../lib/prng.ts'
import { atTurnEnd } from '../lib/turn.ts'
import type { GrantItem, RowRef } from '../queue/ports.ts'
import type { Settlement } from '../spool/types.ts'
import { base64ToText } from '../wire/sasl/base64.ts'
import { Connection } from './connection.ts'
import type { ConnectionContext } from './connection.ts'
import type { DeliverLimits } from './limits.ts'
import { SETTLE_BATCH_MAX, SWEEP_MS } from './limits.ts'
import type { Line, LineHost } from './line.ts'
import { LocalLine } from './local-line.ts'
import { AddressGuard } from './mx.ts'
import { Output } from './output.ts'
import { PiecePool } from './piece.ts'
import type { DeliverHost, DeliverSite, DeliverTrace, EgressSource, MessageReader } from './ports.ts'
import { NetTransport } from './socket.ts'
import { Failures } from './recent.ts'
import { Reach } from './targets.ts'
import type { Transport } from './transport.ts'
import { lineTrace } from './writer.ts'

export interface DeliverSettings {
  /** By name; a connection from a source that is not here fails. */
  readonly sources: readonly EgressSource[]
  readonly limits: DeliverLimits
  /** Names, addresses and networks that MX delivery may reach although they are not public. */
  readonly allowHosts: readonly string[]
  /** Addresses of this machine. */
  readonly ownAddresses: readonly string[]
}

export interface DeliverOptions extends DeliverSettings {
  readonly host: DeliverHost
  readonly reader: MessageReader
  readonly clock: Clock
  readonly trace?: DeliverTrace
  /** Default: the network. */
  readonly transport?: Transport
  /** Runs a function at the end of the turn of the loop; default: `atTurnEnd`. */
  readonly defer?: (fn: () => void) => void
  /** Random text for SCRAM; default: from the system. */
  readonly nonce?: () => string
  /** Which of equal hosts is tried first; default: from the system. */
  readonly random?: Random
}

const NONCE_BYTES = 18

/** No scheduler's number: what a retired connection says of itself is nobody's business. */
const RETIRED = -1

export class DeliverCore {
  readonly #host: DeliverHost
  readonly #reader: MessageReader
  readonly #clock: Clock
  readonly #trace: DeliverTrace | undefined
  readonly #defer: (fn: () => void) => void
  readonly #lines = new Map<number, Line>()
  /** Lines of a dead scheduler that finish what they have begun. */
  readonly #retired = new Set<Line>()
  readonly #flush: () => void
  #sources: ReadonlyMap<string, EgressSource> = new Map()
  #context: ConnectionContext
  #settlements: Settlement[] = []
  #scheduled = false
  #sweep: Timer | undefined
  #draining = false

  constructor(options: DeliverOptions) {
    this.#host = options.host
    this.#reader = options.reader
    this.#clock = options.clock
    this.#trace = options.trace
    this.#defer = options.defer ?? atTurnEnd
    this.#flush = () => this.#settle()
    const { limits, clock, reader } = options
    this.#context = {
      clock,
      limits,
      reader,
      transport: options.transport ?? new NetTransport({ clock, tlsSessionsMax: limits.tlsSessionsMax }),
      output: new Output(),
      pieces: new PiecePool(),
      tlsFailures: new Failures(limits.hostsRememberedMax, limits.tlsFailureMs),
      reach: new Reach(limits.hostsRememberedMax, limits.silenceMs),
      refuses: () => undefined,
      random: options.random ?? systemRandom(),
      nonce: options.nonce ?? (() => base64ToText(randomBytes(NONCE_BYTES))),
    }
    this.configure(options)
  }

  /** New settings; connections that exist keep theirs. */
  configure(settings: DeliverSettings): void {
    const { sources, limits, allowHosts, ownAddresses } = settings
    this.#sources = new Map(sources.map((source) => [source.name, source]))
    const guard = AddressGuard.make({ allowHosts, ownAddresses, refusePrivate: false })
    assert(guard.ok, 'allowHosts of a validated configuration parses')
    const { value } = guard
    this.#context = { ...this.#context, limits, refuses: (host, address) => value.refuses(host, address) }
  }

  /** `connectionUp` or `connectionDown` follows. */
  open(conn: number, site: DeliverSite, source: string): void {
    assert(!this.#lines.has(conn), 'a connection is opened once')
    const problem = this.#problem(source)
    if (problem !== '') {
      this.#refuse(conn, problem)
      return
    }
    const line = this.#line(conn, site, this.#sources.get(source) as EgressSource)
    this.#lines.set(conn, line)
    this.#watch()
    line.start()
  }

  /** Work for a connection that asked for it. */
  grant(conn: number, items: readonly GrantItem[]): void {
    const line = this.#lines.get(conn)
    if (!line) {
      this.#host.returned(conn, items, 'unused')
      return
    }
    // What was announced after the last read must be visible.
    this.#reader.refresh()
    line.grant(items)
  }

  /** QUIT after what was begun; the rest returns. `connectionDown` follows. */
  close(conn: number): void {
    this.#lines.get(conn)?.close()
  }

  /** Connections to hosts that `site` no longer names, or that it wants to be spoken to in another way, end as by `close`. */
  routeChanged(site: DeliverSite): void {
    for (const line of this.#lines.values()) if (line.site === site.key && !line.follows(site.route)) line.close()
  }

  /** Opens nothing more and ends all as by `close`; `connections` becomes 0. */
  drain(): void {
    this.#draining = true
    for (const line of this.#lines.values()) line.close()
  }

  /**
   * The scheduler died, and the next one numbers its connections anew: all end as by `close`, without a word of themselves.
   * To cut them would be to send again what a peer has taken and not yet answered.
   */
  retire(): void {
    for (const line of this.#lines.values()) this.#retired.add(line)
    this.#lines.clear()
    for (const line of this.#retired) line.close()
  }

  /** Cuts all: what was begun is deferred, the rest returned, before it returns. */
  abort(): void {
    for (const line of this.#all()) line.abort()
    this.#settle()
  }

  get connections(): number {
    return this.#lines.size + this.#retired.size
  }

  /** Groups granted and neither settled nor returned yet. */
  held(): RowRef[] {
    this.#settle()
    const rows: RowRef[] = []
    for (const line of this.#all()) line.held(rows)
    return rows
  }

  #problem(source: string): string {
    if (this.#draining) return 'the server stops'
    if (!this.#sources.has(source)) return `no source is called ${source}`
    return this.connections < this.#context.limits.outboundConnectionsMax ? '' : 'too many outbound connections'
  }

  #refuse(conn: number, text: string): void {
    const now = this.#clock.now()
    const reply = { code: 0, enhanced: '4.3.2', text }
    const kind = this.#draining ? 'closed' : 'failed'
    this.#host.connectionDown(conn, { kind, stage: 'connect', reply, peer: '', tls: '', messages: 0, startedAt: now, finishedAt: now })
  }

  #line(conn: number, site: DeliverSite, source: EgressSource): Line {
    const { route } = site
    const host = this.#lineHost(conn, () => line)
    const trace = lineTrace(this.#trace, conn, site.key)
    const line: Line =
      route.kind === 'hosts'
        ? new Connection(this.#context, host, site, route, source, trace)
        : new LocalLine(host, site, route, source, this.#reader, this.#clock)
    return line
  }

  #all(): Line[] {
    return [...this.#lines.values(), ...this.#retired]
  }

  #lineHost(number: number, line: () => Line): LineHost {
    const conn = (): number => (this.#retired.has(line()) ? RETIRED : number)
    return {
      up: (info) => this.#host.connectionUp(conn(), info),
      pull: (want, onHand) => this.#host.pull(conn(), want, onHand),
      settled: (settlement) => this.#settled(settlement),
      returned: (item, reason, cause) => this.#host.returned(conn(), [{ id: item.id, groups: item.groups }], reason, cause),
      down: (down) => {
        const known = conn()
        if (!this.#retired.delete(line())) this.#lines.delete(number)
        if (this.connections === 0) this.#unwatch()
        // Outcomes come before the end of the connection that had them.
        this.#settle()
        this.#host.connectionDown(known, down)
      },
    }
  }

  #settled(settlement: Settlement): void {
    this.#settlements.push(settlement)
    if (this.#settlements.length >= SETTLE_BATCH_MAX) this.#settle()
    if (this.#scheduled || this.#settlements.length === 0) return
    this.#scheduled = true
    this.#defer(this.#flush)
  }

  #settle(): void {
    this.#scheduled = false
    if (this.#settlements.length === 0) return
    const batch = this.#settlements
    this.#settlements = []
    this.#host.settle(batch)
  }

  /** Deadlines are looked at while there are connections. */
  #watch(): void {
    if (!this.#sweep) this.#sweep = this.#clock.after(SWEEP_MS, () => this.#onSweep())
  }

  #unwatch(): void {
    this.#sweep?.cancel()
    this.#sweep = undefined
  }

  #onSweep(): void {
    this.#sweep = undefined
    const now = this.#clock.now()
    for (const line of this.#all()) {
      line.expire(now)
      if (line.deadline <= now) line.onDeadline(now)
    }
    if (this.connections > 0) this.#watch()
  }
}
