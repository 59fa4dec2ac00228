// The commands of SMTP, submission and LMTP: one row each. Where a command may come, what is asked first, what it does.
// HELP lists the rows, EHLO the keywords of rows and of the extensions below. Net threads.

import { Verb } from '../../wire/smtp/command.ts'
import type { CommandLine } from '../../wire/smtp/command.ts'
import { Extension } from '../../wire/smtp/params.ts'
import { XCLIENT_NAMES } from '../../wire/smtp/xclient.ts'
import type { Answer } from './answers.ts'
import { checkAuth, proceedAuth } from './auth.ts'
import { proceedBdat } from './bdat.ts'
import { Phase } from './conversation.ts'
import type { Conversation } from './conversation.ts'
import { checkData, proceedData } from './data.ts'
import { proceedEhlo, proceedHelo } from './hello.ts'
import { checkMail, proceedMail } from './mail.ts'
import type { Stage } from './ports.ts'
import { checkRcpt, proceedRcpt } from './rcpt.ts'
import { proceedExpn, proceedHelp, proceedNoop, proceedQuit, proceedRset, proceedVrfy } from './simple.ts'
import { checkStartTls, proceedStartTls } from './starttls.ts'
import { checkXclient, mayXclient, proceedXclient } from './xclient.ts'

export interface CommandRow {
  readonly verb: string
  readonly word: number
  /** What a refusal counts as. */
  readonly stage: Stage
  /** Phase bits in which the command may come; outside of them it is 503. */
  readonly phases: number
  readonly argument: 'none' | 'optional' | 'required'
  /** Whether this session has the command at all; if not, it is unknown. Absent: always. */
  offered?(c: Conversation): boolean
  /** The EHLO line that announces it. Absent: it needs none. */
  keyword?(c: Conversation): string
  /** Bit of wire/smtp/params.ts whose parameters come with it. */
  readonly parameters?: number
  /** May I? Answers from what is known, changes nothing. */
  check?(c: Conversation): Answer | undefined
  /** Reads the argument and acts; always ends in a reply, or waits for somebody who will bring one. */
  proceed(c: Conversation, line: CommandLine): void
}

const ANY = Phase.connected | Phase.greeted | Phase.mail | Phase.rcpt | Phase.chunks
const AFTER_HELLO = ANY & ~Phase.connected

const isLmtp = (c: Conversation): boolean => c.config.kind === 'lmtp'
const isSmtp = (c: Conversation): boolean => c.config.kind !== 'lmtp'
const hasAuth = (c: Conversation): boolean => c.account === '' && c.config.mechanisms(c.tls).length > 0

export const COMMANDS: readonly CommandRow[] = [
  { verb: 'EHLO', word: Verb.ehlo, stage: 'hello', phases: ANY, argument: 'required', offered: isSmtp, proceed: proceedEhlo },
  { verb: 'HELO', word: Verb.helo, stage: 'hello', phases: ANY, argument: 'required', offered: isSmtp, proceed: proceedHelo },
  { verb: 'LHLO', word: Verb.lhlo, stage: 'hello', phases: ANY, argument: 'required', offered: isLmtp, proceed: proceedEhlo },
  {
    verb: 'STARTTLS',
    word: Verb.starttls,
    stage: 'tls',
    phases: ANY,
    argument: 'none',
    offered: (c) => c.config.startTls,
    keyword: (c) => (c.tls ? '' : 'STARTTLS'),
    check: checkStartTls,
    proceed: proceedStartTls,
  },
  {
    verb: 'AUTH',
    word: Verb.auth,
    stage: 'auth',
    phases: AFTER_HELLO,
    argument: 'required',
    // Also where every mechanism needs TLS first, so that the reply can say so.
    offered: (c) => c.config.tlsMechanisms.length > 0 || c.config.mechanisms(undefined).length > 0,
    keyword: (c) => (hasAuth(c) ? `AUTH ${c.config.mechanisms(c.tls).join(' ')}` : ''),
    // RFC 4954 §5: whoever announces AUTH takes the parameter, from everybody.
    parameters: Extension.auth,
    check: checkAuth,
    proceed: proceedAuth,
  },
  { verb: 'MAIL', word: Verb.mail, stage: 'mail', phases: AFTER_HELLO, argument: 'required', check: checkMail, proceed: proceedMail },
  { verb: 'RCPT', word: Verb.rcpt, stage: 'rcpt', phases: AFTER_HELLO, argument: 'required', check: checkRcpt, proceed: proceedRcpt },
  { verb: 'DATA', word: Verb.data, stage: 'data', phases: AFTER_HELLO, argument: 'none', check: checkData, proceed: proceedData },
  {
    verb: 'BDAT',
    word: Verb.bdat,
    stage: 'data',
    // Its octets follow in any case, so that it answers itself, out of sequence and without an argument.
    phases: ANY,
    argument: 'optional',
    offered: (c) => c.config.extensions.chunking,
    keyword: () => 'CHUNKING',
    proceed: proceedBdat,
  },
  { verb: 'RSET', word: Verb.rset, stage: 'command', phases: ANY, argument: 'none', proceed: proceedRset },
  { verb: 'NOOP', word: Verb.noop, stage: 'command', phases: ANY, argument: 'optional', proceed: proceedNoop },
  { verb: 'QUIT', word: Verb.quit, stage: 'command', phases: ANY, argument: 'none', proceed: proceedQuit },
  { verb: 'VRFY', word: Verb.vrfy, stage: 'command', phases: ANY, argument: 'required', proceed: proceedVrfy },
  { verb: 'EXPN', word: Verb.expn, stage: 'command', phases: ANY, argument: 'required', proceed: proceedExpn },
  { verb: 'HELP', word: Verb.help, stage: 'command', phases: ANY, argument: 'optional', keyword: () => 'HELP', proceed: proceedHelp },
  {
    verb: 'XCLIENT',
    word: Verb.xclient,
    stage: 'command',
    phases: ANY,
    argument: 'required',
    offered: mayXclient,
    keyword: () => `XCLIENT ${XCLIENT_NAMES.join(' ')}`,
    check: checkXclient,
    proceed: proceedXclient,
  },
]

/** An extension without a command of its own. */
interface ExtensionRow {
  /** The EHLO line, or '' when it is not offered here. */
  keyword(c: Conversation): string
  /** Bit of wire/smtp/params.ts whose parameters it brings; 0 for none. */
  readonly parameters: number
}

export const EXTENSIONS: readonly ExtensionRow[] = [
  { keyword: () => 'PIPELINING', parameters: 0 },
  { keyword: (c) => `SIZE ${c.config.limits.messageBytesMax}`, parameters: Extension.size },
  { keyword: () => '8BITMIME', parameters: Extension.eightBitMime },
  { keyword: ({ config: { extensions: e } }) => (e.chunking && e.binaryMime ? 'BINARYMIME' : ''), parameters: Extension.binaryMime },
  { keyword: ({ config: { extensions: e } }) => (e.smtpUtf8 ? 'SMTPUTF8' : ''), parameters: Extension.smtpUtf8 },
  { keyword: ({ config: { extensions: e } }) => (e.dsn ? 'DSN' : ''), parameters: Extension.dsn },
  { keyword: () => 'ENHANCEDSTATUSCODES', parameters: 0 },
  { keyword: ({ config: { extensions: e } }) => (e.mtPriority ? 'MT-PRIORITY' : ''), parameters: Extension.mtPriority },
  { keyword: deliverByKeyword, parameters: Extension.deliverBy },
  { keyword: futureReleaseKeyword, parameters: Extension.futureRelease },
  { keyword: limitsKeyword, parameters: 0 },
]

/** RFC 2852 §2: the least by-time follows when there is one. */
function deliverByKeyword(c: Conversation): string {
  const seconds = c.config.extensions.deliverBySeconds
  if (seconds === undefined) return ''
  return seconds > 0 ? `DELIVERBY ${seconds}` : 'DELIVERBY'
}

/** RFC 4865 §3: the longest hold, as an interval and as a date; §4.2 item 2: on submission only. */
function futureReleaseKeyword(c: Conversation): string {
  const seconds = c.config.extensions.futureReleaseSeconds
  if (c.config.kind !== 'submission' || seconds === 0) return ''
  const until = new Date(Math.floor(c.now / 1000) * 1000 + seconds * 1000).toISOString().replace('.000Z', 'Z')
  return `FUTURERELEASE ${seconds} ${until}`
}

/** RFC 9422 §4. */
function limitsKeyword(c: Conversation): string {
  const { recipientsMax, messagesPerConnectionMax } = c.config.limits
  return `LIMITS MAILMAX=${messagesPerConnectionMax} RCPTMAX=${recipientsMax}`
}
