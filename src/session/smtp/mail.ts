// MAIL (RFC 5321 §4.1.1.2) with SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH, BY, HOLDFOR, HOLDUNTIL, MT-PRIORITY.

import { pathStart } from '../../wire/smtp/command.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import { parseMailParams } from '../../wire/smtp/params.ts'
import type { MailParams } from '../../wire/smtp/params.ts'
import { parseReversePath } from '../../wire/smtp/path.ts'
import type { Mailbox } from '../../wire/smtp/path.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'

const SYNTAX = Answers.commandSyntax('MAIL FROM:<address>')

/** May this session send at all? */
export function checkMail(c: Conversation): Answer | undefined {
  const { config } = c
  if (c.inTransaction) return Answers.inTransaction
  if (config.tlsRequired && !c.tls) return Answers.tlsFirst
  if (config.authRequired && !c.mayRelay) return Answers.authFirst
  const error = c.host.admission?.()
  return error && Answers.answerOfSpool(error)
}

export function proceedMail(c: Conversation, line: CommandLine): void {
  if (c.messages >= c.config.limits.messagesPerConnectionMax) return c.end('messages')
  const at = pathStart(line, 'FROM')
  if (at < 0) return c.refuse(SYNTAX, 'mail')
  const path = parseReversePath(line.buf, at, line.end)
  if (!path.ok) return c.refuse(Answers.senderSyntax(path.error), 'mail')
  const params = parseMailParams(line.buf, path.value.end, line.end, c.prepared.parameters(c))
  if (!params.ok) return c.refuse(Answers.parameter(params.error), 'mail')
  begin(c, path.value, params.value)
}

function begin(c: Conversation, sender: Mailbox, params: MailParams): void {
  const tenant = c.config.tenantOf(c.account, c.client.address)
  const refusal = paramRefusal(c, sender, params) ?? senderRefusal(c, sender, params, tenant)
  if (refusal) return c.refuse(refusal, 'mail')
  const { transaction } = c
  transaction.begin(sender, params, tenant, c.now)
  transaction.deliverBy = params.by ? c.now + params.by.seconds * 1000 : 0
  transaction.releaseAt = releaseTime(params, c.now)
  const asked = params.priority ?? 0
  // RFC 6710 §4.1: nobody who is not trusted raises a priority.
  transaction.priority = asked > 0 && !c.mayRelay ? 0 : asked
  c.phase = Phase.mail
  if (transaction.priority !== asked) c.host.write(Answers.priorityChanged(transaction.priority))
  else c.say(Answers.senderOk)
}

/** Values that are well formed and yet not to be had. */
function paramRefusal(c: Conversation, sender: Mailbox, params: MailParams): Answer | undefined {
  const { extensions, limits } = c.config
  // RFC 6531 §3.5: 550 for a sender, and who submitted is one as well.
  if ((sender.nonAscii || params.auth?.nonAscii) && !params.smtpUtf8) return Answers.senderUtf8
  // RFC 1870 §6.1.
  if (params.size > limits.messageBytesMax) return Answers.tooBig
  // RFC 2852 §3: a time below the announced minimum is a permanent failure.
  if (params.by?.return && params.by.seconds < (extensions.deliverBySeconds ?? 0)) return Answers.byTooSoon
  const releaseAt = releaseTime(params, c.now)
  if (releaseAt === 0) return undefined
  // RFC 4865 §4.2 items 7 and 8, and §5.2.2.
  if (releaseAt <= c.now || releaseAt > c.now + extensions.futureReleaseSeconds * 1000) return Answers.holdTooLong
  return params.by && releaseAt > c.now + params.by.seconds * 1000 ? Answers.holdPastBy : undefined
}

/** ms since 1970, 0 for at once. */
function releaseTime(params: MailParams, now: number): number {
  if (params.holdFor >= 0) return now + params.holdFor * 1000
  return params.holdUntil >= 0 ? params.holdUntil : 0
}

function senderRefusal(c: Conversation, sender: Mailbox, params: MailParams, tenant: string): Answer | undefined {
  const { config, account } = c
  // The null sender is nobody's: vacation notices and read receipts are submitted with it.
  if (account !== '' && sender.address !== '' && !config.mayUse(account, sender.address.toLowerCase())) return Answers.senderNotYours
  const facts = { sender: sender.address, account, tenant, client: c.client.address, helo: c.helo, size: params.size }
  const decision = config.decideSender?.(facts)
  return decision?.kind === 'refuse' ? Answers.answerOf(decision.rule, decision.reply) : undefined
}
