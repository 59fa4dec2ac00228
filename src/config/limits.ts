// Every limit of the product: its unit is in its name, its reason stands beside it. Pure data and its relations.
//
// Names end in Bytes, Ms or say what they count; `…Max` and `…Min` where the word alone would not tell. Threads read
// `config.limits`, which is `defaultLimits` with what `limits` of the configuration overrides (`tunableLimits`).

import { assert } from '../lib/assert.ts'

/**
 * Messages or recipients an hour that an account's quota may name: the ledger counts to a million in five minutes, and
 * would never see a higher limit reached.
 */
export const ACCOUNT_QUOTA_MAX = 1_000_000

export interface Limits {
  // SMTP server: sizes of what a client may say.

  /** RFC 5321 §4.5.3.1.4 gives 512 with CRLF; SIZE, BODY, SMTPUTF8, DSN, AUTH, BY, HOLDUNTIL and MT-PRIORITY add about 1,250. */
  readonly commandLineBytesMax: number
  /** RFC 4954 §4: 12,288 for AUTH and its responses, so that Kerberos tickets and tokens fit. */
  readonly authLineBytesMax: number
  /** RFC 5321 §4.5.3.1.3 gives a path 256; RFC 6531 addresses are counted in UTF-8. */
  readonly pathBytesMax: number
  /** RFC 5321 §4.5.3.1.2. */
  readonly domainBytesMax: number
  /** RFC 5321 §4.5.3.1.8 asks for at least 100; set by smtp.recipientsMax. */
  readonly recipientsMax: number
  /** Largest message, announced by SIZE (RFC 1870 §3); set by smtp.maxMessageBytes. */
  readonly messageBytesMax: number
  /** Header bytes looked at for Received, From, Date and Message-ID; what follows is body to us. */
  readonly headerBytesMax: number
  /** RFC 5321 §6.3: at least 100 Received fields before a loop is suspected. */
  readonly hopsMax: number
  /** Messages on one connection; unlimited would let one client hold a slot for ever. */
  readonly messagesPerConnectionMax: number

  // SMTP server: time and behaviour.

  /** RFC 5321 §4.5.3.2.7: a server waits at least 5 minutes for the next command. Counted from the line's first wish for bytes. */
  readonly commandTimeoutMs: number
  /** RFC 5321 §4.5.3.2.5 gives a sender 3 minutes a block; we wait as long as for a command. */
  readonly dataTimeoutMs: number
  /** From MAIL to the end of its data: ends who sends one byte a minute, and lets 50 MB through at 28 KB/s. */
  readonly transactionMsMax: number
  /** A connection is ended with 421 between transactions after this. */
  readonly sessionMsMax: number
  /** RFC 2852 §2: least by-time offered for mode R. What is asked for in less could hardly be kept. */
  readonly deliverByMsMin: number
  /** RFC 4865 §4: longest hold offered on submission. */
  readonly futureReleaseMsMax: number
  /** From accept or STARTTLS to a finished handshake. */
  readonly tlsHandshakeTimeoutMs: number
  /** From accept to a whole PROXY header; it is the first thing a proxy sends. */
  readonly proxyHeaderTimeoutMs: number
  /** Refused commands and recipients on one connection before 421 4.7.0; guessing addresses shall cost connections. */
  readonly errorsPerConnectionMax: number
  /** Commands on one connection that bring no message nearer, such as NOOP and RSET, before 421 4.7.0. */
  readonly idleCommandsMax: number
  /** Failed AUTH on one connection before 421 (RFC 4954 §4 allows to drop after several). */
  readonly authFailuresPerConnectionMax: number

  // SMTP server: how many at once.

  /** Connections of one net thread; each costs 8 KB plain and 53 KB with TLS. */
  readonly connectionsMax: number
  /** Connections of one client address (IPv6: /64) in one net thread. */
  readonly connectionsPerClientMax: number
  /** Reply bytes queued for a client that does not read, before reading from it stops. */
  readonly replyBacklogBytes: number
  /** Body bytes received but not yet handed to the disk, before reading from the client stops. */
  readonly intakeBacklogBytes: number

  // Spool.

  /** A segment file is closed at this size; a body larger than it has one of its own. */
  readonly segmentBytes: number
  /** Shards of a new data directory. Fixed when it is made. */
  readonly shards: number
  /** A settlement is committed within this, even when nothing else is. */
  readonly settleDelayMs: number
  /** Below this much free space, reusable pages included, messages get 452 4.3.1. */
  readonly minFreeBytes: number
  /** An event segment is closed at this size. */
  readonly eventSegmentBytes: number

  // Queue and delivery.

  /** Queue entries held in memory, at 48 bytes each; of a longer queue the heads are, the rest waits in the spool. */
  readonly residentEntriesMax: number
  /** A grant not used within this returns. */
  readonly grantSlotMs: number
  /** Reply text kept of a peer. RFC 5321 §4.5.3.1.5 gives a reply line 512. */
  readonly replyTextBytes: number
  /** One line of a peer's reply; more than 512 is tolerated, not endless. */
  readonly replyLineBytesMax: number
  /** Lines of one reply of a peer. */
  readonly replyLinesMax: number
  /** Recipients of one outgoing transaction; RFC 5321 §4.5.3.1.8 makes every server take 100. */
  readonly recipientsPerTransactionMax: number
  /** Outgoing connections of one deliver thread. */
  readonly outboundConnectionsMax: number
  /** Connect to one address. The RFC has no value; TCP's own is minutes. */
  readonly connectTimeoutMs: number
  /** RFC 5321 §4.5.3.2.1 gives 5 minutes; dead hosts that accept connections are common enough to wait for 1. */
  readonly bannerTimeoutMs: number
  /** RFC 5321 §4.5.3.2.2 and 3: MAIL, RCPT, and EHLO alike. */
  readonly replyTimeoutMs: number
  /** STARTTLS reply and handshake, each. */
  readonly startTlsTimeoutMs: number
  /** RFC 5321 §4.5.3.2.4: the reply to DATA. */
  readonly dataReplyTimeoutMs: number
  /** RFC 5321 §4.5.3.2.5: each block of data. */
  readonly dataBlockTimeoutMs: number
  /** RFC 5321 §4.5.3.2.6: the final dot. A shorter one makes duplicates. */
  readonly finalDotTimeoutMs: number
  /** RSET and QUIT: nothing depends on their answer. */
  readonly resetTimeoutMs: number
  /** An idle connection is kept for the next message this long. */
  readonly idleReuseMs: number

  // Names and stopping.

  /** One DNS question to one server. */
  readonly dnsTimeoutMs: number
  /** Rounds over all servers. */
  readonly dnsAttempts: number
  /** Longest time an answer is believed, whatever its TTL (RFC 8767 §4 suggests a cap). */
  readonly dnsTtlMsMax: number
  /** Longest negative answer (RFC 2308 §5: one to three hours). */
  readonly dnsNegativeTtlMsMax: number
  /** Answers that a deliver thread keeps, in two generations: the older half is forgotten when the younger is full. */
  readonly dnsCacheEntriesMax: number
  /** After SIGTERM, time for sessions to finish their transactions. With the next one under the 90 s of service managers. */
  readonly drainSessionsMsMax: number
  /** After that, time for deliveries to finish; what does not is tried again after the next start. */
  readonly drainDeliveriesMsMax: number
}

const KB = 1024
const MB = 1024 * 1024
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

export const defaultLimits: Limits = Object.freeze({
  commandLineBytesMax: 2 * KB,
  authLineBytesMax: 12 * KB,
  pathBytesMax: 256,
  domainBytesMax: 255,
  recipientsMax: 1000,
  messageBytesMax: 50 * MB,
  headerBytesMax: 256 * KB,
  hopsMax: 100,
  messagesPerConnectionMax: 100_000,

  commandTimeoutMs: 5 * MINUTE,
  dataTimeoutMs: 5 * MINUTE,
  transactionMsMax: 30 * MINUTE,
  sessionMsMax: 4 * HOUR,
  deliverByMsMin: 1 * MINUTE,
  futureReleaseMsMax: 7 * 24 * HOUR,
  tlsHandshakeTimeoutMs: 30 * SECOND,
  proxyHeaderTimeoutMs: 5 * SECOND,
  errorsPerConnectionMax: 20,
  idleCommandsMax: 100,
  authFailuresPerConnectionMax: 3,

  connectionsMax: 10_000,
  connectionsPerClientMax: 500,
  replyBacklogBytes: 64 * KB,
  intakeBacklogBytes: 1 * MB,

  segmentBytes: 64 * MB,
  shards: 4,
  settleDelayMs: 20,
  minFreeBytes: 256 * MB,
  eventSegmentBytes: 64 * MB,

  residentEntriesMax: 3_000_000,
  grantSlotMs: 5 * SECOND,
  replyTextBytes: 512,
  replyLineBytesMax: 2 * KB,
  replyLinesMax: 100,
  recipientsPerTransactionMax: 100,
  outboundConnectionsMax: 2_000,
  connectTimeoutMs: 30 * SECOND,
  bannerTimeoutMs: 1 * MINUTE,
  replyTimeoutMs: 5 * MINUTE,
  startTlsTimeoutMs: 1 * MINUTE,
  dataReplyTimeoutMs: 2 * MINUTE,
  dataBlockTimeoutMs: 3 * MINUTE,
  finalDotTimeoutMs: 10 * MINUTE,
  resetTimeoutMs: 20 * SECOND,
  idleReuseMs: 1 * MINUTE,

  dnsTimeoutMs: 5 * SECOND,
  dnsAttempts: 2,
  dnsTtlMsMax: 24 * HOUR,
  dnsNegativeTtlMsMax: 1 * HOUR,
  dnsCacheEntriesMax: 100_000,
  drainSessionsMsMax: 30 * SECOND,
  drainDeliveriesMsMax: 20 * SECOND,
})

/** How a limit that the configuration may override is read, and its bounds. */
export interface TunableLimit {
  readonly unit: 'bytes' | 'ms' | 'count'
  readonly min: number
  readonly max: number
}

const bytes = (min: number, max: number): TunableLimit => ({ unit: 'bytes', min, max })
const ms = (min: number, max: number): TunableLimit => ({ unit: 'ms', min, max })
const count = (min: number, max: number): TunableLimit => ({ unit: 'count', min, max })

/** The keys of `limits` in the configuration. The rest is fixed by protocol or by design. */
export const tunableLimits: Readonly<Partial<Record<keyof Limits, TunableLimit>>> = Object.freeze({
  hopsMax: count(100, 1000),
  headerBytesMax: bytes(32 * KB, 16 * MB),
  messagesPerConnectionMax: count(1, 1e9),
  commandTimeoutMs: ms(SECOND, HOUR),
  dataTimeoutMs: ms(SECOND, HOUR),
  transactionMsMax: ms(SECOND, 24 * HOUR),
  sessionMsMax: ms(SECOND, 7 * 24 * HOUR),
  deliverByMsMin: ms(SECOND, 24 * HOUR),
  futureReleaseMsMax: ms(MINUTE, 365 * 24 * HOUR),
  tlsHandshakeTimeoutMs: ms(SECOND, HOUR),
  errorsPerConnectionMax: count(1, 1e6),
  idleCommandsMax: count(1, 1e6),
  authFailuresPerConnectionMax: count(1, 1000),
  connectionsMax: count(1, 1_000_000),
  connectionsPerClientMax: count(1, 1_000_000),
  shards: count(1, 64),
  minFreeBytes: bytes(0, 1e15),
  residentEntriesMax: count(1000, 100_000_000),
  recipientsPerTransactionMax: count(1, 1000),
  outboundConnectionsMax: count(1, 100_000),
  connectTimeoutMs: ms(SECOND, HOUR),
  bannerTimeoutMs: ms(SECOND, HOUR),
  replyTimeoutMs: ms(SECOND, HOUR),
  startTlsTimeoutMs: ms(SECOND, HOUR),
  dataReplyTimeoutMs: ms(SECOND, HOUR),
  dataBlockTimeoutMs: ms(SECOND, HOUR),
  finalDotTimeoutMs: ms(SECOND, HOUR),
  idleReuseMs: ms(0, HOUR),
  dnsTimeoutMs: ms(100, MINUTE),
  drainSessionsMsMax: ms(0, HOUR),
  drainDeliveriesMsMax: ms(0, HOUR),
})

/** Relations between limits, each with the sentence that is told when it does not hold. */
const RELATIONS: readonly { readonly holds: (l: Limits) => boolean; readonly text: string }[] = [
  { holds: (l) => l.commandLineBytesMax >= 512, text: 'commandLineBytesMax is at least 512 (RFC 5321 §4.5.3.1.4)' },
  { holds: (l) => l.authLineBytesMax >= 12_288, text: 'authLineBytesMax is at least 12288 (RFC 4954 §4)' },
  { holds: (l) => l.pathBytesMax < l.commandLineBytesMax, text: 'a path fits in a command line' },
  { holds: (l) => l.recipientsMax >= 100, text: 'recipientsMax is at least 100 (RFC 5321 §4.5.3.1.8)' },
  { holds: (l) => l.messageBytesMax >= 64 * KB, text: 'messageBytesMax is at least 64 KiB (RFC 5321 §4.5.3.1.7)' },
  { holds: (l) => l.hopsMax >= 100, text: 'hopsMax is at least 100 (RFC 5321 §6.3)' },
  { holds: (l) => l.commandTimeoutMs <= l.sessionMsMax, text: 'commandTimeoutMs is at most sessionMsMax' },
  { holds: (l) => l.dataTimeoutMs <= l.transactionMsMax, text: 'dataTimeoutMs is at most transactionMsMax' },
  { holds: (l) => l.transactionMsMax <= l.sessionMsMax, text: 'transactionMsMax is at most sessionMsMax' },
  { holds: (l) => l.settleDelayMs < l.grantSlotMs, text: 'settleDelayMs is less than grantSlotMs' },
  { holds: (l) => l.replyTextBytes <= l.replyLineBytesMax * l.replyLinesMax, text: 'the reply text kept is at most a reply' },
  { holds: (l) => l.finalDotTimeoutMs >= l.dataBlockTimeoutMs, text: 'finalDotTimeoutMs is at least dataBlockTimeoutMs' },
]

/** The relations that `limits` breaks; empty when all hold. */
export function brokenRelations(limits: Limits): string[] {
  return RELATIONS.filter((relation) => !relation.holds(limits)).map((relation) => relation.text)
}

assert(brokenRelations(defaultLimits).length === 0, `default limits: ${brokenRelations(defaultLimits).join('; ')}`)
