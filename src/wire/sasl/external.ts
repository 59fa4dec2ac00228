// The EXTERNAL message (RFC 4422 appendix A): an authorization identity, or nothing. Pure.

import { strictUtf8 } from './text.ts'

const AUTHZID_BYTES_MAX = 1024

/** The authzid, '' when the client leaves it to the server; undefined when the bytes are not one. */
export function decodeExternal(message: Buffer): string | undefined {
  if (message.length > AUTHZID_BYTES_MAX) return undefined
  return strictUtf8(message, 0, message.length)
}

export function encodeExternal(authzid: string): Buffer {
  return Buffer.from(authzid, 'utf8')
}
