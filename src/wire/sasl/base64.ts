// Base64 as SASL profiles demand it (RFC 4954 §4, RFC 4648 §3): nothing is ignored, nothing is repaired. Pure.

import { EMPTY, latin1 } from '../../lib/bytes.ts'

const PAD = 0x3d
const INVALID = 64

const ALPHABET: Buffer = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1')
const VALUE: Uint8Array = new Uint8Array(256).fill(INVALID)
ALPHABET.forEach((character, value) => (VALUE[character] = value))

/** Base64 text of `bytes`, with padding. */
export function encodeBase64(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(Math.ceil(bytes.length / 3) * 4)
  for (let i = 0, at = 0; i < bytes.length; i += 3, at += 4) {
    const group = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    out[at] = ALPHABET[group >> 18] as number
    out[at + 1] = ALPHABET[(group >> 12) & 63] as number
    out[at + 2] = i + 1 < bytes.length ? (ALPHABET[(group >> 6) & 63] as number) : PAD
    out[at + 3] = i + 2 < bytes.length ? (ALPHABET[group & 63] as number) : PAD
  }
  return out
}

/**
 * The bytes that a range spells, or undefined unless it is canonical base64: whole groups of four, only the alphabet,
 * padding only at the end, and no bits left over behind the last byte.
 */
export function decodeBase64(buf: Buffer, start: number, end: number): Buffer | undefined {
  const length = end - start
  if (length === 0) return EMPTY
  if (length % 4 !== 0) return undefined
  const pads = buf[end - 1] !== PAD ? 0 : buf[end - 2] !== PAD ? 1 : 2
  const out = Buffer.allocUnsafe((length / 4) * 3 - pads)
  const whole = pads === 0 ? end : end - 4
  let at = 0
  for (let i = start; i < whole; i += 4, at += 3) {
    const group = bits(buf, i, 4)
    if (group < 0) return undefined
    out[at] = group >> 16
    out[at + 1] = group >> 8
    out[at + 2] = group
  }
  if (pads > 0 && !lastGroup(buf, whole, pads, out, at)) return undefined
  return out
}

/** The bits of the `count` characters from `at`, or -1 when one is not of the alphabet. */
function bits(buf: Buffer, at: number, count: number): number {
  let group = 0
  for (let i = at; i < at + count; i++) {
    const value = VALUE[buf[i] as number] as number
    if (value === INVALID) return -1
    group = (group << 6) | value
  }
  return group
}

function lastGroup(buf: Buffer, at: number, pads: number, out: Buffer, to: number): boolean {
  const group = bits(buf, at, 4 - pads)
  if (group < 0) return false
  if (pads === 2) {
    out[to] = group >> 4
    return (group & 0x0f) === 0
  }
  out[to] = group >> 10
  out[to + 1] = group >> 2
  return (group & 0x03) === 0
}

/** The bytes that a text spells, under the same rules. */
export function base64FromText(text: string): Buffer | undefined {
  const buf = Buffer.from(text, 'utf8')
  return decodeBase64(buf, 0, buf.length)
}

export function base64ToText(bytes: Buffer): string {
  const text = encodeBase64(bytes)
  return latin1(text, 0, text.length)
}
