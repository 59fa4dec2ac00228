// LOGIN, as Outlook and many programs speak it (draft-murchison-sasl-login): two prompts, two plain answers. Pure.

import { PLAIN_FIELD_BYTES_MAX } from './plain.ts'
import { strictUtf8 } from './text.ts'

// Some clients compare the prompts, so they stand as Exchange sends them.
export const LOGIN_USERNAME: Buffer = Buffer.from('Username:', 'latin1')
export const LOGIN_PASSWORD: Buffer = Buffer.from('Password:', 'latin1')

/** A name or a password; undefined when it is empty, too long, or not UTF-8 without NUL. */
export function decodeLogin(response: Buffer): string | undefined {
  if (response.length > PLAIN_FIELD_BYTES_MAX) return undefined
  return strictUtf8(response, 0, response.length) || undefined
}
