// From 354 or the first chunk to the reply: a message is opened, finished, committed, answered. Net threads.

import { assert } from '../../lib/assert.ts'
import { idToText } from '../../spool/ids.ts'
import { EnvelopeFlag } from '../../spool/types.ts'
import type { Envelope, MessageId } from '../../spool/types.ts'
import { DataFlag } from '../../wire/smtp/data.ts'
import { Body, Ret } from '../../wire/smtp/params.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import type { Conversation } from './conversation.ts'
import type { Origin } from './originate.ts'
import type { SpoolError } from './ports.ts'
import { protocolName, traceEnd, traceStart } from './received.ts'

/** Reserves a message and puts our trace field in front of it. */
export function openMessage(c: Conversation): void {
  const intake = c.host.openMessage()
  const id = idToText(intake.id)
  c.reception.begin(intake, trace(c, id), originates(c) ? originOf(c, id) : undefined, c.transaction.params.smtpUtf8)
}

/** Whether the message starts its way here, so that we owe it RFC 6409 §8. */
function originates(c: Conversation): boolean {
  return c.config.kind === 'submission' || c.account !== ''
}

function originOf(c: Conversation, id: string): Origin {
  return {
    account: c.account,
    mayUse: (account, address) => c.config.mayUse(account, address),
    id,
    hostname: c.config.hostname,
    now: c.now,
  }
}

function trace(c: Conversation, id: string): string {
  const { config, transaction, tls } = c
  const utf8 = transaction.params.smtpUtf8
  const facts = {
    hostname: config.hostname,
    helo: c.proxiedHelo === '' ? c.helo : c.proxiedHelo,
    // Where somebody sits who submits mail is nobody's business.
    address: config.kind === 'submission' ? '' : c.client.address,
    protocol: protocolName({ lmtp: config.kind === 'lmtp', esmtp: c.esmtp, tls: tls !== undefined, auth: c.account !== '', utf8 }),
    tls: tls ? `${tls.protocol} ${tls.cipher}` : '',
  }
  const only = transaction.recipients.length === 1 && !transaction.utf8Path ? (transaction.recipients[0]?.address ?? '') : ''
  return traceStart(facts) + traceEnd(id, only, transaction.priority, c.now)
}

/** The content is complete: commits it, or says why not. */
export function finishMessage(c: Conversation): void {
  const problem = contentProblem(c)
  if (problem) c.reception.refuse(problem)
  const intake = c.reception.finish()
  if (!intake) return refuseMessage(c, c.reception.refusal ?? Answers.spoolFailed)
  const { transaction, reception } = c
  c.committing = {
    id: intake.id,
    bytes: reception.storedBytes,
    recipients: transaction.recipients.length,
    startedAt: transaction.startedAt,
    receivedAt: c.now,
  }
  c.waiting = 'commit'
  intake.commit(envelopeOf(c, intake.id), c.transaction.recipients, c.onCommitted)
}

/** What the decoder saw that must not go on: RFC 5321 §2.3.8 for bare CR and LF, RFC 5322 §2.2 for NUL. */
export function contentProblem(c: Conversation): Answer | undefined {
  const { flags } = c.decoder
  if (c.transaction.params.body === Body.binaryMime) return undefined
  if (flags & DataFlag.bareCr) return Answers.bareCr
  if (flags & DataFlag.nul) return Answers.nul
  return flags & DataFlag.bareLf && c.config.bareLf === 'refuse' ? Answers.bareLf : undefined
}

/** The message is not taken, but the session goes on. */
function refuseMessage(c: Conversation, answer: Answer): void {
  writeOnceOrForEach(c, answer.bytes)
  c.noteRefusal(answer, 'message')
  c.resetTransaction()
}

/** RFC 2033 §4.2: over LMTP each accepted RCPT has a reply of its own; ours are the same for all. */
export function writeOnceOrForEach(c: Conversation, bytes: Buffer): void {
  const times = c.config.kind === 'lmtp' ? c.transaction.accepted : 1
  for (let i = 0; i < times; i++) c.host.write(bytes)
}

/** The spool's answer. When the client is gone the message is kept all the same: it was promised to nobody, and lost by nobody. */
export function messageCommitted(c: Conversation, error: SpoolError | undefined): void {
  const { committing } = c
  assert(committing, 'a commit was answered twice')
  c.committing = undefined
  c.waiting = 'nobody'
  if (!error) c.host.observe?.({ kind: 'accepted', ...committing })
  if (c.closed) return
  if (error) return refuseMessage(c, Answers.answerOfSpool(error))
  writeOnceOrForEach(c, Answers.queued(idToText(committing.id)))
  c.messages++
  c.errors = 0
  c.idleCommands = 0
  c.resetTransaction()
}

function envelopeOf(c: Conversation, id: MessageId): Envelope {
  const { transaction, reception } = c
  const { params, sender, tenant, priority, deliverBy, releaseAt } = transaction
  return {
    id,
    acceptedAt: c.now,
    sender: sender.address,
    flags: envelopeFlags(c),
    bytes: reception.storedBytes,
    envid: params.envid,
    tenant,
    account: c.account,
    client: c.client.address,
    priority,
    deliverBy,
    releaseAt,
    holdForSeconds: Math.max(0, params.holdFor),
  }
}

function envelopeFlags(c: Conversation): number {
  const { transaction, reception, decoder } = c
  const { body, ret, by, smtpUtf8 } = transaction.params
  let flags = 0
  if (decoder.flags & DataFlag.dots) flags |= EnvelopeFlag.dots
  if (decoder.flags & DataFlag.eightBit) flags |= EnvelopeFlag.eightBit
  if (body === Body.binaryMime) flags |= EnvelopeFlag.binary
  if (!decoder.atLineStart) flags |= EnvelopeFlag.noFinalCrlf
  // RFC 6531 §3.4: the parameter alone asserts much; what goes on needs it only for what is really there.
  if (smtpUtf8 && (transaction.utf8Path || reception.utf8Header)) flags |= EnvelopeFlag.smtputf8
  if (ret !== Ret.none) flags |= ret === Ret.hdrs ? EnvelopeFlag.retHdrs : EnvelopeFlag.retFull
  if (by?.return) flags |= EnvelopeFlag.deliverByReturn
  if (by?.trace) flags |= EnvelopeFlag.deliverByTrace
  if (originates(c) || c.config.kind === 'lmtp') flags |= EnvelopeFlag.submission
  return flags
}
