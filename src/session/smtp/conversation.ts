// What a session knows: the client, where it is in the protocol, the transaction in progress. Net threads.
//
// Commands read and change this; session.ts moves bytes through it. One `Conversation` lives as long as its connection.

import type { MessageId } from '../../spool/types.ts'
import { CommandLine } from '../../wire/smtp/command.ts'
import { DataDecoder } from '../../wire/smtp/data.ts'
import { NO_MAIL_PARAMS } from '../../wire/smtp/params.ts'
import type { MailParams, RcptParams } from '../../wire/smtp/params.ts'
import { NULL_MAILBOX } from '../../wire/smtp/path.ts'
import type { Mailbox } from '../../wire/smtp/path.ts'
import { ReplyClass, replyClass } from '../../wire/smtp/codes.ts'
import * as Answers from './answers.ts'
import type { Answer, Ending } from './answers.ts'
import type { SmtpSessionConfig } from './config.ts'
import type { AcceptedRecipient, ClientFacts, SmtpHost, SpoolError, Stage, TlsFacts } from './ports.ts'
import { Reception } from './reception.ts'

/** Where a session is, as bits: a command's row says where it may come. */
export const Phase = {
  /** Before EHLO, HELO or LHLO. */
  connected: 1,
  greeted: 2,
  /** MAIL was accepted. */
  mail: 4,
  /** At least one recipient was accepted. */
  rcpt: 8,
  /** BDAT has begun. */
  chunks: 16,
} as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** How the next bytes are read. */
export type Mode = 'command' | 'auth' | 'data' | 'chunk'

/** Whose answer the session waits for; it reads nothing meanwhile. */
export type Waiting = 'nobody' | 'tls' | 'auth' | 'recipient' | 'spool' | 'commit'

/** Replies that are the same for all sessions of a listener. */
export interface Prepared {
  readonly greeting: Buffer
  readonly goodbye: Buffer
  help(conversation: Conversation): Buffer
  /** The answer to EHLO or LHLO as things stand. */
  hello(conversation: Conversation): Buffer
  /** Extension bits (wire/smtp/params.ts) whose parameters are taken. */
  parameters(conversation: Conversation): number
}

/** One message on its way in: from MAIL to the reply to its content. */
export class Transaction {
  sender: Mailbox = NULL_MAILBOX
  params: MailParams = NO_MAIL_PARAMS
  /** ms since 1970 when MAIL came. */
  startedAt = 0
  tenant = ''
  /** After the rules of RFC 6710 §4.1. */
  priority = 0
  /** ms since 1970, 0 when none. */
  deliverBy = 0
  /** ms since 1970, 0 when at once. */
  releaseAt = 0
  recipients: AcceptedRecipient[] = []
  /** RCPT commands answered 250: LMTP owes each a reply, repeated recipients too. */
  accepted = 0
  /** Whether a path has a local part that needs SMTPUTF8 at the next hop. */
  utf8Path = false
  readonly #addresses = new Set<string>()

  begin(sender: Mailbox, params: MailParams, tenant: string, now: number): void {
    this.clear()
    this.sender = sender
    this.params = params
    this.tenant = tenant
    this.startedAt = now
    this.utf8Path = hasUtf8Local(sender.address)
  }

  clear(): void {
    if (this.#addresses.size > 0) this.#addresses.clear()
    // The old list went to the spool.
    if (this.recipients.length > 0) this.recipients = []
    this.accepted = 0
  }

  /** A recipient named twice gets one copy, but each RCPT counts as answered. */
  add(recipient: AcceptedRecipient): void {
    this.accepted++
    const [first] = this.recipients
    if (first && this.#addresses.size === 0) this.#addresses.add(first.address)
    if (first && this.#addresses.has(recipient.address)) return
    if (first) this.#addresses.add(recipient.address)
    this.recipients.push(recipient)
    this.utf8Path ||= hasUtf8Local(recipient.address)
  }
}

/** Domains are in A-labels, so only a local part can be left. */
function hasUtf8Local(address: string): boolean {
  for (let i = 0; i < address.length; i++) if (address.charCodeAt(i) > 0x7f) return true
  return false
}

/** A BDAT chunk being read. */
export interface Chunk {
  octets: number
  remaining: number
  last: boolean
  /** Why its bytes are thrown away, or undefined. */
  refusal: Answer | undefined
}

/** The message that the spool is writing: what its event says. */
export interface Committing {
  readonly id: MessageId
  readonly bytes: number
  readonly recipients: number
  readonly startedAt: number
  readonly receivedAt: number
}

export class Conversation {
  readonly config: SmtpSessionConfig
  readonly host: SmtpHost
  readonly prepared: Prepared
  /** Who connected; XCLIENT changes `client`, not the right to say XCLIENT. */
  readonly peer: ClientFacts
  client: ClientFacts
  now: number
  readonly startedAt: number

  phase: Phase = Phase.connected
  mode: Mode = 'command'
  waiting: Waiting = 'nobody'
  closed = false
  draining = false
  /** Number of the question under way; answers to older ones are ignored. */
  ticket = 0

  helo = ''
  /** EHLO or LHLO, not HELO. */
  esmtp = false
  /** HELO as XCLIENT told it, '' when it did not. */
  proxiedHelo = ''
  tls: TlsFacts | undefined
  account = ''
  mechanism = ''
  /** By AUTH or by address. */
  mayRelay: boolean

  errors = 0
  authFailures = 0
  /** Messages answered 250. */
  messages = 0
  /** Commands since the last message. */
  idleCommands = 0

  readonly line: CommandLine = new CommandLine()
  readonly transaction: Transaction = new Transaction()
  readonly decoder: DataDecoder = new DataDecoder()
  readonly reception: Reception
  readonly chunk: Chunk = { octets: 0, remaining: 0, last: false, refusal: undefined }
  /** The recipient that policy is being asked about, its path as the client gave it. */
  asked: { readonly recipient: string; readonly params: RcptParams } | undefined
  committing: Committing | undefined
  /** Told by the spool when the message is on disk or is not. */
  readonly onCommitted: (error: SpoolError | undefined) => void

  constructor(
    config: SmtpSessionConfig,
    prepared: Prepared,
    client: ClientFacts,
    host: SmtpHost,
    onCommitted: (error: SpoolError | undefined) => void,
    now: number,
  ) {
    this.config = config
    this.onCommitted = onCommitted
    this.prepared = prepared
    this.peer = client
    this.client = client
    this.host = host
    this.now = now
    this.startedAt = now
    this.mayRelay = !client.unknown && config.mayRelay(client.address)
    this.reception = new Reception(config.limits)
  }

  get inTransaction(): boolean {
    return this.phase >= Phase.mail
  }

  /** A positive reply. */
  say(answer: Answer): void {
    this.host.write(answer.bytes)
  }

  /** A negative reply: told to who observes, and counted when it is the client's fault. */
  refuse(answer: Answer, stage: Stage, recipient = ''): void {
    this.host.write(answer.bytes)
    this.noteRefusal(answer, stage, recipient)
  }

  /** What `refuse` does besides writing. */
  noteRefusal(answer: Answer, stage: Stage, recipient = ''): void {
    const sender = this.inTransaction ? this.transaction.sender.address : ''
    this.host.observe?.({ kind: 'refused', stage, rule: answer.rule, reply: answer.reply, sender, recipient })
    // Full disks and full transactions are not the client's fault.
    if (replyClass(answer.reply.code) !== ReplyClass.permanent) return
    if (++this.errors >= this.config.limits.errorsPerConnectionMax) this.end('errors')
  }

  /** 421, and no word more. */
  end(why: Ending): void {
    if (this.closed) return
    const answer = Answers.ending(why, this.config.hostname)
    this.host.write(answer.bytes)
    this.close(why)
  }

  /** The connection ends when what was said is sent. */
  close(reason: string): void {
    if (this.closed) return
    if (this.mode === 'auth') this.host.abandonAuth?.(this.ticket)
    this.resetTransaction()
    this.closed = true
    this.host.observe?.({ kind: 'closed', reason })
    this.host.close()
  }

  /** RSET, EHLO, the end of a message: back to where MAIL may come. */
  resetTransaction(): void {
    if (this.reception.intake) this.reception.abort()
    this.transaction.clear()
    if (this.inTransaction) this.phase = Phase.greeted
  }

  /** RFC 3207 §4.2: nothing that the client said counts any more; XCLIENT starts over the same way. */
  startOver(): void {
    this.resetTransaction()
    this.phase = Phase.connected
    this.helo = ''
    this.esmtp = false
    this.account = ''
    this.mayRelay = !this.client.unknown && this.config.mayRelay(this.client.address)
  }
}
