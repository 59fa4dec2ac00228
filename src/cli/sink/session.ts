// The sink's side of an SMTP or LMTP dialogue: takes what it is given, answers as scripted. No socket, no clock.
//
// It is a test tool: it obeys the order of commands, so that a client's mistakes show, and checks little else.

import { latin1, utf8 } from '../../lib/bytes.ts'
import { Content } from './content.ts'
import { scriptedLine } from './script.ts'
import type { Script, Stage } from './script.ts'

/** A message that was answered with 250. */
export interface SunkMessage {
  readonly from: string
  readonly mailParameters: string
  readonly to: readonly SunkRecipient[]
  readonly bytes: number
  /** The beginning of the content; empty when the sink was told not to keep it. */
  readonly head: Buffer
  /** What the client called itself. */
  readonly hello: string
}

export interface SunkRecipient {
  readonly address: string
  readonly parameters: string
}

export interface SinkHost {
  write(text: string): void
  /** After what was written. */
  close(): void
  startTls(): void
  /** Calls `fn` after `delayMs`, then goes on with the input that was left. */
  delay(delayMs: number, fn: () => void): void
  received(message: SunkMessage): void
  /** A message, or some of its recipients, got another answer than 250. */
  refused(): void
}

export interface SinkSettings {
  readonly lmtp: boolean
  readonly starttls: boolean
  readonly keepsHead: boolean
  /** EHLO keywords that are not announced, upper case. */
  readonly without: ReadonlySet<string>
  readonly script: Script
}

const LINE_BYTES_MAX = 8 * 1024
const RECIPIENTS_MAX = 100_000
const SIZE_MAX = 1024 * 1024 * 1024
/** What EHLO announces, besides STARTTLS. */
const KEYWORDS = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'CHUNKING', `SIZE ${SIZE_MAX}`, 'DSN', 'ENHANCEDSTATUSCODES']
/** What `--without` may name. */
export const SINK_KEYWORDS: readonly string[] = [...KEYWORDS.map(keywordOf), 'STARTTLS']
const CRLF: Buffer = Buffer.from('\r\n')

const OK = '250 2.0.0 Ok\r\n'
const SYNTAX = '501 5.5.4 Syntax error\r\n'
const SEQUENCE = '503 5.5.1 Bad sequence of commands\r\n'

type Mode = 'command' | 'data' | 'chunk'

export class SinkSession {
  readonly #host: SinkHost
  readonly #settings: SinkSettings
  readonly #content: Content
  #mode: Mode = 'command'
  #waiting = false
  #closed = false
  #secure: boolean
  #hello = ''
  #from: string | undefined
  #mailParameters = ''
  #to: SunkRecipient[] = []
  #chunkLeft = 0
  #chunkLast = false
  /** A chunk of this message was taken: DATA is out of order now (RFC 3030 §2). */
  #chunked = false
  #chunkRefused = false

  constructor(host: SinkHost, settings: SinkSettings, secure: boolean) {
    this.#host = host
    this.#settings = settings
    this.#secure = secure
    this.#content = new Content(settings.keepsHead)
  }

  greet(): void {
    this.#host.write(`220 sink.invalid ${this.#settings.lmtp ? 'LMTP' : 'ESMTP'} rohrpost sink\r\n`)
  }

  /** A new dialogue begins behind the handshake (RFC 3207 §4.2). */
  onTls(): void {
    this.#secure = true
    this.#closed = false
    this.#hello = ''
    this.#reset()
  }

  /** Consumes bytes; returns how far it came: less than `end` for half a line, or while an answer is delayed. */
  ingest(buf: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.#waiting && !this.#closed) {
      const next =
        this.#mode === 'command' ? this.#line(buf, at, end) : this.#mode === 'data' ? this.#data(buf, at, end) : this.#chunk(buf, at, end)
      if (next === at) break
      at = next
    }
    return this.#closed ? end : at
  }

  #line(buf: Buffer, start: number, end: number): number {
    const eol = buf.indexOf(CRLF, start)
    if (eol < 0 || eol + 2 > end) {
      if (end - start > LINE_BYTES_MAX) this.#end('500 5.5.2 Line too long\r\n')
      return start
    }
    const space = buf.indexOf(0x20, start)
    const verbEnd = space < 0 || space > eol ? eol : space
    const verb = latin1(buf, start, verbEnd).toUpperCase()
    const run = COMMANDS.get(verb)
    if (run) run(this, utf8(buf, Math.min(verbEnd + 1, eol), eol))
    else this.#host.write('500 5.5.2 Command not recognized\r\n')
    return eol + 2
  }

  hello(verb: 'HELO' | 'EHLO' | 'LHLO', name: string): void {
    if ((verb === 'LHLO') !== this.#settings.lmtp) return this.#host.write('500 5.5.1 Wrong protocol\r\n')
    this.#hello = name
    this.#reset()
    if (verb === 'HELO') return this.#host.write('250 sink.invalid\r\n')
    const offers = this.#settings.starttls && !this.#secure ? [...KEYWORDS, 'STARTTLS'] : KEYWORDS
    const lines = ['sink.invalid', ...offers.filter((keyword) => !this.#settings.without.has(keywordOf(keyword)))]
    this.#host.write(lines.map((line, i) => `250${i === lines.length - 1 ? ' ' : '-'}${line}\r\n`).join(''))
  }

  mail(argument: string): void {
    if (this.#from !== undefined) return this.#host.write(SEQUENCE)
    const path = parsePath(argument, 'FROM:')
    if (!path) return this.#host.write(SYNTAX)
    this.#answer('mail', OK, () => {
      this.#from = path.address
      this.#mailParameters = path.parameters
    })
  }

  rcpt(argument: string): void {
    if (this.#from === undefined) return this.#host.write(SEQUENCE)
    const path = parsePath(argument, 'TO:')
    if (!path || path.address === '') return this.#host.write(SYNTAX)
    if (this.#to.length >= RECIPIENTS_MAX) return this.#host.write('452 4.5.3 Too many recipients\r\n')
    this.#answer('rcpt', OK, () => this.#to.push(path))
  }

  data(): void {
    if (this.#to.length === 0 || this.#chunked) return this.#host.write(SEQUENCE)
    this.#answer('data', '354 End data with <CR><LF>.<CR><LF>\r\n', () => {
      this.#content.start()
      this.#mode = 'data'
    })
  }

  bdat(argument: string): void {
    const match = /^(\d{1,15})(?:\s+(LAST))?\s*$/i.exec(argument)
    // What follows cannot be told apart from commands any more.
    if (!match) return this.#end(SYNTAX)
    this.#chunkLeft = Number(match[1])
    this.#chunkLast = match[2] !== undefined
    this.#chunkRefused = this.#to.length === 0
    if (!this.#chunkRefused && !this.#chunked) this.#content.start()
    this.#chunked = !this.#chunkRefused
    this.#mode = 'chunk'
    if (this.#chunkLeft === 0) this.#chunkEnd()
  }

  rset(): void {
    this.#reset()
    this.#host.write(OK)
  }

  starttls(): void {
    if (!this.#settings.starttls || this.#secure) return this.#host.write('502 5.5.1 Not available\r\n')
    this.#host.write('220 2.0.0 Ready to start TLS\r\n')
    this.#closed = true
    this.#host.startTls()
  }

  say(text: string): void {
    this.#host.write(text)
  }

  quit(): void {
    this.#end('221 2.0.0 Bye\r\n')
  }

  #data(buf: Buffer, start: number, end: number): number {
    const next = this.#content.data(buf, start, end)
    if (next < 0) return end
    this.#mode = 'command'
    this.#finish()
    return next
  }

  #chunk(buf: Buffer, start: number, end: number): number {
    const stop = Math.min(end, start + this.#chunkLeft)
    if (!this.#chunkRefused) this.#content.chunk(buf, start, stop)
    this.#chunkLeft -= stop - start
    if (this.#chunkLeft === 0) this.#chunkEnd()
    return stop
  }

  #chunkEnd(): void {
    this.#mode = 'command'
    if (this.#chunkRefused) this.#host.write(SEQUENCE)
    else if (this.#chunkLast) this.#finish()
    else this.#answer('data', OK, () => undefined)
  }

  /** The answer to a whole message: one, or in LMTP one for each recipient (RFC 2033 §4.2). */
  #finish(): void {
    this.#later('dot', () => {
      const { script, lmtp } = this.#settings
      const codes = lmtp ? this.#to.map(() => script.pick('dot')) : [script.pick('dot')]
      const taken = lmtp ? this.#to.filter((_, i) => accepts(codes[i] as number)) : accepts(codes[0] as number) ? this.#to : []
      if (taken.length > 0) this.#host.received(this.#message(taken))
      if (!codes.every(accepts)) this.#host.refused()
      this.#reset()
      this.#host.write(codes.map((code) => (code === 0 ? OK : scriptedLine(code))).join(''))
      if (codes.includes(421)) this.#end('')
    })
  }

  #message(to: readonly SunkRecipient[]): SunkMessage {
    const { bytes } = this.#content
    const head = this.#settings.keepsHead ? this.#content.head() : NO_HEAD
    return { from: this.#from ?? '', mailParameters: this.#mailParameters, to, bytes, head, hello: this.#hello }
  }

  /** Answers a command of `stage` as scripted; `accept` runs with the usual answer. */
  #answer(stage: Stage, usual: string, accept: () => void): void {
    this.#later(stage, () => {
      const code = this.#settings.script.pick(stage)
      // 2xx to DATA is no answer that a client can go on with.
      if (code === 0 || (stage !== 'data' && accepts(code))) accept()
      else this.#host.refused()
      this.#host.write(code === 0 ? usual : scriptedLine(code))
      if (code === 421) this.#end('')
    })
  }

  #later(stage: Stage, fn: () => void): void {
    const { script } = this.#settings
    if (script.delayMs === 0 || script.stage !== stage) return fn()
    this.#waiting = true
    this.#host.delay(script.delayMs, () => {
      this.#waiting = false
      fn()
    })
  }

  #end(text: string): void {
    if (text !== '') this.#host.write(text)
    this.#closed = true
    this.#host.close()
  }

  #reset(): void {
    this.#from = undefined
    this.#mailParameters = ''
    this.#to = []
    this.#chunked = false
  }
}

const NO_HEAD: Buffer = Buffer.alloc(0)

function keywordOf(line: string): string {
  return line.split(' ')[0] as string
}

function accepts(code: number): boolean {
  return code === 0 || code < 300
}

/** `FROM:<path> parameters`; a quoted local part may hold `>`. */
function parsePath(argument: string, keyword: string): SunkRecipient | undefined {
  if (argument.slice(0, keyword.length).toUpperCase() !== keyword) return undefined
  const match = /^\s*<((?:"(?:[^"\\]|\\.)*")?[^>]*)>(?:\s+(.*))?$/.exec(argument.slice(keyword.length))
  return match ? { address: match[1] as string, parameters: (match[2] ?? '').trim() } : undefined
}

const COMMANDS: ReadonlyMap<string, (session: SinkSession, argument: string) => void> = new Map([
  ['HELO', (session, name) => session.hello('HELO', name)],
  ['EHLO', (session, name) => session.hello('EHLO', name)],
  ['LHLO', (session, name) => session.hello('LHLO', name)],
  ['MAIL', (session, argument) => session.mail(argument)],
  ['RCPT', (session, argument) => session.rcpt(argument)],
  ['DATA', (session) => session.data()],
  ['BDAT', (session, argument) => session.bdat(argument)],
  ['RSET', (session) => session.rset()],
  ['NOOP', (session) => session.say(OK)],
  ['VRFY', (session) => session.say('252 2.5.0 Cannot verify\r\n')],
  ['HELP', (session) => session.say('214 2.0.0 A sink takes everything\r\n')],
  ['STARTTLS', (session) => session.starttls()],
  ['QUIT', (session) => session.quit()],
])
