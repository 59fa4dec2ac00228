// Lines that are no command. Most are refused; what shows that the peer speaks something else ends the session.

import { Verb, isLabelled } from '../../wire/smtp/command.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import * as Answers from './answers.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'
import type { LineReader } from './lines.ts'

/**
 * HTTP means that a browser was made to talk to us, header fields mean that a message is taken for commands: nothing
 * behind them is to be read, however long the line is.
 */
export function proceedUnknown(c: Conversation, line: CommandLine, { buf, start, end, length }: LineReader): void {
  const isHttp = line.verb === Verb.get || line.verb === Verb.post || line.verb === Verb.connect
  if (isHttp || isLabelled(buf, start, end)) c.end('not-smtp')
  else c.refuse(length > c.config.limits.commandLineBytesMax ? Answers.lineTooLong : Answers.commandUnknown, 'command')
  // Its octets follow.
  if (line.verb === Verb.bdat) c.end('chunk-size')
}

/** A line of which nothing was kept. Nobody's first words are that long, but a request's may be. */
export function proceedTooLong(c: Conversation): void {
  if (c.phase === Phase.connected) c.end('not-smtp')
  else c.refuse(Answers.lineTooLong, 'command')
}
