// XCLIENT: a trusted proxy says who its client is, and the session starts over as that client's (Postfix XCLIENT_README).

import type { CommandLine } from '../../wire/smtp/command.ts'
import { parseXclient } from '../../wire/smtp/xclient.ts'
import type { XclientAttributes } from '../../wire/smtp/xclient.ts'
import { accountName } from '../auth/account-name.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import type { Conversation } from './conversation.ts'

export function mayXclient(c: Conversation): boolean {
  return !c.peer.unknown && c.config.mayXclient(c.peer.address)
}

export function checkXclient(c: Conversation): Answer | undefined {
  return c.inTransaction ? Answers.inTransaction : undefined
}

export function proceedXclient(c: Conversation, line: CommandLine): void {
  const attributes = parseXclient(line)
  if (!attributes.ok) return c.refuse(Answers.xclientSyntax, 'command')
  apply(c, attributes.value)
  c.host.write(c.prepared.greeting)
}

/** An address that the proxy does not know stays the one before, without its rights; LOGIN alone makes an authenticated client. */
function apply(c: Conversation, attributes: XclientAttributes): void {
  const { ADDR, PORT, HELO, LOGIN, DESTADDR, DESTPORT } = attributes
  const { client } = c
  c.client = {
    address: ADDR || client.address,
    port: PORT ? Number(PORT) : client.port,
    unknown: ADDR === undefined ? client.unknown : ADDR === '',
    localAddress: DESTADDR || client.localAddress,
    localPort: DESTPORT ? Number(DESTPORT) : client.localPort,
  }
  if (HELO !== undefined) c.proxiedHelo = HELO
  c.startOver()
  if (!LOGIN) return
  // As AUTH makes it of what the same client says there.
  c.account = accountName(LOGIN) ?? LOGIN
  c.mayRelay = true
}
