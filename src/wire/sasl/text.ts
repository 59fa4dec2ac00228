// Text inside SASL messages: UTF-8 without NUL, and SASLprep (RFC 4013). Pure.

import { isUtf8 } from 'node:buffer'
import { createRequire } from 'node:module'
import type { saslprep as Saslprep } from '@mongodb-js/saslprep'
import { utf8 } from '../../lib/bytes.ts'

/** A range as text, or undefined when it is not UTF-8 or holds a NUL (RFC 4616 §2, RFC 4422 app. A.1, RFC 5802 §7). */
export function strictUtf8(buf: Buffer, start: number, end: number): string | undefined {
  const part = buf.subarray(start, end)
  if (part.includes(0) || !isUtf8(part)) return undefined
  return utf8(buf, start, end)
}

/** Prepares what a client presented: unassigned code points may stay (RFC 3454 §7). Undefined when it must fail. */
export function prepareQuery(text: string): string | undefined {
  return prepare(text, true)
}

/** Prepares what is going to be stored: unassigned code points are refused (RFC 3454 §7). Undefined when it must fail. */
export function prepareStored(text: string): string | undefined {
  return prepare(text, false)
}

type Library = { readonly saslprep: typeof Saslprep }

let library: Library | undefined

/** Loaded at the first use: its tables take 25 ms of each thread's start, and most passwords are ASCII. */
function saslprep(text: string, options: { readonly allowUnassigned: boolean }): string {
  library ??= createRequire(import.meta.url)('@mongodb-js/saslprep') as Library
  return library.saslprep(text, options)
}

function prepare(text: string, allowUnassigned: boolean): string | undefined {
  if (isPrintableAscii(text)) return text === '' ? undefined : text
  try {
    const prepared = saslprep(text, { allowUnassigned })
    return prepared === '' ? undefined : prepared
  } catch {
    // The library has no other way to say "prohibited", "unassigned" or "nothing left"; each means: preparation fails.
    return undefined
  }
}

function isPrintableAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0x20 || c > 0x7e) return false
  }
  return true
}
