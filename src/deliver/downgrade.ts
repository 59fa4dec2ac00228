// A message with 8-bit or binary content becomes 7-bit MIME on its way to a peer that takes nothing else (RFC 6152 §3,
// RFC 3030 §3). A stream of bytes in and out; memory is bounded whatever the message is. Pure.
//
// Leaf parts are re-encoded: text in quoted-printable, the rest in base64; multiparts and messages are walked into, never
// encoded themselves (RFC 2045 §6.4), so nothing is encoded twice. A part that claims to be 7-bit is believed as long as
// its first 64 KB are; a longer one is encoded, because its end is not known when its header must be sent.
// Signatures of changed parts do not survive; the peer leaves no other way but a bounce.

import { hasEightBit, latin1, own } from '../lib/bytes.ts'
import { Output } from './output.ts'
import { sevenBitField } from './encoded-word.ts'
import { Base64, QuotedPrintable, requoted } from './transfer-encoding.ts'
import type { LineEncoder, LineEnd } from './transfer-encoding.ts'

const LF = 0x0a
const CR = 0x0d
const HYPHEN = 0x2d
/** Longer lines are handled in fragments. */
const LINE_BYTES_MAX = 16 * 1024
/** A header field kept in one piece; what is longer is no field that matters here. */
const FIELD_BYTES_MAX = 64 * 1024
/** How much of a Content field is looked at for its parameters. */
const VALUE_LENGTH_MAX = 4096
/** How much of a part that claims to be 7-bit is looked at before its header is sent. */
const LOOK_AHEAD_BYTES = 64 * 1024
/** Multiparts within multiparts; deeper ones are left as they are. */
const DEPTH_MAX = 50

interface HeldLine {
  readonly bytes: Buffer
  readonly lineEnd: LineEnd
}

/** What the header of the current entity says. */
interface Entity {
  /** A message, which has MIME-Version, or a part of one. */
  readonly isMessage: boolean
  /** Type where none is given (RFC 2046 §5.1.5). */
  readonly defaultType: string
  type: string
  boundary: string
  encoding: string
  hasVersion: boolean
  /** Content-Type and Content-Transfer-Encoding as they stood. */
  typeField: string
  encodingField: string
}

/** `header`: fields; `look`: a part's first lines are held; `encode`: they go through an encoder; `pass`: they stay. */
type State = 'header' | 'look' | 'encode' | 'pass'

export class SevenBitConverter {
  readonly #out = new Output()
  #state: State = 'header'
  #entity: Entity = newEntity(true, 'text/plain')
  /** Boundaries of the open multiparts with the type of their parts, innermost last. */
  readonly #boundaries: { readonly marker: string; readonly partType: string }[] = []
  #encoder: LineEncoder | undefined
  /** An incomplete line from the chunk before. */
  #partial: Buffer | undefined
  /** The header field that is being collected, with its folds, one character a byte. */
  #field = ''
  /** Whether a line of the header goes on in the next fragment. */
  #fragment = false
  #held: HeldLine[] = []
  #heldBytes = 0
  /** Whether a boundary may stand here: at the start, or behind CRLF. */
  #atLineStart = true

  /** The converted form of what is known by now. */
  convert(buf: Buffer, start: number, end: number): Buffer {
    const all = this.#partial ? joined(this.#partial, buf, start, end) : buf
    let at = this.#partial ? 0 : start
    const stop = this.#partial ? all.length : end
    this.#partial = undefined
    while (at < stop) {
      const lf = all.indexOf(LF, at)
      if (lf >= 0 && lf < stop && lf - at < LINE_BYTES_MAX) {
        this.#whole(all, at, lf)
        at = lf + 1
      } else if (stop - at > LINE_BYTES_MAX) {
        // A CR at the end of a fragment might be half of a CRLF: it stays for the next one.
        const cut = all[at + LINE_BYTES_MAX - 1] === CR ? at + LINE_BYTES_MAX - 1 : at + LINE_BYTES_MAX
        this.#line(all, at, cut, 'none')
        at = cut
      } else {
        this.#partial = own(all, at, stop)
        at = stop
      }
    }
    return this.#take()
  }

  /** The end of the message: the rest of its converted form. */
  finish(): Buffer {
    const partial = this.#partial
    this.#partial = undefined
    if (partial) this.#line(partial, 0, partial.length, 'none')
    if (this.#state === 'header') this.#endHeader(undefined)
    this.#endPart(false)
    return this.#take()
  }

  #take(): Buffer {
    return this.#out.take() ?? Buffer.alloc(0)
  }

  #whole(buf: Buffer, start: number, lf: number): void {
    const crlf = lf > start && buf[lf - 1] === CR
    this.#line(buf, start, crlf ? lf - 1 : lf, crlf ? 'crlf' : 'lf')
  }

  #line(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    const atLineStart = this.#atLineStart
    this.#atLineStart = lineEnd === 'crlf'
    if (atLineStart && this.#isBoundary(buf, start, end, lineEnd)) return
    if (this.#state === 'header') this.#headerLine(buf, start, end, lineEnd)
    else if (this.#state === 'look') this.#look(buf, start, end, lineEnd)
    else if (this.#encoder) this.#encoder.line(buf, start, end, lineEnd)
    else this.#pass(buf, start, end, lineEnd)
  }

  // ---- Boundaries ----

  /** RFC 2046 §5.1.2: a boundary of an outer multipart ends the inner ones too. */
  #isBoundary(buf: Buffer, start: number, end: number, lineEnd: LineEnd): boolean {
    if (this.#boundaries.length === 0 || buf[start] !== HYPHEN || buf[start + 1] !== HYPHEN || end - start > 256) return false
    const text = latin1(buf, start, end).trimEnd()
    for (let depth = this.#boundaries.length - 1; depth >= 0; depth--) {
      const { marker, partType } = this.#boundaries[depth] as { marker: string; partType: string }
      const closes = text === `${marker}--`
      if (text !== marker && !closes) continue
      this.#boundary(buf, start, end, lineEnd, closes ? depth : depth + 1)
      if (!closes) this.#beginEntity(newEntity(false, partType))
      return true
    }
    return false
  }

  #boundary(buf: Buffer, start: number, end: number, lineEnd: LineEnd, depth: number): void {
    if (this.#state === 'header') this.#endHeader(undefined)
    this.#endPart(true)
    this.#boundaries.length = depth
    this.#state = 'pass'
    this.#pass(buf, start, end, lineEnd)
  }

  #beginEntity(entity: Entity): void {
    this.#entity = entity
    this.#state = 'header'
  }

  // ---- Headers ----

  #headerLine(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    const text = latin1(buf, start, end)
    const fragment = this.#fragment
    this.#fragment = lineEnd === 'none'
    if (fragment) {
      // One endless line: a fold keeps it a field.
      this.#field += this.#field.length > FIELD_BYTES_MAX ? this.#folded(text) : text
    } else if (text === '' && lineEnd !== 'none') {
      this.#endHeader('\r\n')
    } else if (/^[ \t]/.test(text) && this.#field.length <= FIELD_BYTES_MAX) {
      this.#field += `\r\n${text}`
    } else {
      this.#endField()
      this.#field = text
    }
  }

  #folded(text: string): string {
    this.#endField()
    return ` ${text}`
  }

  #endField(): void {
    const field = this.#field
    this.#field = ''
    if (field === '') return
    const colon = field.indexOf(':')
    const name = field.slice(0, Math.max(colon, 0)).trim().toLowerCase()
    const value = field.slice(colon + 1, colon + 1 + VALUE_LENGTH_MAX).trim()
    if (name === 'content-type') this.#contentType(sevenBitField(field), value)
    else if (name === 'content-transfer-encoding') this.#contentEncoding(sevenBitField(field), value)
    else this.#out.text(`${sevenBitField(field)}\r\n`)
    if (name === 'mime-version') this.#entity.hasVersion = true
  }

  #contentType(field: string, value: string): void {
    const entity = this.#entity
    entity.typeField = field
    entity.type = /^[^\s;()]+/.exec(value)?.[0].toLowerCase() ?? ''
    entity.boundary = boundaryOf(value)
  }

  #contentEncoding(field: string, value: string): void {
    this.#entity.encodingField = field
    this.#entity.encoding = /^[^\s;()]+/.exec(value)?.[0].toLowerCase() ?? ''
  }

  /** `blank`: the line between header and body, absent when the entity ends in its header. */
  #endHeader(blank: '\r\n' | undefined): void {
    this.#endField()
    const { type, boundary, encoding } = this.#entity
    const identity = IDENTITY.includes(encoding)
    if (identity && type.startsWith('multipart/') && boundary !== '' && this.#boundaries.length < DEPTH_MAX) {
      this.#sendHeader('7bit', blank)
      this.#boundaries.push({ marker: `--${boundary}`, partType: type === 'multipart/digest' ? 'message/rfc822' : 'text/plain' })
      this.#state = 'pass'
    } else if (identity && isMessageType(type || this.#entity.defaultType)) {
      this.#sendHeader('7bit', blank)
      this.#beginEntity(newEntity(true, 'text/plain'))
    } else if (!identity || type.startsWith('multipart/')) {
      this.#sendHeader(undefined, blank)
      this.#state = 'pass'
    } else if (encoding === '8bit' || encoding === 'binary') {
      this.#encodeFrom(blank)
    } else {
      this.#state = 'look'
    }
    if (!blank && this.#state === 'header') this.#state = 'pass'
  }

  /** The held Content fields, with the encoding that applies now; `undefined` keeps what was said. */
  #sendHeader(encoding: string | undefined, blank: '\r\n' | undefined): void {
    const { typeField, encodingField, encoding: before, hasVersion, isMessage } = this.#entity
    const changed = encoding !== undefined && encoding !== (before || '7bit')
    let header = ''
    if (changed && isMessage && !hasVersion) header += 'MIME-Version: 1.0\r\n'
    // RFC 1428: what the bytes meant is not known.
    if (typeField !== '') header += `${typeField}\r\n`
    else if (changed && this.#entity.defaultType === 'text/plain') header += 'Content-Type: text/plain; charset=unknown-8bit\r\n'
    if (changed) header += `Content-Transfer-Encoding: ${encoding}\r\n`
    else if (encodingField !== '') header += `${encodingField}\r\n`
    this.#out.text(header + (blank ?? ''))
  }

  // ---- Leaf parts ----

  #look(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    this.#held.push({ bytes: own(buf, start, end), lineEnd })
    this.#heldBytes += end - start + 2
    if (hasEightBit(buf, start, end) || this.#heldBytes > LOOK_AHEAD_BYTES) this.#encodeFrom('\r\n')
  }

  #encodeFrom(blank: '\r\n' | undefined): void {
    const { type, encoding, defaultType } = this.#entity
    const quoted = encoding !== 'binary' && (type || defaultType).startsWith('text/')
    this.#sendHeader(quoted ? 'quoted-printable' : 'base64', blank)
    this.#encoder = quoted ? new QuotedPrintable(this.#out) : new Base64(this.#out)
    this.#state = 'encode'
    for (const { bytes, lineEnd } of this.#takeHeld()) this.#encoder.line(bytes, 0, bytes.length, lineEnd)
  }

  #takeHeld(): HeldLine[] {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    return held
  }

  /** The part is over: what was looked at turned out to be 7-bit, or the encoder has a rest. */
  #endPart(atBoundary: boolean): void {
    if (this.#state === 'look') {
      this.#sendHeader(undefined, '\r\n')
      for (const { bytes, lineEnd } of this.#takeHeld()) this.#pass(bytes, 0, bytes.length, lineEnd)
    }
    this.#encoder?.finish(atBoundary)
    this.#encoder = undefined
  }

  /**
   * What needs no encoding: boundaries, preambles, parts that are encoded already. 8-bit bytes that somebody left in
   * quoted-printable are text all the same; elsewhere they mean nothing.
   */
  #pass(buf: Buffer, start: number, end: number, lineEnd: LineEnd): void {
    if (!hasEightBit(buf, start, end)) this.#out.bytes(buf, start, end)
    else if (this.#entity.encoding === 'quoted-printable') this.#out.text(requoted(latin1(buf, start, end)))
    else this.#out.text(latin1(buf, start, end).replace(/[\x80-\xff]/g, '?'))
    if (lineEnd !== 'none') this.#out.text('\r\n')
  }
}

const IDENTITY: readonly string[] = ['', '7bit', '8bit', 'binary']

/** One that is not closed goes on to the end: looking for it again from each character within would take the square of it. */
const COMMENT = String.raw`\((?:[^)\\]|\\(?:[^]|$))*(?:\)|$)`
const QUOTED = String.raw`"((?:[^"\\]|\\(?:[^]|$))*)(?:"|$)`
/** Blanks and comments (RFC 5322 §3.2.2). */
const CFWS = String.raw`(?:\s|${COMMENT})*`
/** A parameter (RFC 2045 §5.1): name, quoted value, plain value. Or text that is none and may look like one. */
const PARAMETER = new RegExp(String.raw`;${CFWS}([^\s;="()]+)${CFWS}=${CFWS}(?:${QUOTED}|([^\s;"]+))|${QUOTED}|${COMMENT}`, 'g')

/** The boundary of a multipart, '' when there is none. It may come in pieces (RFC 2231 §3). */
function boundaryOf(value: string): string {
  let pieces = ''
  for (const [, name = '', quoted, plain = ''] of value.matchAll(PARAMETER)) {
    const text = quoted?.replace(/\\([^])/g, '$1') ?? plain
    if (name.toLowerCase() === 'boundary') return text.trimEnd()
    if (/^boundary\*\d+$/i.test(name)) pieces += text
  }
  return pieces.trimEnd()
}

function isMessageType(type: string): boolean {
  return type === 'message/rfc822' || type === 'message/global'
}

function newEntity(isMessage: boolean, defaultType: string): Entity {
  return { isMessage, defaultType, type: '', boundary: '', encoding: '', hasVersion: false, typeField: '', encodingField: '' }
}

function joined(first: Buffer, buf: Buffer, start: number, end: number): Buffer {
  const all = Buffer.allocUnsafe(first.length + end - start)
  first.copy(all, 0)
  buf.copy(all, first.length, start, end)
  return all
}
