// One SMTP, submission or LMTP connection as a state machine: bytes and answers in, replies out. Net threads.
//
// Invariants:
// - `ingest` reads nothing while it waits for somebody's answer; what it left is fed again after `host.resume()`.
// - Each command has exactly one reply (over LMTP: one a recipient), in order, whatever the command was.
// - The deadline moves with what was asked of the client, never with single bytes of an answer.

import { Verb } from '../../wire/smtp/command.ts'
import type { AuthStep } from '../auth/ports.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { applyAuthStep, proceedAuthLine, refuseAuthLine } from './auth.ts'
import { ingestChunk } from './bdat.ts'
import { COMMANDS } from './commands.ts'
import type { CommandRow } from './commands.ts'
import type { SmtpSessionConfig } from './config.ts'
import { messageCommitted } from './content.ts'
import { Conversation } from './conversation.ts'
import { ingestData } from './data.ts'
import { LineReader } from './lines.ts'
import type { ClientFacts, RecipientDecision, SmtpHost, SpoolError, Stage, TlsFacts } from './ports.ts'
import { prepare } from './prepare.ts'
import { applyDecision } from './rcpt.ts'
import { tlsEstablished } from './starttls.ts'
import { proceedTooLong, proceedUnknown } from './unknown.ts'

const ROWS = new Map<number, CommandRow>(COMMANDS.map((row) => [row.word, row]))

export class SmtpSession {
  readonly #c: Conversation
  readonly #lines = new LineReader()
  /** When the client was last asked for something: ms since 1970. */
  #askedAt: number
  #ingesting = false
  /** The client sent its last byte, but a message of its is still being written. */
  #ended = false

  constructor(config: SmtpSessionConfig, client: ClientFacts, host: SmtpHost, now: number) {
    this.#c = new Conversation(config, prepare(config), client, host, (error) => this.#onCommitted(error), now)
    this.#askedAt = now
  }

  /** Ms since 1970 at which `onTimeout` is due, or Infinity while it is not the client's turn. */
  get deadline(): number {
    const c = this.#c
    if (c.closed || c.waiting !== 'nobody') return Infinity
    const { commandTimeoutMs, dataTimeoutMs, transactionMsMax, sessionMsMax } = c.config.limits
    const due = this.#askedAt + (c.mode === 'data' || c.mode === 'chunk' ? dataTimeoutMs : commandTimeoutMs)
    return Math.min(due, c.inTransaction ? c.transaction.startedAt + transactionMsMax : c.startedAt + sessionMsMax)
  }

  /** The client's address, after PROXY and XCLIENT. */
  get client(): string {
    return this.#c.client.address
  }

  /** Whether its proxy cannot name it: `client` is then the proxy's. */
  get clientUnknown(): boolean {
    return this.#c.client.unknown
  }

  /** Whether the next line is an AUTH response, to be blanked in traces. */
  get secretInput(): boolean {
    return this.#c.mode === 'auth'
  }

  /** Whether the next bytes are message content, to be counted only in traces. */
  get bodyInput(): boolean {
    return this.#c.mode === 'data' || this.#c.mode === 'chunk'
  }

  /** The greeting; after the handshake where TLS comes first. */
  greet(now: number): void {
    this.#event(now)
    this.#c.host.write(this.#c.prepared.greeting)
  }

  /**
   * Consumes bytes and returns the position up to which it did. Less than `end` means that it waits for an answer, or,
   * when it got any further, that the rest is to be fed again at once: `secretInput` or `bodyInput` has changed.
   */
  ingest(buf: Buffer, start: number, end: number, now: number): number {
    const c = this.#c
    c.now = now
    this.#ingesting = true
    const { mode } = c
    let at = start
    while (at < end && c.waiting === 'nobody' && !c.closed && c.mode === mode) at = this.#step(buf, at, end)
    this.#ingesting = false
    this.#lines.release()
    c.line.release()
    // What was pipelined behind STARTTLS was not protected and must not be taken for protected (RFC 3207 §4.2).
    return c.closed || c.waiting === 'tls' ? end : at
  }

  onTls(info: TlsFacts, now: number): void {
    this.#event(now)
    this.#lines.clear()
    tlsEstablished(this.#c, info)
  }

  onAuth(ticket: number, step: AuthStep, now: number): void {
    const c = this.#c
    if (c.closed || c.waiting !== 'auth' || ticket !== c.ticket) return
    this.#event(now)
    c.waiting = 'nobody'
    applyAuthStep(c, step)
    this.#goOn()
  }

  onRecipient(ticket: number, decision: Exclude<RecipientDecision, { kind: 'ask' }>, now: number): void {
    const c = this.#c
    const { asked } = c
    if (c.closed || c.waiting !== 'recipient' || ticket !== c.ticket || !asked) return
    this.#event(now)
    c.waiting = 'nobody'
    c.asked = undefined
    applyDecision(c, decision, asked.params, asked.recipient)
    this.#goOn()
  }

  /** RFC 5321 §4.5.3.2: 421 and the end. */
  onTimeout(now: number): void {
    if (now < this.deadline) return
    this.#event(now)
    this.#c.end('timeout')
  }

  /** The client will send nothing more. A message that is being written still gets its reply. */
  onEnd(now: number): void {
    const c = this.#c
    if (c.closed) return
    this.#event(now)
    this.#ended = true
    if (c.waiting !== 'commit') c.close(c.inTransaction ? 'disconnected in a transaction' : 'disconnected')
  }

  /** The server stops: the transaction in progress is finished, then 421 (RFC 5321 §3.8). */
  drain(now: number): void {
    this.#event(now)
    this.#c.draining = true
    this.#endIfDrained()
  }

  #event(now: number): void {
    this.#c.now = now
    this.#askedAt = now
  }

  #onCommitted(error: SpoolError | undefined): void {
    messageCommitted(this.#c, error)
    this.#goOn()
  }

  /** After an answer. Inside of `ingest` its loop goes on by itself. */
  #goOn(): void {
    const c = this.#c
    if (this.#ended) c.close('disconnected')
    this.#endIfDrained()
    if (!this.#ingesting && !c.closed && c.waiting === 'nobody') c.host.resume()
  }

  #endIfDrained(): void {
    const c = this.#c
    if (c.draining && c.waiting === 'nobody' && !c.inTransaction && c.mode !== 'chunk') c.end('shutdown')
  }

  #step(buf: Buffer, at: number, end: number): number {
    switch (this.#c.mode) {
      case 'command':
        return this.#command(buf, at, end)
      case 'auth':
        return this.#authLine(buf, at, end)
      case 'data':
        return this.#content(ingestData(this.#c, buf, at, end))
      case 'chunk':
        return this.#content(ingestChunk(this.#c, buf, at, end))
    }
  }

  /** Content was read: the client has kept its side, and the spool may need time. */
  #content(at: number): number {
    const c = this.#c
    this.#askedAt = c.now
    const { intake } = c.reception
    if (intake && intake.backlogBytes() > c.config.limits.intakeBacklogBytes) {
      c.waiting = 'spool'
      intake.onDrain(() => this.#onDrained())
    }
    this.#endIfDrained()
    return at
  }

  #onDrained(): void {
    if (this.#c.waiting !== 'spool') return
    this.#c.waiting = 'nobody'
    this.#goOn()
  }

  #command(buf: Buffer, at: number, end: number): number {
    const c = this.#c
    const lines = this.#lines
    const status = lines.read(buf, at, end, c.config.limits.authLineBytesMax)
    if (status === 'more') return lines.at
    this.#askedAt = c.now
    if (status === 'line') this.#dispatch()
    else if (status === 'tooLong') proceedTooLong(c)
    else this.#bareLf()
    this.#countIdle()
    this.#endIfDrained()
    return lines.at
  }

  /** What brings no message nearer: everything outside of a transaction, NOOP and its like inside, and empty chunks. */
  #countIdle(): void {
    const c = this.#c
    const isEmptyChunk = c.line.verb === Verb.bdat && c.chunk.octets === 0
    if (c.inTransaction && !isEmptyChunk && ROWS.get(c.line.verb)?.stage !== 'command') return
    c.idleCommands++
    if (c.idleCommands > c.config.limits.idleCommandsMax && c.waiting === 'nobody') c.end('idle-commands')
  }

  #dispatch(): void {
    const c = this.#c
    const { line } = c
    line.read(this.#lines.buf, this.#lines.start, this.#lines.end)
    const row = ROWS.get(line.verb)
    if (!row || row.offered?.(c) === false) return proceedUnknown(c, line, this.#lines)
    const refusal = this.#outOfPlace(row) ?? row.check?.(c)
    if (refusal) this.#refuseLine(refusal, row.stage)
    else row.proceed(c, line)
  }

  #bareLf(): void {
    this.#c.line.read(this.#lines.buf, this.#lines.start, this.#lines.end)
    this.#refuseLine(Answers.bareLfLine, 'command')
  }

  /** Behind a BDAT that was not read as one may come its octets: what is content and what are commands cannot be told. */
  #refuseLine(answer: Answer, stage: Stage): void {
    this.#c.refuse(answer, stage)
    if (this.#c.line.verb === Verb.bdat) this.#c.end('chunk-size')
  }

  /** What the row itself says: length of the line, place in the session, argument. */
  #outOfPlace(row: CommandRow): Answer | undefined {
    const c = this.#c
    // Only AUTH may be longer, by its initial response (RFC 4954 §4).
    if (row.word !== Verb.auth && this.#lines.length > c.config.limits.commandLineBytesMax) return Answers.lineTooLong
    if ((row.phases & c.phase) === 0) return c.config.kind === 'lmtp' ? Answers.lhloFirst : Answers.helloFirst
    if (row.argument === 'none' && c.line.hasArgument) return Answers.noArgument
    return row.argument === 'required' && !c.line.hasArgument ? Answers.argumentMissing : undefined
  }

  #authLine(buf: Buffer, at: number, end: number): number {
    const c = this.#c
    const lines = this.#lines
    const status = lines.read(buf, at, end, c.config.limits.authLineBytesMax)
    if (status === 'more') return lines.at
    this.#askedAt = c.now
    if (status === 'line') proceedAuthLine(c, lines.buf, lines.start, lines.end - 1)
    else refuseAuthLine(c, status === 'tooLong' ? Answers.authLineTooLong : Answers.bareLfLine)
    this.#endIfDrained()
    return lines.at
  }
}
