// What a peer announced in its reply to EHLO or LHLO. Pure.

export interface Capabilities {
  /** RFC 2920. */
  readonly pipelining: boolean
  /** RFC 3030. */
  readonly chunking: boolean
  /** RFC 3030 §3: only together with CHUNKING. */
  readonly binaryMime: boolean
  /** RFC 6152. */
  readonly eightBitMime: boolean
  /** RFC 6531; it implies 8BITMIME (§3.1 item 8). */
  readonly smtpUtf8: boolean
  /** RFC 3461. */
  readonly dsn: boolean
  /** RFC 3207. */
  readonly startTls: boolean
  /** RFC 6710. */
  readonly mtPriority: boolean
  /** RFC 1870: largest message in bytes; 0 for no fixed limit, -1 when SIZE is not offered. */
  readonly size: number
  /** RFC 2852: least by-time in seconds; 0 for none, -1 when DELIVERBY is not offered. */
  readonly deliverBy: number
  /** RFC 4954: mechanisms in upper case. */
  readonly auth: readonly string[]
  /** RFC 9422: transactions a session, recipients and recipient domains a transaction; Infinity when not limited. */
  readonly mailMax: number
  readonly rcptMax: number
  readonly rcptDomainMax: number
}

/** A peer that only speaks HELO. */
export const NO_CAPABILITIES: Capabilities = Object.freeze({
  pipelining: false,
  chunking: false,
  binaryMime: false,
  eightBitMime: false,
  smtpUtf8: false,
  dsn: false,
  startTls: false,
  mtPriority: false,
  size: -1,
  deliverBy: -1,
  auth: [],
  mailMax: Infinity,
  rcptMax: Infinity,
  rcptDomainMax: Infinity,
})

type Draft = { -readonly [K in keyof Capabilities]: Capabilities[K] }

/** One row a keyword: what its line changes. Keywords that are not here mean nothing to a client. */
const KEYWORDS: Readonly<Record<string, (draft: Draft, parameters: readonly string[]) => void>> = {
  PIPELINING: (draft) => void (draft.pipelining = true),
  CHUNKING: (draft) => void (draft.chunking = true),
  BINARYMIME: (draft) => void (draft.binaryMime = true),
  '8BITMIME': (draft) => void (draft.eightBitMime = true),
  SMTPUTF8: (draft) => void (draft.smtpUtf8 = true),
  DSN: (draft) => void (draft.dsn = true),
  STARTTLS: (draft) => void (draft.startTls = true),
  'MT-PRIORITY': (draft) => void (draft.mtPriority = true),
  SIZE: (draft, [size]) => void (draft.size = count(size) ?? 0),
  DELIVERBY: (draft, [least]) => void (draft.deliverBy = count(least) ?? 0),
  AUTH: (draft, mechanisms) => void (draft.auth = mechanisms),
  LIMITS: (draft, limits) => limits.forEach((limit) => setLimit(draft, limit)),
}

/** Reads the lines of a positive reply to EHLO, codes removed. The first line is the peer's name and greeting. */
export function parseCapabilities(lines: readonly string[]): Capabilities {
  const draft: Draft = { ...NO_CAPABILITIES }
  for (let i = 1; i < lines.length; i++) {
    const [keyword = '', ...parameters] = (lines[i] as string).toUpperCase().trim().split(/ +/)
    const row = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined
    if (row) row(draft, parameters)
  }
  draft.binaryMime &&= draft.chunking
  draft.eightBitMime ||= draft.smtpUtf8
  return draft
}

/** RFC 9422 §4: unknown limits and bad values are ignored. */
function setLimit(draft: Draft, limit: string): void {
  const cut = limit.indexOf('=')
  const value = count(limit.slice(cut + 1))
  if (cut < 0 || value === undefined || value === 0) return
  const name = limit.slice(0, cut)
  if (name === 'MAILMAX') draft.mailMax = value
  else if (name === 'RCPTMAX') draft.rcptMax = value
  else if (name === 'RCPTDOMAINMAX') draft.rcptDomainMax = value
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined
}
