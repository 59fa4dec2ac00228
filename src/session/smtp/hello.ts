// HELO, EHLO, LHLO (RFC 5321 §4.1.1.1, RFC 2033 §4.1).

import { latin1 } from '../../lib/bytes.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import * as Answers from './answers.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'

/** RFC 5321 §4.5.3.1.2. */
const HELO_OCTETS_MAX = 255

export function proceedHelo(c: Conversation, line: CommandLine): void {
  greet(c, line, false)
  c.host.write(Answers.hello([c.config.hostname]))
}

/** EHLO and LHLO. */
export function proceedEhlo(c: Conversation, line: CommandLine): void {
  greet(c, line, true)
  c.host.write(c.prepared.hello(c))
}

/** RFC 5321 §4.1.4: like RSET, and the argument is not verified but for trace. */
function greet(c: Conversation, line: CommandLine, esmtp: boolean): void {
  c.resetTransaction()
  c.helo = latin1(line.buf, line.start, Math.min(line.end, line.start + HELO_OCTETS_MAX))
  c.esmtp = esmtp
  c.phase = Phase.greeted
}
