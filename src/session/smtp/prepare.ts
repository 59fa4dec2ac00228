// Replies composed once a listener: greeting, HELP, and EHLO in each of its states. Net threads.

import * as Answers from './answers.ts'
import { COMMANDS, EXTENSIONS } from './commands.ts'
import type { CommandRow } from './commands.ts'
import type { SmtpSessionConfig } from './config.ts'
import type { Conversation, Prepared } from './conversation.ts'
import { mayXclient } from './xclient.ts'

const prepared = new WeakMap<SmtpSessionConfig, Prepared>()

export function prepare(config: SmtpSessionConfig): Prepared {
  let found = prepared.get(config)
  if (!found) prepared.set(config, (found = compose(config)))
  return found
}

function compose(config: SmtpSessionConfig): Prepared {
  const hellos = new Map<string, Buffer>()
  // A moving date stands in FUTURERELEASE, so that reply cannot be kept.
  const keep = config.kind !== 'submission' || config.extensions.futureReleaseSeconds === 0
  let parameters = -1
  return {
    greeting: Answers.greeting(config.hostname, config.kind === 'lmtp' ? 'LMTP' : 'ESMTP', config.banner),
    goodbye: Answers.goodbye(config.hostname),
    help: (c) => Answers.help(`Commands: ${helpful(c).join(' ')}`),
    hello: (c) => {
      if (!keep) return Answers.hello(helloLines(c))
      const state = `${c.tls ? 1 : 0}${c.account === '' ? c.config.mechanisms(c.tls).join() : ''}${mayXclient(c) ? 4 : 0}`
      let reply = hellos.get(state)
      if (!reply) hellos.set(state, (reply = Answers.hello(helloLines(c))))
      return reply
    },
    parameters: (c) => (parameters < 0 ? (parameters = parameterBits(c)) : parameters),
  }
}

function offered(c: Conversation): CommandRow[] {
  return COMMANDS.filter((row) => row.offered?.(c) ?? true)
}

/** EXPN is known only to be refused. */
function helpful(c: Conversation): string[] {
  return offered(c)
    .map((row) => row.verb)
    .filter((verb) => verb !== 'EXPN')
}

function helloLines(c: Conversation): string[] {
  const lines = [c.config.hostname, ...EXTENSIONS.map((row) => row.keyword(c)), ...offered(c).map((row) => row.keyword?.(c) ?? '')]
  return lines.filter((line) => line !== '')
}

/** The same for all sessions of a listener: what TLS and AUTH change are commands. */
function parameterBits(c: Conversation): number {
  let bits = 0
  for (const row of EXTENSIONS) if (row.keyword(c) !== '') bits |= row.parameters
  for (const row of offered(c)) bits |= row.parameters ?? 0
  return bits
}
