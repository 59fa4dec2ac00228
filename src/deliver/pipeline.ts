// The transactions of a session: grants in, commands out, replies to verdicts. Deliver threads; no I/O.
//
// With PIPELINING the envelope of the next message travels behind the content of the one before (RFC 2920 §3.1), so that
// a message costs one round trip; without it every command waits for its reply. Replies come in the order of the
// commands, and each transaction counts its own, so a reply always belongs to the first transaction in flight.
//
// Invariants: at most two transactions are in flight, the second one only behind the content of the first; every target
// gets a verdict, goes into another transaction, or returns untouched because MAIL was not answered.

import { assert } from '../lib/assert.ts'
import type { GrantItem, RowRef } from '../queue/ports.ts'
import type { MessageId } from '../spool/types.ts'
import { ReplyClass, ReplyCode, replyClass } from '../wire/smtp/codes.ts'
import type { Reply } from '../wire/smtp/reply.ts'
import type { Attempt, SettlementOrigin } from './attempt.ts'
import { Backlog } from './backlog.ts'
import type { BacklogHost } from './backlog.ts'
import { BodySender } from './body.ts'
import type { PieceSource } from './body.ts'
import type { Capabilities } from './capabilities.ts'
import { mailLine, rcptLine } from './commands.ts'
import { deferred, isTooMany, verdictOf } from './outcome.ts'
import type { Verdict } from './outcome.ts'
import type { Piece } from './piece.ts'
import { Stage, Transaction } from './transaction.ts'
import type { Writer } from './writer.ts'

/** Whom the end of a session concerns; see ConnectionEnd in queue/ports.ts. */
export type EndKind = 'throttled' | 'broken' | 'closed'

/** Why a session cannot go on. */
export interface Failure {
  readonly kind: EndKind
  readonly stage: string
  readonly reply: Reply
}

/** What holds for one session. */
export interface PipelineOptions {
  readonly protocol: 'smtp' | 'lmtp'
  readonly peer: Capabilities
  readonly origin: SettlementOrigin
  readonly recipientsMost: number
  /** Messages after which the session ends. */
  readonly messagesMost: number
}

export type PipelineHost = BacklogHost & PieceSource

type Handler = (tx: Transaction, reply: Reply) => Failure | undefined

export class Pipeline {
  readonly #options: PipelineOptions
  readonly #writer: Writer
  readonly #backlog: Backlog
  readonly #body: BodySender
  #inFlight: Transaction[] = []
  #now = 0
  /** Transactions begun, for the peer's MAILMAX. */
  #begun = 0
  #messages = 0
  /** The message of the last completed transaction. */
  #counted: MessageId = -1
  /** Recipients that a peer took before it said "too many". */
  #recipientsMost: number
  /** What to do with the reply awaited at each stage. */
  readonly #handlers: Readonly<Record<Stage, Handler>> = {
    [Stage.mail]: (tx, reply) => this.#onMail(tx, reply),
    [Stage.rcpt]: (tx, reply) => this.#onRcpt(tx, reply),
    [Stage.data]: (tx, reply) => this.#onData(tx, reply),
    [Stage.body]: (tx, reply) => this.#onEarly(tx, reply),
    [Stage.final]: (tx, reply) => this.#onFinal(tx, reply),
    [Stage.reset]: (tx, reply) => this.#onReset(tx, reply),
  }

  constructor(options: PipelineOptions, writer: Writer, host: PipelineHost) {
    this.#options = options
    this.#writer = writer
    this.#backlog = new Backlog(options, host)
    this.#body = new BodySender(writer, host)
    this.#recipientsMost = Math.min(options.recipientsMost, options.peer.rcptMax)
  }

  /** What is awaited, `idle` when nothing is. */
  get stage(): Stage | 'idle' {
    return this.#inFlight[0]?.stage ?? 'idle'
  }

  /** Messages of which a transaction was completed. */
  get messages(): number {
    return this.#messages
  }

  /**
   * Whom it concerns when the peer ends the session now, or by `garbage` makes it useless. Before the first transaction
   * that is the site. In the midst of one it is the message: it waits, and all others go on. Where everybody has a verdict
   * it is nobody.
   *
   * Peers take only so many messages in a session: at a later MAIL the end says nothing of this one, and it goes over the
   * next connection. The first one waits, lest a message that a peer cannot bear come back without end.
   */
  endKind(garbage = false): EndKind {
    const tx = this.#inFlight[0]
    if (!tx) return this.#messages > 0 ? 'closed' : 'throttled'
    if (tx.stage === Stage.mail) return garbage || this.#begun === 1 ? 'broken' : 'closed'
    return tx.unresolved().length > 0 ? 'broken' : 'closed'
  }

  /** Whether nothing is in flight and nothing more will be begun. */
  get finished(): boolean {
    return this.#inFlight.length === 0 && this.#backlog.finished
  }

  /** Whether the reply that comes next needs its text: those that accept a sender or a recipient do not. */
  get needsText(): boolean {
    const stage = this.stage
    return stage === Stage.final || stage === Stage.body
  }

  /** Work, or more of it. */
  grant(items: readonly GrantItem[], now: number): void {
    this.#backlog.add(items)
    this.advance(now)
  }

  /** Begins nothing new, but finishes what was begun. */
  close(): void {
    this.#backlog.close()
  }

  /** Adds the groups that are neither settled nor returned. */
  expire(now: number): void {
    this.#backlog.expire(now)
  }

  held(into: RowRef[]): void {
    this.#backlog.held(into)
  }

  onReply(reply: Reply, now: number): Failure | undefined {
    this.#now = now
    const tx = this.#inFlight[0]
    // RFC 5321 §3.8: the server is about to close, whatever the command was, or if there was none.
    if (reply.code === ReplyCode.unavailable) return { kind: this.endKind(), stage: this.stage, reply }
    if (!tx) return this.#outOfPlace(reply)
    const failure = this.#handlers[tx.stage](tx, reply)
    if (!failure) this.advance(now)
    return failure
  }

  /** A piece of the content arrived from the spool. */
  onPiece(ticket: number, piece: Piece, now: number): void {
    if (this.#body.onPiece(ticket, piece)) this.#contentSent(now)
  }

  /** The spool cannot give the content. A session in the middle of it cannot go on; before, it can until then. */
  onPieceError(ticket: number, cause: string, now: number): Failure | undefined {
    this.#now = now
    return this.#body.onPieceError(ticket, cause) ? this.#unreadable(this.#inFlight[0] as Transaction) : undefined
  }

  onDrain(now: number): void {
    if (this.#body.onDrain()) this.#contentSent(now)
  }

  /** Begins what can be begun, and asks for more. */
  advance(now: number): void {
    this.#now = now
    while (this.#mayBegin()) {
      const tx = this.#next()
      if (!tx) break
      this.#begin(tx)
    }
    this.#backlog.ask(now)
  }

  /** The session is over: verdict for what was begun, the rest returns. */
  abandon({ kind, reply }: Pick<Failure, 'kind' | 'reply'>, now: number): void {
    const [first, second] = this.#inFlight
    this.#inFlight = []
    this.#body.abandon()
    // The MAIL of the second one was not answered: nothing was said about it.
    if (second) second.attempt.putBack(second.targets)
    if (first?.stage === Stage.mail && kind !== 'broken') first.attempt.putBack(first.targets)
    else if (first) this.#lose(first, kind, lost(first, reply))
    this.#backlog.end(deferred('4.4.2', reply.text), now)
  }

  /** Those who have no verdict get this one. Who was just asked about may be the reason, and goes apart from the others. */
  #lose(tx: Transaction, kind: EndKind, verdict: Verdict): void {
    const suspect = kind === 'broken' && tx.stage === Stage.rcpt ? tx.targets[tx.answered] : undefined
    for (const target of tx.unresolved()) tx.attempt.resolve(target, target === suspect ? { ...verdict, apart: true } : verdict)
  }

  // ---- Sending ----

  #mayBegin(): boolean {
    const first = this.#inFlight[0]
    if (!first) return true
    if (this.#inFlight.length > 1 || !this.#options.peer.pipelining) return false
    return first.stage === Stage.final || first.stage === Stage.reset
  }

  #next(): Transaction | undefined {
    const begun = this.#backlog.next(this.#now)
    if (!begun) return undefined
    const { attempt, fit } = begun
    const targets = attempt.take(this.#recipientsMost, this.#options.peer.rcptDomainMax)
    assert(targets.length > 0, 'a transaction without recipients')
    return new Transaction(attempt, targets, fit, this.#options.peer.pipelining)
  }

  #begin(tx: Transaction): void {
    const before = this.#inFlight[0]
    // RFC 3030 §2: when BDAT fails, only RSET makes the state certain, and its failure is not known yet.
    if (before?.stage === Stage.final && before.fit.transfer === 'bdat') {
      this.#writer.command('RSET\r\n')
      before.resetSent = true
    }
    this.#inFlight.push(tx)
    this.#begun++
    // RFC 9422 §3: no more transactions in this session.
    if (this.#begun >= this.#options.peer.mailMax) this.#backlog.stop()
    this.#writer.noteMessage(tx.attempt.message.envelope, tx.targets)
    this.#body.prepare(tx.attempt.message, tx.fit)
    this.#sendEnvelope(tx)
  }

  #sendEnvelope(tx: Transaction): void {
    const { envelope } = tx.attempt.message
    const { peer } = this.#options
    let lines = mailLine(envelope, tx.fit, peer, this.#now)
    if (tx.pipelined) {
      for (const target of tx.targets) lines += rcptLine(target.recipient, envelope, peer)
      // BDAT does not ask first: it goes out when somebody was accepted.
      if (tx.fit.transfer === 'data') lines += 'DATA\r\n'
    }
    this.#writer.command(lines)
  }

  #sendRcpt(tx: Transaction): void {
    const target = tx.targets[tx.answered]
    assert(target !== undefined, 'a RCPT too many')
    this.#writer.command(rcptLine(target.recipient, tx.attempt.message.envelope, this.#options.peer))
  }

  #sendContent(tx: Transaction): Failure | undefined {
    if (this.#body.error !== '') return this.#unreadable(tx)
    tx.stage = this.#body.send() ? Stage.final : Stage.body
    return undefined
  }

  /** Nobody shall get half a message, and no verdict is due to our own trouble: the message comes back. */
  #unreadable(tx: Transaction): Failure {
    const text = `the spool cannot be read: ${this.#body.error}`
    this.#inFlight.shift()
    tx.attempt.putBack(tx.accepted)
    this.#backlog.unreadable(tx.attempt, deferred('4.3.0', text), this.#now)
    return { kind: 'closed', stage: tx.stage, reply: { code: 0, enhanced: '4.3.0', text } }
  }

  #contentSent(now: number): void {
    const tx = this.#inFlight[0] as Transaction
    tx.stage = Stage.final
    this.advance(now)
  }

  // ---- Replies ----

  #onMail(tx: Transaction, reply: Reply): Failure | undefined {
    if (isIntermediate(reply)) return this.#outOfPlace(reply)
    if (replyClass(reply.code) !== ReplyClass.completed) tx.mailRefusal = verdictOf(reply)
    tx.stage = Stage.rcpt
    if (tx.pipelined) return undefined
    if (tx.mailRefusal) return this.#envelopeDone(tx)
    this.#sendRcpt(tx)
    return undefined
  }

  #onRcpt(tx: Transaction, reply: Reply): Failure | undefined {
    if (isIntermediate(reply)) return this.#outOfPlace(reply)
    this.#answerRcpt(tx, reply)
    if (tx.answered === tx.targets.length) return this.#envelopeDone(tx)
    if (!tx.pipelined) this.#sendRcpt(tx)
    return undefined
  }

  #answerRcpt(tx: Transaction, reply: Reply): void {
    const target = tx.targets[tx.answered]
    assert(target !== undefined, 'a reply to RCPT too many')
    tx.answered++
    // After a refused MAIL the peer refuses all that follows; the reason is the first one.
    if (tx.mailRefusal) tx.attempt.resolve(target, tx.mailRefusal)
    else if (replyClass(reply.code) === ReplyClass.completed) tx.accepted.push(target)
    else if (tx.accepted.length > 0 && isTooMany(reply)) this.#putOff(tx, target)
    else tx.attempt.resolve(target, verdictOf(reply))
  }

  /** RFC 5321 §4.5.3.1.10: those who were accepted go now, the rest at once in the next transaction. */
  #putOff(tx: Transaction, target: Transaction['targets'][number]): void {
    tx.attempt.putOff(target)
    this.#recipientsMost = Math.min(this.#recipientsMost, tx.accepted.length)
  }

  /** All of MAIL and RCPT is answered. */
  #envelopeDone(tx: Transaction): Failure | undefined {
    if (tx.mailRefusal) tx.attempt.resolveAll(tx.targets.slice(tx.answered), tx.mailRefusal)
    const dataSent = tx.pipelined && tx.fit.transfer === 'data'
    if (tx.accepted.length === 0 && !dataSent) {
      this.#nobody(tx)
      return undefined
    }
    if (tx.fit.transfer === 'bdat') return this.#sendContent(tx)
    tx.stage = Stage.data
    if (!dataSent) this.#writer.command('DATA\r\n')
    return undefined
  }

  #onData(tx: Transaction, reply: Reply): Failure | undefined {
    if (reply.code === ReplyCode.startInput) {
      if (tx.accepted.length > 0) return this.#sendContent(tx)
      this.#sendEmpty(tx)
      return undefined
    }
    if (replyClass(reply.code) <= ReplyClass.intermediate) return this.#outOfPlace(reply)
    tx.attempt.resolveAll(tx.accepted, verdictOf(reply))
    this.#nobody(tx)
    return undefined
  }

  /** Nobody gets the content: RSET ends what the peer has open, which is nothing when MAIL was refused. */
  #nobody(tx: Transaction): void {
    this.#body.abandon()
    if (tx.mailRefusal) this.#done(tx)
    else this.#reset(tx)
  }

  /** RFC 2920 §3.1: DATA was taken although no recipient was; a single dot ends it, and nobody gets anything. */
  #sendEmpty(tx: Transaction): void {
    this.#body.abandon()
    tx.empty = true
    tx.stage = Stage.final
    this.#writer.command('.\r\n')
  }

  /** A reply while the content is still on its way: a refusal that cannot be followed but by closing. */
  #onEarly(tx: Transaction, reply: Reply): Failure {
    if (replyClass(reply.code) <= ReplyClass.intermediate) return this.#outOfPlace(reply)
    return { kind: 'closed', stage: tx.stage, reply }
  }

  #onFinal(tx: Transaction, reply: Reply): Failure | undefined {
    if (isIntermediate(reply)) return this.#outOfPlace(reply)
    if (this.#options.protocol === 'lmtp' && !tx.empty) {
      tx.attempt.resolve(tx.accepted[tx.finals] as Transaction['accepted'][number], verdictOf(reply))
      tx.finals++
      if (tx.finals < tx.accepted.length) return undefined
    } else if (!tx.empty) {
      tx.attempt.resolveAll(tx.accepted, verdictOf(reply))
      tx.finals = tx.accepted.length
    }
    this.#settle(tx.attempt)
    const uncertain = tx.fit.transfer === 'bdat' && replyClass(reply.code) !== ReplyClass.completed
    if (tx.resetSent) tx.stage = Stage.reset
    else if (uncertain) this.#reset(tx)
    else this.#done(tx)
    return undefined
  }

  #onReset(tx: Transaction, reply: Reply): Failure | undefined {
    if (replyClass(reply.code) !== ReplyClass.completed) return this.#outOfPlace(reply)
    this.#done(tx)
    return undefined
  }

  /** RFC 2920 §3.1 leaves no way to find the right reply again once the count is wrong. */
  #outOfPlace(reply: Reply): Failure {
    const { stage } = this
    const text = `unexpected reply (${stage}): ${reply.code} ${reply.text}`
    return { kind: this.endKind(true), stage, reply: { code: 0, enhanced: '4.5.0', text: text.trimEnd() } }
  }

  /** Everybody has a verdict, but the state of the peer is open: RSET makes it certain. */
  #reset(tx: Transaction): void {
    this.#settle(tx.attempt)
    tx.stage = Stage.reset
    this.#writer.command('RSET\r\n')
  }

  #done(tx: Transaction): void {
    this.#inFlight.shift()
    this.#settle(tx.attempt)
    this.#backlog.completed(tx.attempt)
    // The transactions of a message follow each other.
    const { id } = tx.attempt.item
    if (id !== this.#counted) this.#messages++
    this.#counted = id
  }

  #settle(attempt: Attempt): void {
    this.#backlog.settle(attempt, this.#now)
  }
}

function isIntermediate(reply: Reply): boolean {
  return replyClass(reply.code) === ReplyClass.intermediate
}

/** What those get who were begun when the connection ended. After the content the peer may have taken it nevertheless. */
function lost(tx: Transaction, reply: Reply): Verdict {
  if (reply.code !== 0) return verdictOf(reply)
  const twice = tx.stage === Stage.final && !tx.empty ? ' (after the content was sent: it may arrive twice)' : ''
  return deferred(reply.enhanced, reply.text + twice)
}
