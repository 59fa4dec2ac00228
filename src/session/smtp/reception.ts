// A message on its way from the decoder to the spool: counted, its header watched, refused when it must be. Net threads.
//
// One instance a session. Our Received field goes first. Content streams through, except that the header of a message
// that starts its way here is held back until it was checked, at most limits.headerBytesMax, and that the first few
// bytes wait until it is known whether they begin a header. After a refusal nothing reaches the spool.

import { EMPTY, hasEightBit, own } from '../../lib/bytes.ts'
import type { ContentSink } from '../../wire/smtp/data.ts'
import * as Answers from './answers.ts'
import type { Answer } from './answers.ts'
import { HeaderScan } from './header.ts'
import { originate } from './originate.ts'
import type { Origin } from './originate.ts'
import type { Intake } from './ports.ts'

export interface ReceptionLimits {
  readonly messageBytesMax: number
  readonly headerBytesMax: number
  readonly hopsMax: number
}

const CRLF: Buffer = Buffer.from('\r\n')

export class Reception implements ContentSink {
  readonly #limits: ReceptionLimits
  readonly #scan = new HeaderScan()
  #intake: Intake | undefined
  #origin: Origin | undefined
  #refusal: Answer | undefined
  #contentBytes = 0
  #storedBytes = 0
  #inHeader = false
  #watchUtf8 = false
  #utf8Header = false
  /** What waits for a verdict on the header. */
  #held: Buffer = EMPTY
  #heldLength = 0

  constructor(limits: ReceptionLimits) {
    this.#limits = limits
  }

  /** The message being received, if one is. */
  get intake(): Intake | undefined {
    return this.#intake
  }

  get refusal(): Answer | undefined {
    return this.#refusal
  }

  /** Octets of content as RFC 1870 §5 counts them, also those behind a refusal. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  /** Octets written to the intake. */
  get storedBytes(): number {
    return this.#storedBytes
  }

  /** Whether the header has octets above 127; only watched when asked for. */
  get utf8Header(): boolean {
    return this.#utf8Header
  }

  /** Begins a message with our trace field. With `origin` the header is held back and checked. */
  begin(intake: Intake, trace: string, origin: Origin | undefined, watchUtf8: boolean): void {
    this.#intake = intake
    this.#origin = origin
    this.#refusal = undefined
    this.#contentBytes = 0
    this.#storedBytes = 0
    this.#inHeader = true
    this.#watchUtf8 = watchUtf8
    this.#utf8Header = false
    this.#heldLength = 0
    this.#scan.start()
    this.#writeText(trace)
  }

  /** Ends the message without a trace. */
  abort(): void {
    this.#intake?.abort()
    this.#intake = undefined
    this.#held = EMPTY
    this.#heldLength = 0
  }

  refuse(answer: Answer): void {
    this.#refusal ??= answer
    this.abort()
  }

  content(buf: Buffer, start: number, end: number): void {
    this.#contentBytes += end - start
    if (this.#refusal) return
    if (this.#contentBytes > this.#limits.messageBytesMax) this.refuse(Answers.tooBig)
    else if (this.#inHeader) this.#header(buf, start, end)
    else this.#write(buf, start, end)
  }

  /** The content is complete: releases the intake, to be committed, or nothing when the message is refused. */
  finish(): Intake | undefined {
    if (this.#inHeader && !this.#refusal) this.#headerDone()
    const intake = this.#intake
    this.#intake = undefined
    return intake
  }

  #header(buf: Buffer, start: number, end: number): void {
    const stop = this.#scan.feed(buf, start, end)
    if (this.#watchUtf8 && !this.#utf8Header) this.#utf8Header = hasEightBit(buf, start, stop)
    // RFC 5321 §6.3.
    if (this.#scan.received > this.#limits.hopsMax) return this.refuse(Answers.tooManyHops)
    const waits = this.#origin !== undefined || !this.#scan.decided || this.#scan.headless || this.#heldLength > 0
    if (waits) this.#hold(buf, start, stop)
    else this.#write(buf, start, stop)
    if (this.#refusal) return
    if (this.#scan.ended) this.#headerDone()
    else if (!this.#origin && this.#scan.decided) this.#release(0, this.#heldLength)
    if (stop < end && !this.#refusal) this.#write(buf, stop, end)
  }

  #headerDone(): void {
    this.#inHeader = false
    // Lines that are no header shall not become part of ours.
    if (this.#scan.headless) return this.#headless()
    if (this.#origin) this.#originate(this.#origin)
    else this.#release(0, this.#heldLength)
  }

  #headless(): void {
    if (this.#origin) this.#originateEmpty(this.#origin)
    if (this.#refusal) return
    this.#write(CRLF, 0, CRLF.length)
    this.#release(0, this.#heldLength)
  }

  #originate(origin: Origin): void {
    // Behind such a line one reader goes on with fields and another does not: no place to hide a second From.
    if (this.#scan.malformed && origin.account !== '') return this.refuse(Answers.headerSyntax)
    const verdict = originate(this.#held, 0, this.#heldLength, origin)
    if (verdict.kind === 'refuse') return this.refuse(verdict.answer)
    this.#writeText(verdict.add)
    let from = 0
    for (const field of verdict.drop) {
      this.#write(this.#held, from, field.start)
      from = field.end
    }
    this.#release(from, this.#heldLength)
  }

  /** A message without any header: what is held is body. */
  #originateEmpty(origin: Origin): void {
    const verdict = originate(EMPTY, 0, 0, origin)
    if (verdict.kind === 'refuse') this.refuse(verdict.answer)
    else this.#writeText(verdict.add)
  }

  #hold(buf: Buffer, start: number, end: number): void {
    const length = this.#heldLength + end - start
    if (length > this.#limits.headerBytesMax) return this.refuse(Answers.headerTooBig)
    if (this.#heldLength === 0) {
      this.#held = own(buf, start, end)
    } else {
      if (length > this.#held.length) this.#grow(length)
      buf.copy(this.#held, this.#heldLength, start, end)
    }
    this.#heldLength = length
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(2 * length)
    this.#held.copy(larger, 0, 0, this.#heldLength)
    this.#held = larger
  }

  /** Writes what was held from `from` and lets go of it. */
  #release(from: number, end: number): void {
    if (this.#heldLength === 0) return
    this.#write(this.#held, from, end)
    this.#held = EMPTY
    this.#heldLength = 0
  }

  #write(buf: Buffer, start: number, end: number): void {
    if (start >= end) return
    this.#storedBytes += end - start
    this.#intake?.write(buf, start, end)
  }

  #writeText(text: string): void {
    if (text === '') return
    const bytes = Buffer.from(text, 'utf8')
    this.#write(bytes, 0, bytes.length)
  }
}
