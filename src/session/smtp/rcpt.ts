// RCPT (RFC 5321 §4.1.1.3) with NOTIFY and ORCPT (RFC 3461). Whether a recipient is taken, policy says.

import { pathStart } from '../../wire/smtp/command.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import { Extension, parseRcptParams } from '../../wire/smtp/params.ts'
import type { RcptParams } from '../../wire/smtp/params.ts'
import { parseForwardPath } from '../../wire/smtp/path.ts'
import type { Mailbox } from '../../wire/smtp/path.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'
import type { RecipientDecision, RecipientFacts } from './ports.ts'

const SYNTAX = Answers.commandSyntax('RCPT TO:<address>')

export function checkRcpt(c: Conversation): Answer | undefined {
  if (c.phase < Phase.mail) return Answers.mailFirst
  if (c.phase === Phase.chunks) return Answers.chunksBegun
  // RFC 5321 §4.5.3.1.10: 452, so that the client sends the rest in another transaction.
  return c.transaction.accepted >= c.config.limits.recipientsMax ? Answers.tooManyRecipients : undefined
}

export function proceedRcpt(c: Conversation, line: CommandLine): void {
  const at = pathStart(line, 'TO')
  if (at < 0) return c.refuse(SYNTAX, 'rcpt')
  const path = parseForwardPath(line.buf, at, line.end)
  if (!path.ok) return c.refuse(Answers.recipientSyntax(path.error), 'rcpt')
  const mailbox = path.value
  // RFC 6531 §3.5: 553 for a recipient.
  if (mailbox.nonAscii && !c.transaction.params.smtpUtf8) return c.refuse(Answers.recipientUtf8, 'rcpt', mailbox.address)
  const extensions = c.prepared.parameters(c) & (c.transaction.params.smtpUtf8 ? ~0 : ~Extension.smtpUtf8)
  const params = parseRcptParams(line.buf, mailbox.end, line.end, extensions)
  if (!params.ok) return c.refuse(Answers.parameter(params.error), 'rcpt', mailbox.address)
  decide(c, mailbox, params.value)
}

function decide(c: Conversation, mailbox: Mailbox, params: RcptParams): void {
  const facts = factsOf(c, mailbox)
  const decision = c.config.decideRecipient(facts)
  if (decision.kind !== 'ask') return applyDecision(c, decision, params, mailbox.address)
  c.asked = { recipient: mailbox.address, params }
  c.waiting = 'recipient'
  c.host.askRecipient(++c.ticket, facts)
}

function factsOf(c: Conversation, mailbox: Mailbox): RecipientFacts {
  return {
    sender: c.transaction.sender.address,
    account: c.account,
    tenant: c.transaction.tenant,
    client: c.client.address,
    recipient: mailbox.address,
    local: mailbox.local,
    domain: mailbox.domain,
    localAddress: c.client.localAddress,
    mayRelay: c.mayRelay,
  }
}

/** Acts on a decision; `recipient` is the path as the client gave it. */
export function applyDecision(
  c: Conversation,
  decision: Exclude<RecipientDecision, { kind: 'ask' }>,
  params: RcptParams,
  recipient: string,
): void {
  if (decision.kind === 'refuse') return c.refuse(Answers.answerOf(decision.rule, decision.reply), 'rcpt', recipient)
  c.transaction.add({ address: decision.address, notify: params.notify, orcpt: params.orcpt, domain: decision.domain })
  c.phase = Phase.rcpt
  c.say(Answers.recipientOk)
}
