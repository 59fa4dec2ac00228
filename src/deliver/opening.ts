// From the banner to the first MAIL: EHLO, STARTTLS, EHLO again, AUTH. Deliver threads; no I/O.
//
// Every step is a row: what is awaited and what its reply leads to. A refusal here is about the connection, never about
// a message: it makes the runner try the next address, and the scheduler back off when there is none.

import { ReplyClass, ReplyCode, replyClass } from '../wire/smtp/codes.ts'
import type { Reply } from '../wire/smtp/reply.ts'
import { base64FromText, base64ToText } from '../wire/sasl/base64.ts'
import { NO_CAPABILITIES, parseCapabilities } from './capabilities.ts'
import type { Capabilities } from './capabilities.ts'
import type { Failure } from './pipeline.ts'
import type { Credentials, TlsPolicy } from './ports.ts'
import { SaslError, chooseMechanism } from './sasl.ts'
import type { SaslClient } from './sasl.ts'
import type { Writer } from './writer.ts'

export type OpeningStage = 'banner' | 'ehlo' | 'helo' | 'starttls' | 'tls' | 'auth'

/** What comes next: another reply, the handshake, or mail. */
export type OpeningStep = 'more' | 'tls' | 'ready' | Failure

/** How a handshake ended well. */
export interface TlsResult {
  /** `TLSv1.3` and the like. */
  readonly protocol: string
  /** What is wrong with the certificate, '' when it is valid for the name. */
  readonly certificateError: string
}

export interface OpeningOptions {
  readonly protocol: 'smtp' | 'lmtp'
  /** Our name. */
  readonly hello: string
  readonly tls: TlsPolicy
  /** Why an earlier handshake with this host failed, so that opportunistic TLS is not tried; '' when none did. */
  readonly tlsFallback: string
  readonly auth: Credentials | undefined
  /** Whether a peer that calls itself by our name means a loop. */
  readonly loopCheck: boolean
  /** Random text for SCRAM. */
  readonly nonce: () => string
}

/** A reply of the opening: its text is cut, its lines are whole. */
export interface OpeningReply extends Reply {
  lines(): string[]
}

/** Characters of a command line with CRLF (RFC 5321 §4.5.3.1.4), which AUTH keeps too (RFC 4954 §4). */
const COMMAND_LINE_MAX = 512

export class Opening {
  readonly #options: OpeningOptions
  readonly #writer: Writer
  #stage: OpeningStage = 'banner'
  #capabilities: Capabilities = NO_CAPABILITIES
  #tls: TlsResult | undefined
  #tlsFallback: string
  #sasl: SaslClient | undefined
  readonly #handlers: Readonly<Record<OpeningStage, (reply: OpeningReply) => OpeningStep>> = {
    banner: (reply) => this.#onBanner(reply),
    ehlo: (reply) => this.#onEhlo(reply),
    helo: (reply) => this.#onHelo(reply),
    starttls: (reply) => this.#onStartTls(reply),
    tls: (reply) => this.#refused('reply during the TLS handshake', reply),
    auth: (reply) => this.#onAuth(reply),
  }

  constructor(options: OpeningOptions, writer: Writer) {
    this.#options = options
    this.#writer = writer
    this.#tlsFallback = options.tlsFallback
  }

  get stage(): OpeningStage {
    return this.#stage
  }

  get capabilities(): Capabilities {
    return this.#capabilities
  }

  get tls(): TlsResult | undefined {
    return this.#tls
  }

  /** Why plain text is used although TLS was wished for, '' when it is not. */
  get tlsFallback(): string {
    return this.#tlsFallback
  }

  onReply(reply: OpeningReply): OpeningStep {
    return this.#handlers[this.#stage](reply)
  }

  /** TLS is there: after STARTTLS the session begins anew (RFC 3207 §4.2), with implicit TLS the banner comes now. */
  onTls(tls: TlsResult): OpeningStep {
    this.#tls = tls
    if (this.#options.tls === 'verify' && tls.certificateError !== '') {
      return this.#failure(`certificate not accepted: ${tls.certificateError}`, '4.7.5')
    }
    this.#capabilities = NO_CAPABILITIES
    if (this.#stage === 'banner') return 'more'
    return this.#hello()
  }

  #onBanner(reply: OpeningReply): OpeningStep {
    if (reply.code !== ReplyCode.ready) return this.#refused('the banner refuses the session', reply)
    return this.#hello()
  }

  #hello(): OpeningStep {
    this.#stage = 'ehlo'
    this.#writer.command(`${this.#options.protocol === 'lmtp' ? 'LHLO' : 'EHLO'} ${this.#options.hello}\r\n`)
    return 'more'
  }

  #onEhlo(reply: OpeningReply): OpeningStep {
    if (replyClass(reply.code) === ReplyClass.completed) {
      const lines = reply.lines()
      this.#capabilities = parseCapabilities(lines)
      return this.#isLoop(lines[0]) ? this.#failure('mail for this destination loops back to ourselves', '4.4.6') : this.#secure()
    }
    // RFC 5321 §3.2: a server that does not know EHLO gets HELO; LMTP has no other word (RFC 2033 §4.1).
    if (this.#options.protocol === 'lmtp' || replyClass(reply.code) !== ReplyClass.permanent)
      return this.#refused('greeting refused', reply)
    this.#stage = 'helo'
    this.#writer.command(`HELO ${this.#options.hello}\r\n`)
    return 'more'
  }

  #onHelo(reply: OpeningReply): OpeningStep {
    if (replyClass(reply.code) !== ReplyClass.completed) return this.#refused('greeting refused', reply)
    return this.#secure()
  }

  /** RFC 5321 §4.1.1.1: the first word of the reply is the server's name. */
  #isLoop(line: string | undefined): boolean {
    if (!this.#options.loopCheck || line === undefined) return false
    return (line.split(' ')[0] as string).toLowerCase() === this.#options.hello.toLowerCase()
  }

  #secure(): OpeningStep {
    const { tls } = this.#options
    if (this.#tls || tls === 'off') return this.#authenticate()
    const optional = tls === 'opportunistic'
    if (optional && this.#options.tlsFallback !== '') return this.#authenticate()
    if (this.#capabilities.startTls) {
      this.#stage = 'starttls'
      this.#writer.command('STARTTLS\r\n')
      return 'more'
    }
    return optional ? this.#authenticate() : this.#failure('TLS is required but not offered', '4.7.4')
  }

  #onStartTls(reply: OpeningReply): OpeningStep {
    if (reply.code === ReplyCode.ready) {
      this.#stage = 'tls'
      return 'tls'
    }
    // RFC 5321 §3.8: with 421 the server closes, whatever the command was.
    if (this.#options.tls !== 'opportunistic' || reply.code === ReplyCode.unavailable) return this.#refused('STARTTLS refused', reply)
    // RFC 3207 §4.1: after a refusal the client decides; opportunistic means to go on.
    this.#tlsFallback = `STARTTLS refused: ${reply.code} ${reply.text}`
    return this.#authenticate()
  }

  #authenticate(): OpeningStep {
    const { auth } = this.#options
    if (!auth) return 'ready'
    if (!this.#tls && auth.allowPlaintext !== true) return this.#failure('AUTH is not sent without TLS', '4.7.11')
    this.#stage = 'auth'
    const sasl = chooseMechanism(this.#capabilities.auth, auth, this.#options.nonce)
    if (!sasl) return this.#failure(`no usable AUTH mechanism among: ${this.#capabilities.auth.join(' ') || 'none'}`, '4.7.4')
    this.#sasl = sasl
    this.#writer.secret(authCommand(sasl), `AUTH ${sasl.mechanism} ****`)
    return 'more'
  }

  #onAuth(reply: OpeningReply): OpeningStep {
    const sasl = this.#sasl as SaslClient
    if (reply.code === ReplyCode.authSucceeded) {
      const doubt = sasl.verify()
      return doubt === '' ? 'ready' : this.#failure(`AUTH: ${doubt}`, '4.7.0')
    }
    if (reply.code !== ReplyCode.authChallenge) return this.#refused('AUTH failed', reply)
    const challenge = base64FromText((reply.lines()[0] as string).trim())
    const answer = challenge ? sasl.answer(challenge) : new SaslError('the challenge is not base64')
    if (answer instanceof SaslError) {
      // RFC 4954 §4: that breaks the exchange off.
      this.#writer.command('*\r\n')
      return this.#failure(`AUTH: ${answer.reason}`, '4.7.0')
    }
    this.#writer.secret(`${base64ToText(answer)}\r\n`, '****')
    return 'more'
  }

  #refused(what: string, reply: Reply): Failure {
    const text = reply.text === '' ? what : reply.text
    return { kind: 'throttled', stage: this.#stage, reply: { code: reply.code, enhanced: reply.enhanced, text } }
  }

  #failure(text: string, enhanced: string): Failure {
    return { kind: 'throttled', stage: this.#stage, reply: { code: 0, enhanced, text } }
  }
}

/** RFC 4954 §4: the initial response travels along when it fits; `=` is an empty one. */
function authCommand(sasl: SaslClient): string {
  const { initial } = sasl
  if (!initial) return `AUTH ${sasl.mechanism}\r\n`
  const line = `AUTH ${sasl.mechanism} ${initial.length === 0 ? '=' : base64ToText(initial)}\r\n`
  return line.length <= COMMAND_LINE_MAX ? line : `AUTH ${sasl.mechanism}\r\n`
}
