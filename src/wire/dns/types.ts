// What DNS lookups return, and the interface that resolvers keep. Types only.

/** RFC 1035 §3.3.9. `exchange` is lower case without the trailing dot, '' for the root (null MX, RFC 7505). */
export interface MxRecord {
  readonly preference: number
  readonly exchange: string
}

/** RFC 6698 §2.1. */
export interface TlsaRecord {
  readonly usage: number
  readonly selector: number
  readonly matchingType: number
  readonly data: Buffer
}

/** RFC 1035 §3.3.13; times in seconds. */
export interface SoaRecord {
  readonly mname: string
  readonly rname: string
  readonly serial: number
  readonly refresh: number
  readonly retry: number
  readonly expire: number
  readonly minimum: number
}

/** Values by type. Addresses are canonical text; TXT strings of one record are joined, one character a byte. */
export interface RecordData {
  readonly A: string
  readonly AAAA: string
  readonly MX: MxRecord
  readonly TXT: string
  readonly PTR: string
  readonly CNAME: string
  readonly TLSA: TlsaRecord
  readonly SOA: SoaRecord
}

export type RecordType = keyof RecordData

/**
 * Why there is no answer: nobody replied in time, servers said SERVFAIL or REFUSED or another error, what they said
 * could not be read, they could not be reached, the name can not be asked, or too many questions wait already.
 */
export type FailureReason = 'timeout' | 'servfail' | 'refused' | 'malformed' | 'network' | 'name' | 'overload'

export type Lookup<T extends RecordType> =
  | { readonly kind: 'answer'; readonly records: readonly RecordData[T][]; readonly ttlMs: number; readonly secure: boolean }
  | { readonly kind: 'nodata' | 'nxdomain'; readonly ttlMs: number; readonly secure: boolean }
  | { readonly kind: 'failure'; readonly reason: FailureReason; readonly text: string }

/**
 * Asks DNS. Never rejects: every outcome is a value. `secure` says that a validating server that we trust vouches for
 * the answer (the AD bit, RFC 6840 §5.8). `ttlMs` is what is left of the time to live. Names may be U-labels and may
 * end in a dot; search lists are never applied.
 */
export interface Resolver {
  lookup<T extends RecordType>(name: string, type: T): Promise<Lookup<T>>
}
