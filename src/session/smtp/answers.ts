// Replies of the server: one constant a situation, composed once, with the rule that counters and `explain` know it by.
// To be imported as a namespace: `Answers.senderOk`.
// Pure. Codes come from wire/smtp/codes.ts; the RFC section stands where the situation is decided.

import { latin1 } from '../../lib/bytes.ts'
import { Enhanced, ReplyCode } from '../../wire/smtp/codes.ts'
import { encodeReply } from '../../wire/smtp/reply.ts'
import type { ParamError } from '../../wire/smtp/params.ts'
import type { Reply } from '../../wire/smtp/reply.ts'
import type { SpoolError } from './ports.ts'

/** A reply with its bytes; `rule` names what refused, '' where nothing did. */
export interface Answer {
  readonly rule: string
  readonly reply: Reply
  readonly bytes: Buffer
}

export function answerOf(rule: string, reply: Reply): Answer {
  return { rule, reply, bytes: encodeReply(reply) }
}

function answer(code: number, enhanced: string, text: string, rule = ''): Answer {
  return answerOf(rule, { code, enhanced, text })
}

export const ok: Answer = answer(ReplyCode.ok, Enhanced.ok, 'OK')
export const senderOk: Answer = answer(ReplyCode.ok, Enhanced.senderOk, 'Sender OK')
export const recipientOk: Answer = answer(ReplyCode.ok, Enhanced.recipientOk, 'Recipient OK')
export const flushed: Answer = answer(ReplyCode.ok, Enhanced.ok, 'Flushed')
export const startInput: Answer = answer(ReplyCode.startInput, Enhanced.none, 'End data with <CR><LF>.<CR><LF>')
export const startTls: Answer = answer(ReplyCode.ready, Enhanced.ok, 'Ready to start TLS')
export const authenticated: Answer = answer(ReplyCode.authSucceeded, Enhanced.securityOk, 'Authentication successful')
export const cannotVerify: Answer = answer(
  ReplyCode.cannotVerify,
  Enhanced.ok,
  'Cannot VRFY user, but will accept message and attempt delivery',
)

export const commandUnknown: Answer = answer(ReplyCode.syntax, Enhanced.invalidCommand, 'Command unrecognized', 'command-unknown')
export const notImplemented: Answer = answer(
  ReplyCode.notImplemented,
  Enhanced.invalidCommand,
  'Command not implemented',
  'not-implemented',
)
export const lineTooLong: Answer = answer(ReplyCode.syntax, Enhanced.syntax, 'Line too long', 'line-too-long')
export const bareLfLine: Answer = answer(ReplyCode.syntax, Enhanced.syntax, 'Lines end in <CR><LF>, not in <LF>', 'bare-lf-command')
export const argumentMissing: Answer = answer(ReplyCode.argumentSyntax, Enhanced.invalidArguments, 'Argument missing', 'argument')
export const noArgument: Answer = answer(ReplyCode.argumentSyntax, Enhanced.invalidArguments, 'No argument allowed', 'argument')

export const helloFirst: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Say EHLO first', 'sequence')
export const lhloFirst: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Say LHLO first', 'sequence')
export const mailFirst: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Need MAIL first', 'sequence')
export const rcptFirst: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Need RCPT first', 'sequence')
export const inTransaction: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Not during a mail transaction', 'sequence')
export const chunksBegun: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Only BDAT or RSET after BDAT', 'sequence')
export const binaryNeedsBdat: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'BINARYMIME needs BDAT', 'sequence')
export const noRecipients: Answer = answer(ReplyCode.transactionFailed, Enhanced.invalidCommand, 'No valid recipients', 'no-recipients')

export const tlsFirst: Answer = answer(ReplyCode.required, Enhanced.policy, 'Must issue a STARTTLS command first', 'tls-required')
export const tlsActive: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'TLS is already active', 'sequence')
export const authFirst: Answer = answer(ReplyCode.required, Enhanced.policy, 'Authentication required', 'auth-required')
export const authDone: Answer = answer(ReplyCode.badSequence, Enhanced.invalidCommand, 'Already authenticated', 'sequence')
export const authLineTooLong: Answer = answer(
  ReplyCode.syntax,
  Enhanced.authLineTooLong,
  'Authentication exchange line is too long',
  'line-too-long',
)
export const authCredentials: Answer = answer(
  ReplyCode.credentialsInvalid,
  Enhanced.credentialsInvalid,
  'Authentication failed',
  'auth-credentials',
)
export const authTemporary: Answer = answer(
  ReplyCode.temporaryAuthFailure,
  Enhanced.temporaryPolicy,
  'Temporary authentication failure',
  'auth-temporary',
)
export const authMalformed: Answer = answer(ReplyCode.argumentSyntax, Enhanced.syntax, 'Cannot decode the response', 'auth-malformed')
export const authCancelled: Answer = answer(ReplyCode.argumentSyntax, Enhanced.policy, 'Authentication cancelled', 'auth-cancelled')
export const authMechanism: Answer = answer(
  ReplyCode.parameterNotImplemented,
  Enhanced.invalidArguments,
  'Authentication mechanism not available',
  'auth-mechanism',
)
export const authEncryption: Answer = answer(
  ReplyCode.encryptionRequired,
  Enhanced.encryptionRequired,
  'Encryption required for requested authentication mechanism',
  'auth-encryption',
)

export const senderUtf8: Answer = answer(
  ReplyCode.mailboxUnavailable,
  Enhanced.nonAsciiAddress,
  'Non-ASCII address needs SMTPUTF8',
  'smtputf8',
)
export const recipientUtf8: Answer = answer(
  ReplyCode.mailboxNameNotAllowed,
  Enhanced.nonAsciiAddress,
  'Non-ASCII address needs SMTPUTF8',
  'smtputf8',
)
export const senderNotYours: Answer = answer(
  ReplyCode.mailboxUnavailable,
  Enhanced.refused,
  'Sender address does not belong to your account',
  'sender-of-account',
)
export const tooBig: Answer = answer(ReplyCode.storageExceeded, Enhanced.tooBig, 'Message size exceeds fixed limit', 'message-size')
export const tooManyRecipients: Answer = answer(
  ReplyCode.insufficientStorage,
  Enhanced.tooManyRecipients,
  'Too many recipients',
  'recipients',
)
export const byTooSoon: Answer = answer(
  ReplyCode.parametersNotRecognized,
  Enhanced.invalidArguments,
  'BY time is less than the minimum of DELIVERBY',
  'deliver-by',
)
export const holdTooLong: Answer = answer(
  ReplyCode.argumentSyntax,
  Enhanced.invalidArguments,
  'Hold time is not within the limits of FUTURERELEASE',
  'future-release',
)
export const holdPastBy: Answer = answer(
  ReplyCode.argumentSyntax,
  Enhanced.invalidArguments,
  'Hold time is behind the BY time',
  'future-release',
)

export const chunkSyntax: Answer = answer(ReplyCode.argumentSyntax, Enhanced.invalidArguments, 'Syntax: BDAT size [LAST]', 'argument')
export const bareCr: Answer = answer(ReplyCode.mailboxUnavailable, Enhanced.bareLineEnd, 'Message contains a bare <CR>', 'bare-cr')
export const bareLf: Answer = answer(ReplyCode.mailboxUnavailable, Enhanced.bareLineEnd, 'Message contains a bare <LF>', 'bare-lf')
export const nul: Answer = answer(ReplyCode.mailboxUnavailable, Enhanced.media, 'Message contains a NUL octet', 'nul')
export const tooManyHops: Answer = answer(ReplyCode.transactionFailed, Enhanced.routingLoop, 'Too many hops', 'hops')
export const headerTooBig: Answer = answer(ReplyCode.storageExceeded, Enhanced.tooBig, 'Header is too large', 'header-size')
export const headerSyntax: Answer = answer(
  ReplyCode.transactionFailed,
  Enhanced.media,
  'Header has a line that is no field',
  'header-syntax',
)
export const fromMissing: Answer = answer(ReplyCode.transactionFailed, Enhanced.media, 'From header field is missing', 'from-missing')
export const fromTwice: Answer = answer(ReplyCode.transactionFailed, Enhanced.media, 'More than one From header field', 'from-twice')
export const fromSyntax: Answer = answer(ReplyCode.transactionFailed, Enhanced.media, 'From header field cannot be read', 'from-syntax')
export const fromNotYours: Answer = answer(
  ReplyCode.mailboxUnavailable,
  Enhanced.refused,
  'From address does not belong to your account',
  'from-of-account',
)

export const spoolFull: Answer = answer(ReplyCode.insufficientStorage, Enhanced.systemFull, 'Insufficient system storage', 'spool-full')
export const spoolStress: Answer = answer(ReplyCode.localError, Enhanced.notAccepting, 'System not accepting messages now', 'spool-stress')
export const spoolFailed: Answer = answer(ReplyCode.localError, Enhanced.localError, 'Local error in processing', 'spool-failed')

export const xclientSyntax: Answer = answer(ReplyCode.argumentSyntax, Enhanced.invalidArguments, 'Bad XCLIENT attributes', 'argument')

export function answerOfSpool(error: SpoolError): Answer {
  switch (error.kind) {
    case 'full':
      return spoolFull
    case 'stress':
      return spoolStress
    case 'failed':
      return spoolFailed
  }
}

/** RFC 5321 §4.2: the greeting starts with our name; RFC 2034 §4: it has no enhanced code. */
export function greeting(hostname: string, protocol: string, banner: string): Buffer {
  return encodeReply({ code: ReplyCode.ready, enhanced: Enhanced.none, text: `${hostname} ${protocol} ${banner}` })
}

/** The answer to HELO, EHLO or LHLO: one line a keyword (RFC 5321 §4.1.1.1). */
export function hello(lines: readonly string[]): Buffer {
  return encodeReply({ code: ReplyCode.ok, enhanced: Enhanced.none, text: lines.join('\n') })
}

export function help(text: string): Buffer {
  return encodeReply({ code: ReplyCode.help, enhanced: Enhanced.ok, text })
}

export function goodbye(hostname: string): Buffer {
  return encodeReply({ code: ReplyCode.closing, enhanced: Enhanced.ok, text: `${hostname} closing connection` })
}

/** The reply of every message: composed without the care that foreign text needs. */
export function queued(id: string): Buffer {
  return Buffer.from(`${ReplyCode.ok} ${Enhanced.ok} queued as ${id}\r\n`, 'latin1')
}

export function chunkOk(octets: number): Buffer {
  return encodeReply({ code: ReplyCode.ok, enhanced: Enhanced.ok, text: `${octets} octets received` })
}

/** RFC 6710 §4.1: the new priority comes first. */
export function priorityChanged(priority: number): Buffer {
  return encodeReply({ code: ReplyCode.ok, enhanced: Enhanced.priorityChanged, text: `${priority} is the priority of this message` })
}

/** RFC 4954 §4: 334 and base64, nothing else and of any length; a challenge without data keeps the space. */
export function challenge(data: Buffer): Buffer {
  return Buffer.from(`${ReplyCode.authChallenge} ${latin1(data, 0, data.length)}\r\n`, 'latin1')
}

export function senderSyntax(why: string): Answer {
  return answer(ReplyCode.argumentSyntax, Enhanced.senderSyntax, `Bad sender address: ${why}`, 'syntax')
}

export function recipientSyntax(why: string): Answer {
  return answer(ReplyCode.argumentSyntax, Enhanced.recipientSyntax, `Bad recipient address: ${why}`, 'syntax')
}

export function commandSyntax(syntax: string): Answer {
  return answer(ReplyCode.argumentSyntax, Enhanced.invalidArguments, `Syntax: ${syntax}`, 'syntax')
}

/** RFC 5321 §4.1.1.11: 555 for parameters that are not recognized. */
export function parameter(error: ParamError): Answer {
  const code = error.kind === 'unknown' ? ReplyCode.parametersNotRecognized : ReplyCode.argumentSyntax
  return answer(code, Enhanced.invalidArguments, error.text.charAt(0).toUpperCase() + error.text.slice(1), `parameter-${error.kind}`)
}

/** RFC 5321 §3.8: 421, and the connection ends. */
export function ending(why: Ending, hostname: string): Answer {
  const [enhanced, text] = ENDINGS[why]
  return answer(ReplyCode.unavailable, enhanced, `${hostname} ${text}`, why)
}

/** Why the server ends a connection by itself. */
export type Ending =
  | 'timeout'
  | 'shutdown'
  | 'errors'
  | 'auth-failures'
  | 'idle-commands'
  | 'messages'
  | 'not-smtp'
  | 'flood'
  | 'chunk-size'

const ENDINGS: Readonly<Record<Ending, readonly [enhanced: string, text: string]>> = {
  timeout: [Enhanced.timeout, 'timeout, closing connection'],
  shutdown: [Enhanced.notAccepting, 'service shutting down, closing connection'],
  errors: [Enhanced.temporaryPolicy, 'too many errors, closing connection'],
  'auth-failures': [Enhanced.temporaryPolicy, 'too many failed authentications, closing connection'],
  'idle-commands': [Enhanced.temporaryPolicy, 'too many commands without a message, closing connection'],
  messages: [Enhanced.temporaryPolicy, 'too many messages on this connection, closing connection'],
  'not-smtp': [Enhanced.temporaryPolicy, 'this is a mail server, closing connection'],
  flood: [Enhanced.temporaryPolicy, 'too much data behind the limit, closing connection'],
  'chunk-size': [Enhanced.temporaryPolicy, 'end of the chunk is unknown, closing connection'],
}
