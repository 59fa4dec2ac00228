// Message ids as numbers and as text. Pure.

import { assert } from '../lib/assert.ts'
import type { MessageId } from './types.ts'

const SEQUENCE_SPAN = 2 ** 46
export const SHARDS_MAX = 64

export function messageId(shard: number, sequence: number): MessageId {
  assert(shard >= 0 && shard < SHARDS_MAX && sequence >= 0 && sequence < SEQUENCE_SPAN, 'message id out of range')
  return shard * SEQUENCE_SPAN + sequence
}

export function shardOf(id: MessageId): number {
  return Math.floor(id / SEQUENCE_SPAN)
}

export function sequenceOf(id: MessageId): number {
  return id % SEQUENCE_SPAN
}

// Crockford's base32 in lower case: no i, l, o, u, so that people can read an id over the phone.
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'
const TEXT_LENGTH = 11

/** Eleven characters, sorting as the number does. */
export function idToText(id: MessageId): string {
  let text = ''
  let rest = id
  for (let i = 0; i < TEXT_LENGTH; i++) {
    text = DIGITS.charAt(rest % 32) + text
    rest = Math.floor(rest / 32)
  }
  return text
}

/** The id that a text names, or -1 when it is not one. */
export function idFromText(text: string): MessageId {
  if (text.length !== TEXT_LENGTH) return -1
  let id = 0
  for (const character of text.toLowerCase()) {
    const digit = DIGITS.indexOf(character)
    if (digit < 0) return -1
    id = id * 32 + digit
  }
  return id <= Number.MAX_SAFE_INTEGER && shardOf(id) < SHARDS_MAX ? id : -1
}
