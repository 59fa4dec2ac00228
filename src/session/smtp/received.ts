// The trace field that we put in front of every message (RFC 5321 §4.4). Pure.

import { parseAddress } from '../../lib/address.ts'

export interface TraceFacts {
  readonly hostname: string
  /** As the client said it: anything. */
  readonly helo: string
  /** Client's address; '' leaves it out, as on submission. */
  readonly address: string
  /** WITH keyword: see `protocolName`. */
  readonly protocol: string
  /** `TLSv1.3 TLS_AES_256_GCM_SHA384`, '' without TLS. */
  readonly tls: string
}

/** Everything up to the id: it stays the same for all messages of a session that go by the same protocol. */
export function traceStart(facts: TraceFacts): string {
  const tls = facts.tls === '' ? '' : ` (${facts.tls})`
  return `Received: from ${fromDomain(facts)}\r\n\tby ${facts.hostname} with ${facts.protocol}${tls}\r\n\tid `
}

/**
 * The rest. `recipient` is named when it is the only one: the field is read by all of them. `priority` is 0 when none
 * was asked for (RFC 6710 §7).
 */
export function traceEnd(id: string, recipient: string, priority: number, now: number): string {
  const to = recipient === '' ? '' : `\r\n\tfor <${recipient}>`
  const clause = priority === 0 ? '' : ` PRIORITY ${priority}`
  return `${id}${to}${clause};\r\n\t${dateTime(now)}\r\n`
}

/** WITH keywords of RFC 3848 and RFC 6531 §3.7.3. Without EHLO there is only SMTP. */
export function protocolName(session: { lmtp: boolean; esmtp: boolean; tls: boolean; auth: boolean; utf8: boolean }): string {
  if (!session.esmtp) return 'SMTP'
  const base = session.lmtp ? 'LMTP' : session.utf8 ? 'SMTP' : 'ESMTP'
  return `${session.utf8 ? 'UTF8' : ''}${base}${session.tls ? 'S' : ''}${session.auth ? 'A' : ''}`
}

/** Extended-Domain: what the client said it is, and where it really came from. */
function fromDomain({ helo, address }: TraceFacts): string {
  const name = heloName(helo)
  if (address === '') return name.startsWith('[') || parseAddress(name) ? 'unknown' : name
  return `${name} ([${address.includes(':') ? 'IPv6:' : ''}${address}])`
}

/** A HELO argument that cannot break the field: what has no place in a domain or literal becomes `?`. */
function heloName(helo: string): string {
  return helo === '' ? 'unknown' : helo.replace(/[^A-Za-z0-9.:_[\]-]/g, '?')
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

let cachedSecond = -1
let cachedText = ''

/** date-time of RFC 5322 §3.3 in UTC. A thousand messages a second share the text of their second. */
export function dateTime(now: number): string {
  const second = Math.floor(now / 1000)
  if (second !== cachedSecond) {
    const d = new Date(second * 1000)
    const time = d.toISOString().slice(11, 19)
    cachedText = `${DAYS[d.getUTCDay()]}, ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()} ${time} +0000`
    cachedSecond = second
  }
  return cachedText
}
