// Addresses in a client certificate: the rfc822Name entries of its subjectAltName (RFC 5280 §4.2.1.6). Pure.

import type { X509Certificate } from 'node:crypto'
import { accountName } from './account-name.ts'

/** A certificate with more names than this is nobody's. */
const ADDRESSES_MAX = 32

/** The addresses as account names, in the certificate's order. */
export function certificateAddresses(certificate: Pick<X509Certificate, 'subjectAltName'>): string[] {
  const addresses: string[] = []
  for (const entry of subjectAltNames(certificate.subjectAltName ?? '')) {
    if (!entry.startsWith('email:') || addresses.length === ADDRESSES_MAX) continue
    const name = accountName(unquoted(entry.slice('email:'.length)))
    if (name !== undefined && !addresses.includes(name)) addresses.push(name)
  }
  return addresses
}

/**
 * Node prints the extension as `email:a@b, DNS:c`; a value with a comma, a quote or the like comes as a JSON string, so
 * that no value can pretend to be two entries (CVE-2021-44532).
 */
function subjectAltNames(text: string): string[] {
  return text.match(/[^,"\s](?:[^,"]|"(?:[^"\\]|\\.)*")*/g) ?? []
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return value
  try {
    const text: unknown = JSON.parse(value)
    return typeof text === 'string' ? text : ''
  } catch {
    // Not what Node prints: no address.
    return ''
  }
}
