// STARTTLS (RFC 3207).

import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import type { Conversation } from './conversation.ts'
import type { TlsFacts } from './ports.ts'

export function checkStartTls(c: Conversation): Answer | undefined {
  if (c.tls) return Answers.tlsActive
  return c.inTransaction ? Answers.inTransaction : undefined
}

export function proceedStartTls(c: Conversation): void {
  c.say(Answers.startTls)
  c.waiting = 'tls'
  c.host.startTls()
}

/** §4.2: the session is as new; what the client said before, EHLO and AUTH included, is forgotten. */
export function tlsEstablished(c: Conversation, tls: TlsFacts): void {
  c.tls = tls
  c.waiting = 'nobody'
  c.startOver()
}
