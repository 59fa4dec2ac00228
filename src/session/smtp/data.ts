// DATA (RFC 5321 §4.1.1.4).

import { Body } from '../../wire/smtp/params.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { finishMessage, openMessage } from './content.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'

export function checkData(c: Conversation): Answer | undefined {
  if (c.phase < Phase.mail) return Answers.mailFirst
  if (c.phase === Phase.chunks) return Answers.chunksBegun
  // RFC 2033 §4.2 wants 503, RFC 5321 §3.3 allows 554 as well.
  if (c.phase === Phase.mail) return c.config.kind === 'lmtp' ? Answers.rcptFirst : Answers.noRecipients
  // RFC 3030 §3.
  return c.transaction.params.body === Body.binaryMime ? Answers.binaryNeedsBdat : undefined
}

export function proceedData(c: Conversation): void {
  openMessage(c)
  c.decoder.startData(c.config.bareLf)
  c.mode = 'data'
  c.say(Answers.startInput)
}

/** Content of DATA; returns the position behind what was used. */
export function ingestData(c: Conversation, buf: Buffer, start: number, end: number): number {
  const at = c.decoder.decode(buf, start, end, c.reception)
  if (c.decoder.done) {
    c.mode = 'command'
    finishMessage(c)
  } else if (c.reception.contentBytes > 2 * c.config.limits.messageBytesMax) {
    // Refused long ago, and still it comes.
    c.end('flood')
  }
  return at
}
