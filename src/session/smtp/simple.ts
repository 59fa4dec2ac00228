// RSET, NOOP, QUIT, VRFY, EXPN, HELP (RFC 5321 §4.1.1.5 to §4.1.1.10).

import * as Answers from './answers.ts'
import type { Conversation } from './conversation.ts'

export function proceedRset(c: Conversation): void {
  c.resetTransaction()
  c.say(Answers.flushed)
}

export function proceedNoop(c: Conversation): void {
  c.say(Answers.ok)
}

export function proceedQuit(c: Conversation): void {
  c.host.write(c.prepared.goodbye)
  c.close('quit')
}

/** RFC 5321 §7.3: no address is confirmed to strangers. */
export function proceedVrfy(c: Conversation): void {
  c.say(Answers.cannotVerify)
}

export function proceedExpn(c: Conversation): void {
  c.refuse(Answers.notImplemented, 'command')
}

export function proceedHelp(c: Conversation): void {
  c.host.write(c.prepared.help(c))
}
