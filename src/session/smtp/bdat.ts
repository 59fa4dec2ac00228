// BDAT (RFC 3030 §2). Whatever is wrong, the announced octets are read before the reply, so that both stay in step.

import { parseBdat } from '../../wire/smtp/bdat.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import { Body } from '../../wire/smtp/params.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { contentProblem, finishMessage, openMessage, refuseMessage } from './content.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'

export function proceedBdat(c: Conversation, line: CommandLine): void {
  const argument = parseBdat(line)
  if (!argument) return c.refuse(Answers.chunkSyntax, 'data')
  const { chunk } = c
  chunk.octets = argument.octets
  chunk.remaining = argument.octets
  chunk.last = argument.last
  chunk.refusal = chunkRefusal(c)
  // Nobody sends twice the limit by mistake, and reading it all would only cost us.
  if (argument.octets > 2 * c.config.limits.messageBytesMax) {
    c.refuse(Answers.tooBig, 'data')
    return c.end('flood')
  }
  if (!chunk.refusal && c.phase === Phase.rcpt) begin(c)
  c.mode = 'chunk'
  if (chunk.remaining === 0) chunkDone(c)
}

function chunkRefusal(c: Conversation): Answer | undefined {
  if (c.phase < Phase.mail) return Answers.mailFirst
  if (c.phase > Phase.mail) return undefined
  return c.config.kind === 'lmtp' ? Answers.rcptFirst : Answers.noRecipients
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
  if (!chunk.refusal) c.decoder.decode(buf, start, stop, c.reception)
  chunk.remaining -= stop - start
  if (chunk.remaining === 0) chunkDone(c)
  return stop
}

function chunkDone(c: Conversation): void {
  const { chunk, reception } = c
  c.mode = 'command'
  if (chunk.refusal) return refuseChunk(c, chunk.refusal)
  if (chunk.last) c.decoder.finish()
  const problem = reception.refusal ?? contentProblem(c)
  if (problem) return refuseContent(c, problem)
  if (chunk.last) finishMessage(c)
  else c.host.write(Answers.chunkOk(chunk.octets))
}

/** A chunk that nobody asked for. RFC 2033 §4.3: BDAT LAST without recipients has no reply at all. */
function refuseChunk(c: Conversation, answer: Answer): void {
  if (c.config.kind === 'lmtp' && c.phase === Phase.mail && c.chunk.last) c.noteRefusal(answer, 'data')
  else c.refuse(answer, 'data')
  if (c.phase === Phase.mail && c.chunk.last) c.resetTransaction()
}

/** The transaction has failed; chunks that follow are refused for lack of one. */
function refuseContent(c: Conversation, answer: Answer): void {
  c.reception.refuse(answer)
  if (c.chunk.last) return refuseMessage(c, answer)
  c.refuse(answer, 'message')
  c.resetTransaction()
}
