// The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a state machine. Deliver threads.
//
// Bytes and events in, bytes and reports out; no socket, clock or timer inside: `deadline` says when `onTimeout` is due.
// Three modes follow each other: opening.ts brings the session up, pipeline.ts moves mail, QUIT ends it. Invariants:
// `ended` is said exactly once, as the last word; before it, everything that was granted is settled or returned.

import type { GrantItem, RowRef } from '../queue/ports.ts'
import { ReplyCode } from '../wire/smtp/codes.ts'
import { ReplyParser } from '../wire/smtp/reply.ts'
import type { Reply } from '../wire/smtp/reply.ts'
import type { DeliverLimits } from './limits.ts'
import { Opening } from './opening.ts'
import type { OpeningOptions, OpeningReply, OpeningStep, TlsResult } from './opening.ts'
import { replyOf } from './outcome.ts'
import type { Output } from './output.ts'
import type { Piece } from './piece.ts'
import { Pipeline } from './pipeline.ts'
import type { EndKind, Failure, PipelineHost } from './pipeline.ts'
import { Writer } from './writer.ts'
import type { ByteSink, LineTrace } from './writer.ts'

/** The connection as a client sees it. Calls take effect when the event that caused them returns. */
export interface ClientHost extends ByteSink, PipelineHost {
  /** After the bytes before it: handshake, then `onTls` or `onEnd`. What the peer sent behind its 220 is discarded. */
  startTls(): void
  /** After the bytes before it: end the connection. */
  hangUp(): void
  /** The session is open: mail can go. */
  opened(session: SessionInfo): void
  /** The session is over. */
  ended(end: SessionEnd): void
}

export interface SessionInfo {
  readonly tls: TlsResult | undefined
  readonly tlsFallback: string
}

export interface SessionEnd {
  /** Whether the session was open. */
  readonly opened: boolean
  readonly kind: EndKind
  /** What was awaited. */
  readonly stage: string
  readonly reply: Reply
  readonly messages: number
}

export interface ClientOptions extends OpeningOptions {
  readonly site: string
  readonly source: string
  /** `host[address]:port`. */
  readonly peer: string
  readonly limits: DeliverLimits
  readonly recipientsMost: number
  readonly messagesMost: number
  readonly idleMs: number
}

type Mode = 'opening' | 'mail' | 'quit' | 'ended'

/** How long each reply may take (RFC 5321 §4.5.3.2). */
const PATIENCE: Readonly<Record<string, (limits: DeliverLimits) => number>> = {
  banner: (limits) => limits.bannerTimeoutMs,
  ehlo: (limits) => limits.replyTimeoutMs,
  helo: (limits) => limits.replyTimeoutMs,
  starttls: (limits) => limits.startTlsTimeoutMs,
  tls: (limits) => limits.startTlsTimeoutMs,
  auth: (limits) => limits.replyTimeoutMs,
  mail: (limits) => limits.replyTimeoutMs,
  rcpt: (limits) => limits.replyTimeoutMs,
  data: (limits) => limits.dataReplyTimeoutMs,
  body: (limits) => limits.dataBlockTimeoutMs,
  final: (limits) => limits.finalDotTimeoutMs,
  reset: (limits) => limits.resetTimeoutMs,
  quit: (limits) => limits.resetTimeoutMs,
}

const NO_REPLY: Reply = { code: 0, enhanced: '', text: '' }

export class SmtpClient {
  readonly #options: ClientOptions
  readonly #host: ClientHost
  readonly #trace: LineTrace | undefined
  readonly #writer: Writer
  readonly #parser: ReplyParser
  readonly #opening: Opening
  #pipeline: Pipeline | undefined
  #mode: Mode = 'opening'
  #handshaking = false
  #deadline = Infinity

  constructor(options: ClientOptions, host: ClientHost, out: Output, trace: LineTrace | undefined) {
    this.#options = options
    this.#host = host
    this.#trace = trace
    this.#writer = new Writer(host, out, trace)
    this.#parser = new ReplyParser({ lineBytesMax: options.limits.replyLineBytesMax, linesMax: options.limits.replyLinesMax })
    this.#opening = new Opening(options, this.#writer)
  }

  /** ms since 1970 when `onTimeout` is due. */
  get deadline(): number {
    return this.#deadline
  }

  /** What is awaited, `idle` when nothing is. */
  get stage(): string {
    if (this.#mode === 'mail' && this.#pipeline) return this.#pipeline.stage
    return this.#mode === 'opening' ? this.#opening.stage : this.#mode
  }

  /** The connection is there; with implicit TLS its handshake is over too. */
  start(now: number, tls?: TlsResult): void {
    this.#arm(now)
    if (tls) this.#step(this.#opening.onTls(tls), now)
    this.#turn(now)
  }

  ingest(buf: Buffer, start: number, end: number, now: number): void {
    let at = start
    while (at < end && this.#mode !== 'ended' && !this.#handshaking) {
      at = this.#parser.feed(buf, at, end)
      if (this.#parser.status === 'more') break
      if (this.#parser.status === 'error') this.#fail(this.#nonsense(), now)
      else this.#onReply(now)
    }
    this.#turn(now)
  }

  onTls(tls: TlsResult, now: number): void {
    if (this.#mode !== 'opening') return
    this.#handshaking = false
    this.#trace?.line('note', `${tls.protocol}${tls.certificateError === '' ? '' : `, certificate: ${tls.certificateError}`}`)
    this.#step(this.#opening.onTls(tls), now)
    this.#arm(now)
    this.#turn(now)
  }

  grant(items: readonly GrantItem[], now: number): void {
    if (this.#mode === 'mail' && this.#pipeline) {
      const idle = this.#pipeline.stage === 'idle'
      this.#pipeline.grant(items, now)
      // Work behind a reply that is awaited does not give it more time.
      if (idle) this.#arm(now)
    } else {
      for (const item of items) this.#host.returned(item, 'unused')
    }
    this.#turn(now)
  }

  /** Finishes what was begun, returns the rest, says QUIT. */
  close(now: number): void {
    this.#pipeline?.close()
    if (this.#mode === 'opening') this.#fail({ kind: 'closed', stage: this.#opening.stage, reply: NO_REPLY }, now)
    this.#turn(now)
  }

  /** Ends now: what was begun is deferred for `cause`, the rest returns. */
  abort(cause: string, now: number): void {
    this.#end('closed', this.stage, { code: 0, enhanced: '4.3.2', text: cause }, now)
  }

  /** Adds the groups that are neither settled nor returned. */
  expire(now: number): void {
    this.#pipeline?.expire(now)
  }

  held(into: RowRef[]): void {
    this.#pipeline?.held(into)
  }

  onPiece(ticket: number, piece: Piece, now: number): void {
    this.#pipeline?.onPiece(ticket, piece, now)
    this.#progress(now)
  }

  onPieceError(ticket: number, cause: string, now: number): void {
    const failure = this.#mode === 'mail' ? this.#pipeline?.onPieceError(ticket, cause, now) : undefined
    if (failure) this.#fail(failure, now)
    this.#turn(now)
  }

  onDrain(now: number): void {
    this.#writer.onDrain()
    this.#pipeline?.onDrain(now)
    this.#progress(now)
  }

  /** The connection ended, or its handshake failed, for `cause`. */
  onEnd(cause: string, now: number): void {
    if (this.#mode === 'quit') this.#end('closed', 'quit', NO_REPLY, now)
    else this.#fail(this.#cutOff(`connection lost${cause === '' ? '' : ` (${cause})`}`), now)
  }

  onTimeout(now: number): void {
    if (now < this.#deadline || this.#mode === 'ended') return
    if (this.#mode === 'quit') this.#end('closed', 'quit', NO_REPLY, now)
    else if (this.stage === 'idle') this.#quit(now)
    else this.#fail(this.#cutOff('timed out'), now)
    this.#turn(now)
  }

  // ---- Replies ----

  #onReply(now: number): void {
    if (this.#trace?.active) this.#traceReply(this.#trace)
    if (this.#mode === 'opening') this.#step(this.#opening.onReply(this.#openingReply()), now)
    else if (this.#mode === 'mail') this.#onMailReply(this.#pipeline as Pipeline, now)
    else this.#end('closed', 'quit', NO_REPLY, now)
    this.#arm(now)
  }

  #onMailReply(pipeline: Pipeline, now: number): void {
    const { code } = this.#parser
    const reply = code >= 400 || pipeline.needsText ? this.#reply() : { code, enhanced: '', text: '' }
    const failure = pipeline.onReply(reply, now)
    if (failure) this.#fail(failure, now)
  }

  #step(step: OpeningStep, now: number): void {
    if (step === 'more') return
    if (step === 'ready') this.#open(now)
    else if (step === 'tls') this.#startTls()
    else this.#refuse(step, now)
  }

  /** RFC 3207 §4.2: nothing that came in plain text behind the 220 is read. */
  #startTls(): void {
    this.#handshaking = true
    this.#writer.flush()
    this.#host.startTls()
  }

  #open(now: number): void {
    const { options, opening } = { options: this.#options, opening: this.#opening }
    this.#mode = 'mail'
    const origin = {
      site: options.site,
      source: options.source,
      peer: options.peer,
      peerDsn: opening.capabilities.dsn,
      peerDeliverBy: opening.capabilities.deliverBy >= 0,
      tls: opening.tls?.protocol ?? '',
    }
    const { protocol, recipientsMost, messagesMost } = options
    this.#pipeline = new Pipeline({ protocol, peer: opening.capabilities, origin, recipientsMost, messagesMost }, this.#writer, this.#host)
    this.#host.opened({ tls: opening.tls, tlsFallback: opening.tlsFallback })
    this.#pipeline.advance(now)
    this.#arm(now)
  }

  // ---- Ends ----

  #quit(now: number): void {
    const reply = { code: 0, enhanced: '4.5.3', text: 'the peer takes no more transactions in this session' }
    this.#pipeline?.abandon({ kind: 'closed', reply }, now)
    this.#mode = 'quit'
    this.#writer.command('QUIT\r\n')
    this.#arm(now)
  }

  /** A peer that talks sense gets a goodbye (RFC 5321 §4.1.1.10, RFC 3207 §4.1); one that has not greeted or is closing does not. */
  #refuse(failure: Failure, now: number): void {
    const { stage, reply } = failure
    const listens = reply.code !== ReplyCode.unavailable && (stage !== 'banner' || reply.code !== 0)
    if (listens) this.#writer.command('QUIT\r\n')
    this.#fail(failure, now)
  }

  #fail(failure: Failure, now: number): void {
    this.#end(failure.kind, failure.stage, failure.reply, now)
  }

  #end(kind: SessionEnd['kind'], stage: string, reply: Reply, now: number): void {
    if (this.#mode === 'ended') return
    const opened = this.#pipeline !== undefined
    this.#mode = 'ended'
    this.#deadline = Infinity
    this.#pipeline?.abandon({ kind, reply }, now)
    this.#writer.flush()
    this.#host.hangUp()
    this.#host.ended({ opened, kind, stage, reply, messages: this.#pipeline?.messages ?? 0 })
  }

  #cutOff(what: string): Failure {
    const stage = this.stage
    // A peer that restarts, or is tired of waiting for work, has nothing against the site's mail.
    const kind = stage === 'idle' ? 'closed' : this.#endKind(false)
    return { kind, stage, reply: { code: 0, enhanced: '4.4.2', text: `${what} while ${WAITING[stage] ?? stage}` } }
  }

  #nonsense(): Failure {
    const text = `the server answered with garbage: ${this.#parser.error}`
    return { kind: this.#endKind(true), stage: this.stage, reply: { code: 0, enhanced: '4.5.0', text } }
  }

  /** Whom it concerns that the session ends here. */
  #endKind(garbage: boolean): EndKind {
    return this.#mode === 'quit' ? 'closed' : (this.#pipeline?.endKind(garbage) ?? 'throttled')
  }

  // ---- Turns and time ----

  /** Content moved: the block's time starts again. */
  #progress(now: number): void {
    if (this.#mode === 'mail') this.#arm(now)
    this.#turn(now)
  }

  /** The end of every event: one write, and QUIT when nothing is left to do. */
  #turn(now: number): void {
    if (this.#mode === 'mail' && (this.#pipeline as Pipeline).finished) this.#quit(now)
    this.#writer.flush()
  }

  #arm(now: number): void {
    if (this.#mode === 'ended') return
    const stage = this.stage
    this.#deadline =
      now + (stage === 'idle' ? this.#options.idleMs : (PATIENCE[stage] as (limits: DeliverLimits) => number)(this.#options.limits))
  }

  #reply(): Reply {
    return replyOf(this.#parser, this.#options.limits.replyTextBytes)
  }

  #openingReply(): OpeningReply {
    const parser = this.#parser
    const { code, enhanced, text } = this.#reply()
    return { code, enhanced, text, lines: () => parser.lines() }
  }

  #traceReply(trace: LineTrace): void {
    const lines = this.#parser.lines()
    const secret = this.#mode === 'opening' && this.#opening.stage === 'auth' && this.#parser.code === ReplyCode.authChallenge
    lines.forEach((line, i) => trace.line('in', `${this.#parser.code}${i + 1 < lines.length ? '-' : ' '}${secret ? '****' : line}`))
  }
}

/** What a session was doing at each stage, for the text of a failure. */
const WAITING: Readonly<Record<string, string>> = {
  banner: 'waiting for the banner',
  ehlo: 'waiting for the reply to the greeting',
  helo: 'waiting for the reply to HELO',
  starttls: 'waiting for the reply to STARTTLS',
  tls: 'in the TLS handshake',
  auth: 'waiting for the reply to AUTH',
  mail: 'waiting for the reply to MAIL',
  rcpt: 'waiting for the reply to RCPT',
  data: 'waiting for the reply to DATA',
  body: 'sending the content',
  final: 'waiting for the reply to the content',
  reset: 'waiting for the reply to RSET',
  idle: 'idle',
}
