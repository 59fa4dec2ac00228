// The PLAIN message (RFC 4616): [authzid] NUL authcid NUL passwd. Pure.

import { strictUtf8 } from './text.ts'

/** RFC 4616 §2 asks for 255 octets; passwords of programs are longer. */
export const PLAIN_FIELD_BYTES_MAX = 1024

export interface PlainMessage {
  /** Identity to act as; '' when the client leaves it to the server. */
  readonly authzid: string
  readonly authcid: string
  readonly password: string
}

/** Undefined when the bytes are not such a message. */
export function decodePlain(message: Buffer): PlainMessage | undefined {
  const first = message.indexOf(0)
  const second = first < 0 ? -1 : message.indexOf(0, first + 1)
  if (second < 0) return undefined
  const authzid = field(message, 0, first)
  const authcid = field(message, first + 1, second)
  const password = field(message, second + 1, message.length)
  if (authzid === undefined || !authcid || !password) return undefined
  return { authzid, authcid, password }
}

function field(message: Buffer, start: number, end: number): string | undefined {
  return end - start > PLAIN_FIELD_BYTES_MAX ? undefined : strictUtf8(message, start, end)
}

export function encodePlain(message: PlainMessage): Buffer {
  return Buffer.from(`${message.authzid}\0${message.authcid}\0${message.password}`, 'utf8')
}
