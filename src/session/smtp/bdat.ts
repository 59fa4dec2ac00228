// BDAT (RFC 3030 §2). Whatever is wrong, the announced octets are read before the reply, so that both stay in step.
//
// A chunk that fails fails its message: the transaction stays, so that those behind it are refused alike, until LAST has
// its replies or RSET ends it.

import { parseBdat } from '../../wire/smtp/bdat.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import { Body } from '../../wire/smtp/params.ts'
import * as Answers from './answers.ts'
import type { Answer, Ending } from './answers.ts'
import { contentProblem, finishMessage, openMessage, writeOnceOrForEach } from './content.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'

export function proceedBdat(c: Conversation, line: CommandLine): void {
  const argument = parseBdat(line)
  if (!argument) return refuseUnread(c, Answers.chunkSyntax, 'chunk-size')
  // Nobody sends twice the limit by mistake, and reading it all would only cost us.
  if (argument.octets > 2 * c.config.limits.messageBytesMax) return refuseUnread(c, Answers.tooBig, 'flood')
  const { chunk } = c
  chunk.octets = argument.octets
  chunk.remaining = argument.octets
  chunk.last = argument.last
  chunk.refusal = chunkRefusal(c)
  if (c.phase === Phase.rcpt) begin(c)
  c.mode = 'chunk'
  if (chunk.remaining === 0) chunkDone(c)
}

/** The octets behind the line are not waited for: what is content and what are commands cannot be told any more. */
function refuseUnread(c: Conversation, answer: Answer, why: Ending): void {
  c.refuse(answer, 'data')
  c.end(why)
}

/** Why the chunk is thrown away, known before its first octet. */
function chunkRefusal(c: Conversation): Answer | undefined {
  switch (c.phase) {
    case Phase.rcpt:
      return undefined
    case Phase.chunks:
      return c.reception.refusal
    case Phase.mail:
      return c.config.kind === 'lmtp' ? Answers.rcptFirst : Answers.noRecipients
    default:
      return Answers.mailFirst
  }
}

function begin(c: Conversation): void {
  openMessage(c)
  c.decoder.startChunks(c.transaction.params.body === Body.binaryMime ? 'keep' : c.config.bareLf)
  c.phase = Phase.chunks
}

/** Bytes of a chunk; returns the position behind what was used. */
export function ingestChunk(c: Conversation, buf: Buffer, start: number, end: number): number {
  const { chunk } = c
  const stop = Math.min(end, start + chunk.remaining)
  chunk.remaining -= stop - start
  // Also behind a refusal: so much is counted.
  if (c.phase === Phase.chunks) c.decoder.decode(buf, start, stop, c.reception)
  if (c.reception.contentBytes > 2 * c.config.limits.messageBytesMax) c.end('flood')
  else if (chunk.remaining === 0) chunkDone(c)
  return stop
}

function chunkDone(c: Conversation): void {
  const { chunk } = c
  c.mode = 'command'
  if (chunk.refusal) return refuseChunk(c, chunk.refusal)
  if (chunk.last) return lastDone(c)
  const problem = c.reception.refusal ?? contentProblem(c)
  if (!problem) return c.host.write(Answers.chunkOk(chunk.octets))
  c.reception.refuse(problem)
  c.refuse(problem, 'message')
}

function lastDone(c: Conversation): void {
  c.decoder.finish()
  finishMessage(c)
}

/** RFC 2033 §4.3: BDAT LAST has a reply for each recipient, and none where there are none. */
function refuseChunk(c: Conversation, answer: Answer): void {
  if (c.chunk.last && c.inTransaction) writeOnceOrForEach(c, answer.bytes)
  else c.host.write(answer.bytes)
  // The refusal of a message counts once, not again for what was on its way.
  if (c.phase !== Phase.chunks) c.noteRefusal(answer, 'data')
  if (c.chunk.last) c.resetTransaction()
}
