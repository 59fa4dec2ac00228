// The messages of SCRAM (RFC 5802 §7, RFC 7677), both ways. Pure.
//
// Messages are short and valid UTF-8, so they are handled as text: what was received encodes back to the same bytes,
// which AuthMessage needs.

import { base64FromText, base64ToText } from './base64.ts'
import { decodeGs2, decodeSaslname, encodeGs2, encodeSaslname, type Gs2Header } from './gs2.ts'
import { strictUtf8 } from './text.ts'

export type HashName = 'sha1' | 'sha256'

/** Longer messages are refused: a name of 1,024 octets, nonces and bindings fit. */
export const SCRAM_MESSAGE_BYTES_MAX = 4096

export interface ClientFirst {
  readonly gs2: Gs2Header
  readonly name: string
  readonly nonce: string
  /** The GS2 header as received, for the `c=` of the final message. */
  readonly header: string
  /** client-first-message-bare, as received. */
  readonly bare: string
}

export interface ServerFirst {
  /** The client's nonce and the server's part behind it. */
  readonly nonce: string
  readonly salt: Buffer
  readonly iterations: number
}

export interface ClientFinal {
  /** What `c=` decodes to: the GS2 header and the channel binding data. */
  readonly binding: Buffer
  readonly nonce: string
  readonly proof: Buffer
  /** client-final-message-without-proof, as received. */
  readonly withoutProof: string
}

export type ServerFinal = { readonly kind: 'signature'; readonly signature: Buffer } | { readonly kind: 'error'; readonly error: string }

// printable without the comma
const NONCE = /^[\x21-\x2b\x2d-\x7e]+$/
const ITERATIONS = /^[1-9][0-9]{0,8}$/
const EXTENSION = /^[A-Za-z]=[^\0,]+$/

/** client-first-message = gs2-header [reserved-mext ","] username "," nonce ["," extensions] */
export function decodeClientFirst(message: Buffer): ClientFirst | undefined {
  const text = messageText(message)
  const gs2 = text === undefined ? undefined : decodeGs2(text)
  if (text === undefined || gs2 === undefined) return undefined
  const bare = text.slice(gs2.length)
  const [nameAttribute, nonceAttribute, ...extensions] = bare.split(',')
  const name = decodeSaslname(attribute(nameAttribute, 'n') ?? '')
  const nonce = attribute(nonceAttribute, 'r')
  if (name === undefined || nonce === undefined || !NONCE.test(nonce) || !areExtensions(extensions)) return undefined
  return { gs2, name, nonce, header: text.slice(0, gs2.length), bare }
}

/** The whole message, and its parts as `decodeClientFirst` gives them. */
export function encodeClientFirst(
  gs2: Omit<Gs2Header, 'length'>,
  name: string,
  nonce: string,
): { message: Buffer; header: string; bare: string } {
  const header = encodeGs2(gs2)
  const bare = `n=${encodeSaslname(name)},r=${nonce}`
  return { message: Buffer.from(header + bare, 'utf8'), header, bare }
}

/** server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions] */
export function decodeServerFirst(message: Buffer): ServerFirst | undefined {
  const [nonceAttribute, saltAttribute, iterationsAttribute, ...extensions] = messageText(message)?.split(',') ?? []
  const nonce = attribute(nonceAttribute, 'r')
  const salt = bytesOf(saltAttribute, 's')
  const iterations = attribute(iterationsAttribute, 'i')
  if (nonce === undefined || !NONCE.test(nonce) || salt === undefined) return undefined
  if (iterations === undefined || !ITERATIONS.test(iterations) || !areExtensions(extensions)) return undefined
  return { nonce, salt, iterations: Number(iterations) }
}

export function encodeServerFirst(first: ServerFirst): string {
  return `r=${first.nonce},s=${base64ToText(first.salt)},i=${first.iterations}`
}

/** client-final-message = channel-binding "," nonce ["," extensions] "," proof */
export function decodeClientFinal(message: Buffer): ClientFinal | undefined {
  const text = messageText(message)
  const cut = text === undefined ? -1 : text.lastIndexOf(',')
  if (text === undefined || cut < 0) return undefined
  const withoutProof = text.slice(0, cut)
  const [bindingAttribute, nonceAttribute, ...extensions] = withoutProof.split(',')
  const binding = bytesOf(bindingAttribute, 'c')
  const nonce = attribute(nonceAttribute, 'r')
  const proof = bytesOf(text.slice(cut + 1), 'p')
  if (binding === undefined || nonce === undefined || !NONCE.test(nonce) || proof === undefined || !areExtensions(extensions))
    return undefined
  return { binding, nonce, proof, withoutProof }
}

export function encodeClientFinalWithoutProof(binding: Buffer, nonce: string): string {
  return `c=${base64ToText(binding)},r=${nonce}`
}

export function encodeClientFinal(withoutProof: string, proof: Buffer): Buffer {
  return Buffer.from(`${withoutProof},p=${base64ToText(proof)}`, 'utf8')
}

/** server-final-message = (server-error / verifier) ["," extensions] */
export function decodeServerFinal(message: Buffer): ServerFinal | undefined {
  const [head, ...extensions] = messageText(message)?.split(',') ?? []
  if (!areExtensions(extensions)) return undefined
  const error = attribute(head, 'e')
  if (error) return { kind: 'error', error }
  const signature = bytesOf(head, 'v')
  return signature && { kind: 'signature', signature }
}

export function encodeServerFinal(signature: Buffer): Buffer {
  return Buffer.from(`v=${base64ToText(signature)}`, 'latin1')
}

function messageText(message: Buffer): string | undefined {
  return message.length > SCRAM_MESSAGE_BYTES_MAX ? undefined : strictUtf8(message, 0, message.length)
}

/** The value behind `letter=`; a mandatory extension `m=` stands where another letter is asked for, and so fails (§5.1). */
function attribute(text: string | undefined, letter: string): string | undefined {
  return text?.startsWith(`${letter}=`) ? text.slice(2) : undefined
}

/** Base64 that is not empty. */
function bytesOf(text: string | undefined, letter: string): Buffer | undefined {
  const value = attribute(text, letter)
  return value ? base64FromText(value) : undefined
}

/** Optional extensions are ignored, as long as they are attributes at all (§5.1). */
function areExtensions(texts: readonly string[]): boolean {
  return texts.every((text) => EXTENSION.test(text) && !text.startsWith('m='))
}
