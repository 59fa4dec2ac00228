// Names of hosts and domains: from what people write to what DNS is asked. Pure; no thread.

import { domainToASCII } from 'node:url'

/** Octets of a name as text, without the trailing dot (RFC 1035 §2.3.4: 255 on the wire). */
const NAME_LENGTH_MAX = 253
const LABEL = /^[a-z0-9_-]{1,63}$/
const NUMERIC = /^[0-9]+$/

/**
 * The name in A-labels, lower case, without the trailing dot; undefined when it can be no host or domain: empty labels,
 * characters other than letters, digits, hyphen and underscore, too long, or a last label of digits only (an address).
 */
export function asciiName(text: string): string | undefined {
  if (text.length === 0 || text.length > 4 * NAME_LENGTH_MAX) return undefined
  const ascii = isAscii(text) ? text.toLowerCase() : domainToASCII(text)
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii
  if (name.length > NAME_LENGTH_MAX) return undefined
  const labels = name.split('.')
  if (!labels.every((label) => LABEL.test(label))) return undefined
  return NUMERIC.test(labels[labels.length - 1] as string) ? undefined : name
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}
