// A client that hands in one message over SMTP, by the session state machine of the server; it may pipeline, be slow, or go
// away in the middle.

import { Prng } from '../../../src/lib/prng.ts'
import type { SmtpSessionConfig } from '../../../src/session/smtp/config.ts'
import type { Intake, SmtpHost, SpoolError } from '../../../src/session/smtp/ports.ts'
import { SmtpSession } from '../../../src/session/smtp/session.ts'
import type { SpoolOwner } from '../../../src/spool/owner.ts'
import type { Books, Mail } from './books.ts'
import type { Life } from './life.ts'

export interface Letter {
  readonly mail: Mail
  /** Parameters of MAIL. */
  readonly parameters: string
  readonly recipients: readonly { readonly address: string; readonly notify: string }[]
}

export interface ClientWorld {
  readonly books: Books
  readonly session: SmtpSessionConfig
  note(text: string): void
}

const PIECE_BYTES = 20_000

export class Client implements SmtpHost {
  readonly #world: ClientWorld
  readonly #life: Life
  readonly #owner: SpoolOwner
  readonly #letter: Letter
  readonly #random: Prng
  readonly #session: SmtpSession
  /** What is said next: a command waits for the reply to the one before, unless it is pipelined. */
  #script: { readonly bytes: Buffer; readonly expects: number }[]
  #expected: number[] = []
  #unread: Buffer = Buffer.alloc(0)
  #ingesting = false
  #gone = false
  #closed = false
  /** Gives up before so many pieces are sent. */
  #pieces: number

  constructor(world: ClientWorld, life: Life, owner: SpoolOwner, letter: Letter, seed: number) {
    this.#world = world
    this.#life = life
    this.#owner = owner
    this.#letter = letter
    this.#random = new Prng(seed)
    this.#pieces = this.#random.below(15) === 0 ? this.#random.below(8) : Infinity
    this.#script = this.#write()
    this.#expected = [220]
    const facts = { address: '192.0.2.7', port: 40_000, unknown: false, localAddress: '192.0.2.25', localPort: 25 }
    this.#session = new SmtpSession(world.session, facts, this, life.clock.now())
    this.#turn(() => this.#session.greet(life.clock.now()))
    this.#watch()
  }

  /** The server ends the connection, as at its stop. */
  cut(): void {
    if (this.#closed || this.#gone) return
    this.#gone = true
    this.#closed = true
    this.#turn(() => this.#session.onEnd(this.#life.clock.now()))
  }

  // ---- The session's side ----

  write(bytes: Buffer): void {
    for (const line of bytes.toString('latin1').split('\r\n')) if (/^\d{3} /.test(line)) this.#onReply(line)
  }

  startTls(): void {
    throw new Error('nobody asked for TLS')
  }

  close(): void {
    this.#closed = true
  }

  resume(): void {
    if (!this.#ingesting) this.#pump()
  }

  openMessage(): Intake {
    const intake = this.#owner.openMessage()
    this.#world.books.named(this.#letter.mail, intake.id)
    return intake
  }

  admission(): SpoolError | undefined {
    const { full, failing } = this.#owner.stress()
    if (full) return { kind: 'full', cause: 'full' }
    return failing ? { kind: 'stress', cause: 'failing' } : undefined
  }

  askRecipient(): void {
    throw new Error('the relay policy never asks')
  }

  auth(): void {
    throw new Error('nobody asked for AUTH')
  }

  // ---- The client's side ----

  #write(): { bytes: Buffer; expects: number }[] {
    const { mail, parameters, recipients } = this.#letter
    const dotted = mail.content.toString('latin1').replace(/^\./gm, '..')
    const lines: [string, number][] = [
      ['EHLO client.example\r\n', 250],
      [`MAIL FROM:<${mail.sender}>${parameters}\r\n`, 250],
      ...recipients.map(({ address, notify }): [string, number] => [`RCPT TO:<${address}>${notify}\r\n`, 250]),
      ['DATA\r\n', 354],
      [`${dotted}.\r\n`, 250],
    ]
    return lines.map(([text, expects]) => ({ bytes: Buffer.from(text, 'latin1'), expects }))
  }

  #onReply(line: string): void {
    const code = Number(line.slice(0, 3))
    const expects = this.#expected.shift()
    const { mail } = this.#letter
    const isLast = this.#script.length === 0 && this.#expected.length === 0
    // The client is told, although it may have gone: then nobody hears it.
    if (isLast && code === 250 && !this.#gone) mail.state = 'taken'
    if (isLast && code === 250) this.#world.note(`${mail.key} is taken: ${line}`)
    if (code !== expects && mail.state === 'handed in') {
      this.#world.note(`${mail.key} is refused: ${line}`)
      // 421 may come behind a commit that nobody heard of.
      if (code !== 421) mail.state = 'refused'
      this.#gone = true
      this.#life.clock.after(1, () => this.#turn(() => this.#session.onEnd(this.#life.clock.now())))
    }
    if (this.#expected.length === 0) this.#life.clock.after(1 + this.#random.below(20), () => this.#say())
  }

  /** The next command, or all up to the content. */
  #say(): void {
    if (this.#gone || this.#closed || this.#expected.length > 0) return
    const pipelines = this.#random.below(2) === 0
    const out: Buffer[] = []
    for (let next = this.#script[0]; next; next = this.#script[0]) {
      this.#script.shift()
      out.push(next.bytes)
      this.#expected.push(next.expects)
      if (!pipelines || next.expects === 354 || next.bytes.length > 1000) break
    }
    if (out.length > 0) this.#send(Buffer.concat(out))
  }

  #send(bytes: Buffer): void {
    if (this.#gone) return
    if (this.#pieces-- <= 0) {
      this.#world.note(`${this.#letter.mail.key} is abandoned by its client`)
      this.#gone = true
      this.#turn(() => this.#session.onEnd(this.#life.clock.now()))
      return
    }
    const end = Math.min(bytes.length, 1 + this.#random.below(PIECE_BYTES))
    this.#feed(Buffer.from(bytes.subarray(0, end)))
    if (end < bytes.length) this.#life.clock.after(1 + this.#random.below(10), () => this.#send(bytes.subarray(end)))
  }

  #feed(bytes: Buffer): void {
    if (this.#closed) return
    this.#unread = this.#unread.length > 0 ? Buffer.concat([this.#unread, bytes]) : bytes
    this.#pump()
  }

  /** As net/connection.ts does it. */
  #pump(): void {
    this.#turn(() => {
      while (this.#unread.length > 0 && !this.#closed) {
        const used = this.#session.ingest(this.#unread, 0, this.#unread.length, this.#life.clock.now())
        this.#unread = this.#unread.subarray(used)
        if (used === 0) break
      }
    })
  }

  #turn(act: () => void): void {
    this.#ingesting = true
    act()
    this.#ingesting = false
  }

  #watch(): void {
    this.#life.clock.after(10_000, () => {
      if (this.#closed || this.#letter.mail.state !== 'handed in' || this.#gone) return
      this.#session.onTimeout(this.#life.clock.now())
      this.#watch()
    })
  }
}
