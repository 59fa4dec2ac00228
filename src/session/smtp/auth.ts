// AUTH (RFC 4954). The exchange itself happens behind the host; here are its lines, replies and when it may come.

import { latin1 } from '../../lib/bytes.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import type { AuthFailure, AuthStep } from '../auth/ports.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import type { Conversation } from './conversation.ts'

const SYNTAX = Answers.commandSyntax('AUTH mechanism [initial-response]')
const SP = 0x20

export function checkAuth(c: Conversation): Answer | undefined {
  if (c.inTransaction) return Answers.inTransaction
  return c.account === '' ? undefined : Answers.authDone
}

export function proceedAuth(c: Conversation, line: CommandLine): void {
  const { buf, start, end } = line
  let stop = start
  while (stop < end && buf[stop] !== SP) stop++
  let from = stop
  while (from < end && buf[from] === SP) from++
  if (buf.subarray(from, end).includes(SP)) return c.refuse(SYNTAX, 'auth')
  const mechanism = latin1(buf, start, stop).toUpperCase()
  const refusal = mechanismRefusal(c, mechanism)
  if (refusal) return c.refuse(refusal, 'auth')
  c.mechanism = mechanism
  c.ticket++
  respond(c, from < end ? buf.subarray(from, end) : undefined)
}

function mechanismRefusal(c: Conversation, mechanism: string): Answer | undefined {
  if (c.config.mechanisms(c.tls).includes(mechanism)) return undefined
  return !c.tls && c.config.tlsMechanisms.includes(mechanism) ? Answers.authEncryption : Answers.authMechanism
}

/** One line of the client within an exchange. */
export function proceedAuthLine(c: Conversation, buf: Buffer, start: number, end: number): void {
  respond(c, buf.subarray(start, end))
}

function respond(c: Conversation, response: Buffer | undefined): void {
  c.mode = 'auth'
  c.waiting = 'auth'
  c.host.auth(c.ticket, c.mechanism, response)
}

export function applyAuthStep(c: Conversation, step: AuthStep): void {
  switch (step.kind) {
    case 'challenge':
      return c.host.write(Answers.challenge(step.data))
    case 'success':
      return succeed(c, step.account)
    case 'failure':
      return fail(c, step.reply)
  }
}

function succeed(c: Conversation, account: string): void {
  c.mode = 'command'
  c.account = account
  c.mayRelay = true
  c.host.observe?.({ kind: 'authenticated', mechanism: c.mechanism, account })
  c.say(Answers.authenticated)
}

const FAILURES: Readonly<Record<AuthFailure, Answer>> = {
  credentials: Answers.authCredentials,
  temporary: Answers.authTemporary,
  malformed: Answers.authMalformed,
  cancelled: Answers.authCancelled,
  mechanism: Answers.authMechanism,
  encryption: Answers.authEncryption,
}

function fail(c: Conversation, failure: AuthFailure): void {
  c.mode = 'command'
  c.refuse(FAILURES[failure], 'auth')
  const isGuess = failure === 'credentials' || failure === 'temporary'
  if (isGuess && ++c.authFailures >= c.config.limits.authFailuresPerConnectionMax) c.end('auth-failures')
}

/** RFC 4954 §4: a line longer than the buffer fails the command. */
export function refuseAuthLine(c: Conversation, answer: Answer): void {
  c.mode = 'command'
  c.host.abandonAuth?.(c.ticket)
  c.refuse(answer, 'auth')
}
