// The world around a session, in memory: a connection that keeps what is not consumed, a spool that keeps messages.

import type { AuthStep } from '../../../src/session/auth/ports.ts'
import { SmtpSession } from '../../../src/session/smtp/session.ts'
import type { SmtpSessionConfig } from '../../../src/session/smtp/config.ts'
import type {
  AcceptedRecipient,
  ClientFacts,
  Intake,
  RecipientFacts,
  SmtpEvent,
  SmtpHost,
  SpoolError,
} from '../../../src/session/smtp/ports.ts'
import { defaultLimits } from '../../../src/config/limits.ts'
import { CidrSet } from '../../../src/lib/address.ts'
import { ManualClock } from '../../../src/lib/clock.ts'
import { RelayPolicy } from '../../../src/policy/relay.ts'
import { messageId } from '../../../src/spool/ids.ts'
import type { Envelope } from '../../../src/spool/types.ts'

export interface StoredMessage {
  readonly envelope: Envelope
  readonly recipients: readonly AcceptedRecipient[]
  readonly body: Buffer
}

/** What a message being received did, for tests of the spool's side. */
export class TestIntake implements Intake {
  readonly id: number
  readonly pieces: Buffer[] = []
  aborted = false
  committed = false
  backlog = 0
  drained: (() => void) | undefined
  readonly #host: TestHost

  constructor(id: number, host: TestHost) {
    this.id = id
    this.#host = host
  }

  write(buf: Buffer, start: number, end: number): void {
    if (this.aborted || this.committed) throw new Error('write after the end')
    this.pieces.push(Buffer.from(buf.subarray(start, end)))
    this.backlog += this.#host.slowDisk ? end - start : 0
  }

  backlogBytes(): number {
    return this.backlog
  }

  onDrain(fn: () => void): void {
    this.drained = fn
  }

  abort(): void {
    if (this.aborted || this.committed) throw new Error('ended twice')
    this.aborted = true
  }

  commit(envelope: Envelope, recipients: readonly AcceptedRecipient[], done: (error: SpoolError | undefined) => void): void {
    if (this.aborted || this.committed) throw new Error('ended twice')
    this.committed = true
    this.#host.committing(envelope, recipients, Buffer.concat(this.pieces), done)
  }
}

export class TestHost implements SmtpHost {
  readonly clock: ManualClock = new ManualClock()
  readonly session: SmtpSession
  /** Bytes written and not yet taken. */
  #out: Buffer[] = []
  /** Bytes that came and were not consumed. */
  #rest: Buffer = Buffer.alloc(0)
  #pumping = false
  closed = false
  tlsWanted = false
  slowDisk = false
  /** Whether commits wait for `finishCommit`. */
  holdCommits = false
  admissionError: SpoolError | undefined
  commitError: SpoolError | undefined
  readonly messages: StoredMessage[] = []
  readonly intakes: TestIntake[] = []
  readonly events: SmtpEvent[] = []
  readonly authCalls: { readonly ticket: number; readonly mechanism: string; readonly response: string | undefined }[] = []
  readonly abandoned: number[] = []
  /** Answers AUTH at once; without it tests call `session.onAuth`. */
  authAnswer: ((mechanism: string, response: string | undefined) => AuthStep) | undefined
  readonly asked: { readonly ticket: number; readonly facts: RecipientFacts }[] = []
  #commits: { readonly message: StoredMessage; readonly done: (error: SpoolError | undefined) => void }[] = []
  #sequence = 0

  constructor(config: SmtpSessionConfig, client: Partial<ClientFacts> = {}) {
    const facts = { address: '198.51.100.7', port: 40_000, unknown: false, localAddress: '192.0.2.25', localPort: 25, ...client }
    this.session = new SmtpSession(config, facts, this, this.clock.now())
  }

  write(bytes: Buffer): void {
    if (this.closed) throw new Error('write after close')
    this.#out.push(bytes)
  }

  startTls(): void {
    this.tlsWanted = true
  }

  close(): void {
    if (this.closed) throw new Error('closed twice')
    this.closed = true
  }

  resume(): void {
    if (this.#pumping) throw new Error('resume from inside ingest')
    this.#pump()
  }

  openMessage(): Intake {
    const intake = new TestIntake(messageId(0, ++this.#sequence), this)
    this.intakes.push(intake)
    return intake
  }

  admission(): SpoolError | undefined {
    return this.admissionError
  }

  askRecipient(ticket: number, facts: RecipientFacts): void {
    this.asked.push({ ticket, facts })
  }

  auth(ticket: number, mechanism: string, response: Buffer | undefined): void {
    this.authCalls.push({ ticket, mechanism, response: response?.toString('latin1') })
    const step = this.authAnswer?.(mechanism, response?.toString('latin1'))
    if (step) this.session.onAuth(ticket, step, this.clock.now())
  }

  abandonAuth(ticket: number): void {
    this.abandoned.push(ticket)
  }

  observe(event: SmtpEvent): void {
    this.events.push(event)
  }

  committing(
    envelope: Envelope,
    recipients: readonly AcceptedRecipient[],
    body: Buffer,
    done: (error: SpoolError | undefined) => void,
  ): void {
    this.#commits.push({ message: { envelope, recipients: [...recipients], body }, done })
    if (!this.holdCommits) this.finishCommit(this.commitError)
  }

  /** Answers the oldest commit that waits. */
  finishCommit(error?: SpoolError): void {
    const commit = this.#commits.shift()
    if (!commit) throw new Error('no commit waits')
    if (!error) this.messages.push(commit.message)
    commit.done(error)
  }

  get commitsWaiting(): number {
    return this.#commits.length
  }

  /** Bytes that the session has left unread. */
  get unread(): number {
    return this.#rest.length
  }

  /** One chunk from the client. */
  feed(chunk: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    this.#pump()
  }

  /** Sends bytes as one chunk and returns what the server says. */
  send(bytes: string | Buffer): string {
    this.feed(typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes)
    return this.said()
  }

  /** Everything said since the last call. */
  said(): string {
    const text = Buffer.concat(this.#out).toString('utf8')
    this.#out = []
    return text
  }

  greet(): string {
    this.session.greet(this.clock.now())
    return this.said()
  }

  tls(): void {
    this.tlsWanted = false
    this.#rest = Buffer.alloc(0)
    this.session.onTls({ protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' }, this.clock.now())
  }

  /** Lets time pass; the deadline is kept as a connection keeps it. */
  pass(ms: number): void {
    this.clock.advance(ms)
    if (!this.closed && this.session.deadline <= this.clock.now()) this.session.onTimeout(this.clock.now())
  }

  /** What a connection does with a chunk, see src/net/connection.ts. */
  #pump(): void {
    this.#pumping = true
    while (this.#rest.length > 0 && !this.closed && !this.tlsWanted) {
      const used = this.session.ingest(this.#rest, 0, this.#rest.length, this.clock.now())
      this.#rest = this.#rest.subarray(used)
      if (used === 0) break
    }
    this.#pumping = false
  }
}

/** Settings as tests and dialogues name them. */
export interface TestSettings {
  readonly kind?: SmtpSessionConfig['kind']
  readonly startTls?: boolean
  readonly tlsRequired?: boolean
  readonly authRequired?: boolean
  /** Offered under TLS, and `plain` without. */
  readonly mechanisms?: readonly string[]
  readonly plainMechanisms?: readonly string[]
  readonly extensions?: Partial<SmtpSessionConfig['extensions']>
  readonly bareLf?: 'normalize' | 'refuse'
  readonly limits?: Partial<SmtpSessionConfig['limits']>
  readonly relayFrom?: readonly string[]
  readonly xclientFrom?: readonly string[]
  readonly domains?: Readonly<Record<string, readonly string[]>>
  readonly postmaster?: string
  /** Addresses and `*@domain` of each account. */
  readonly accounts?: Readonly<Record<string, readonly string[]>>
  /** Recipients that policy must be asked about. */
  readonly ask?: readonly string[]
  /** Senders that policy refuses. */
  readonly refuseSenders?: readonly string[]
}

const ALL_EXTENSIONS: SmtpSessionConfig['extensions'] = {
  chunking: true,
  binaryMime: true,
  smtpUtf8: true,
  dsn: true,
  mtPriority: true,
  deliverBySeconds: 0,
  futureReleaseSeconds: 604_800,
}

export function testConfig(settings: TestSettings = {}): SmtpSessionConfig {
  const relay = relayPolicy(settings)
  const peers = CidrSet.parse(settings.xclientFrom ?? [])
  if (!peers.ok) throw new Error(peers.error)
  return {
    kind: settings.kind ?? 'smtp',
    hostname: 'mx.example.org',
    banner: 'test',
    startTls: settings.startTls ?? false,
    tlsRequired: settings.tlsRequired ?? false,
    authRequired: settings.authRequired ?? false,
    mechanisms: (tls) => (tls ? (settings.mechanisms ?? []) : (settings.plainMechanisms ?? [])),
    tlsMechanisms: settings.mechanisms ?? [],
    extensions: { ...ALL_EXTENSIONS, ...settings.extensions },
    bareLf: settings.bareLf ?? 'normalize',
    limits: { ...defaultLimits, idleCommandsMax: 100, ...settings.limits },
    mayRelay: (address) => relay.mayRelay(address),
    mayXclient: (address) => peers.value.hasText(address),
    mayUse: (account, address) => mayUse(settings.accounts?.[account] ?? [], address),
    tenantOf: (account) => account,
    decideSender: ({ sender }) =>
      settings.refuseSenders?.includes(sender)
        ? { kind: 'refuse', rule: 'quota', reply: { code: 450, enhanced: '4.7.1', text: 'Too many messages this hour' } }
        : { kind: 'accept' },
    decideRecipient: (facts) => (settings.ask?.includes(facts.recipient) ? { kind: 'ask' } : relay.decide(facts)),
  }
}

function relayPolicy(settings: TestSettings): RelayPolicy {
  const relayFrom = CidrSet.parse(settings.relayFrom ?? [])
  if (!relayFrom.ok) throw new Error(relayFrom.error)
  const domains = settings.domains ?? { 'example.org': ['lmtp://127.0.0.1:2003'] }
  return new RelayPolicy({
    hostname: 'mx.example.org',
    domains: Object.entries(domains).map(([name, deliverTo]) => ({ name, deliverTo })),
    relayFrom: relayFrom.value,
    ...(settings.postmaster !== undefined && { postmaster: settings.postmaster }),
  })
}

function mayUse(patterns: readonly string[], address: string): boolean {
  const domain = address.slice(address.lastIndexOf('@'))
  return patterns.some((pattern) => pattern === address || (pattern.startsWith('*@') && pattern.slice(1) === domain))
}
