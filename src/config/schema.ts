// The configuration: what people write (UserConfig) and what every thread receives (Config). Types only.
//
// Config is plain frozen data that crosses threads by structured clone: every default is filled in, every path is
// absolute, every duration is in ms and every size in bytes. parse.ts turns one into the other.

import type { Limits } from './limits.ts'

/** A duration as people write it: ms as a number, or `500ms`, `30s`, `5m`, `4h`, `5d`, `2w`. */
export type Duration = number | string
/** A size as people write it: bytes as a number, or `512 MB` (10^6), `16 KiB` (2^10). */
export type Size = number | string

/** Protocols that a listener can speak. */
export const PROTOCOLS = ['smtp', 'submission', 'lmtp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export const LISTENER_TLS = ['off', 'starttls', 'implicit'] as const
export type ListenerTls = (typeof LISTENER_TLS)[number]

export const BARE_LF = ['normalize', 'refuse'] as const
export type BareLf = (typeof BARE_LF)[number]

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
export type TlsVersion = (typeof TLS_VERSIONS)[number]

export const TENANT_FROM = ['account', 'listener'] as const
export type TenantFrom = (typeof TENANT_FROM)[number]

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The validated configuration. */
export interface Config {
  /** Our name in the banner, EHLO, Received and reports: a domain in lower case. */
  readonly hostname: string
  /** Who is written to as bare `<postmaster>`, and whom notifications name. */
  readonly postmaster: string
  /** Absolute path of the data directory. */
  readonly dataDir: string
  readonly threads: ThreadsConfig
  readonly tls: TlsConfig
  readonly listeners: readonly ListenerConfig[]
  /** Networks as `address/prefix`: clients that may relay without AUTH, by the address after PROXY. */
  readonly relayFrom: readonly string[]
  /** Networks whose connections must begin with a PROXY header; nobody else's may. */
  readonly proxyFrom: readonly string[]
  /** Networks that are offered XCLIENT. */
  readonly xclientFrom: readonly string[]
  /** Domains that are ours. A list, not an object: a domain called `constructor` must not find one. */
  readonly domains: readonly DomainConfig[]
  /** Where foreign domains go; the first that matches. */
  readonly routes: readonly RouteConfig[]
  /** Port of mail exchangers; other than 25 only in labs. */
  readonly mxPort: number
  /** Hosts, addresses and networks that MX delivery may reach although they are loopback, link-local or our own. */
  readonly allowHosts: readonly string[]
  readonly accounts: readonly AccountConfig[]
  /** Whether LOGIN and PLAIN are offered without TLS. */
  readonly allowPlaintextAuth: boolean
  /** What names a message's tenant: the authenticated account, or the listener. */
  readonly tenantFrom: TenantFrom
  readonly retry: RetryConfig
  readonly smtp: SmtpConfig
  readonly limits: Limits
  readonly dns: DnsConfig
  /** Absent when no bearer tokens are accepted. */
  readonly oauth: OauthConfig | undefined
  readonly events: { readonly retentionDays: number }
  readonly log: { readonly level: LogLevel }
}

export interface ThreadsConfig {
  readonly net: number
  readonly deliver: number
  /** Workers of each owner's inspection pool. */
  readonly inspect: number
}

export interface TlsConfig {
  /** Absolute paths of PEM files; undefined means the self-signed certificate in dataDir/tls. */
  readonly files: CertificateFiles | undefined
  /** Certificates by the name a client asks for (SNI). */
  readonly names: readonly NamedCertificate[]
  readonly minVersion: TlsVersion
  /** Absolute path of the PEM file with the authorities whose client certificates AUTH EXTERNAL takes. */
  readonly clientCa: string | undefined
}

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

export interface NamedCertificate extends CertificateFiles {
  /** Lower-case names; `*.example.org` covers one label. */
  readonly names: readonly string[]
}

export interface ListenerConfig {
  /** Unique. Shown in the ready line, logs and metrics. */
  readonly name: string
  readonly protocol: Protocol
  /** An address; default 127.0.0.1. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly tls: ListenerTls
}

export interface DomainConfig {
  /** Lower-case A-label name. */
  readonly name: string
  /** Targets as in target.ts, tried in order. */
  readonly deliverTo: readonly string[]
}

export interface RouteConfig {
  /** A lower-case A-label domain, `*.example.org` for its subdomains, or `*`. */
  readonly domain: string
  /** A target as in target.ts. */
  readonly to: string
}

export interface AccountConfig {
  /** Lower-case address. */
  readonly name: string
  readonly password: string
  /** Lower-case addresses, or `*@domain`, that MAIL FROM and From may also use. */
  readonly aliases: readonly string[]
  /** What may be submitted in any hour; 0 is no limit. */
  readonly quota: { readonly messagesPerHour: number; readonly recipientsPerHour: number }
}

/** RFC 5321 §4.5.4.1. */
export interface RetryConfig {
  readonly firstMs: number
  readonly maxMs: number
  readonly expireMs: number
  /** When a DELAY notification is owed (RFC 3461 §4.1); 0 never. */
  readonly warnAfterMs: number
}

/** messageBytesMax and recipientsMax, which people set here, stand in `limits`. */
export interface SmtpConfig {
  readonly bareLf: BareLf
  /** Text after `220 hostname `. */
  readonly banner: string
}

export interface DnsConfig {
  /** `address:port`, IPv6 in brackets; empty means the system's resolvers. */
  readonly servers: readonly string[]
}

/** How bearer tokens are checked (RFC 7628): by the issuer's keys, or by asking it (RFC 7662). */
export interface OauthConfig {
  readonly issuer: string
  readonly audience: string
  /** One of the two is set, the other ''. */
  readonly jwksUrl: string
  readonly introspectionUrl: string
  /** Our credentials at the introspection endpoint. */
  readonly clientId: string
  readonly clientSecret: string
  /** Claim that names the account. */
  readonly accountClaim: string
  /** Scope that a token must carry; '' asks for none. */
  readonly scope: string
  /** Discovery document named in the error challenge; '' when there is none. */
  readonly openidConfiguration: string
}

/** The configuration as people write it. `defineConfig` checks it while typing; parse.ts when it is loaded. */
export interface UserConfig {
  hostname?: string
  postmaster?: string
  dataDir?: string
  threads?: 'auto' | { net?: number; deliver?: number; inspect?: number }
  tls?: {
    cert?: string
    key?: string
    names?: { name: string | string[]; cert: string; key: string }[]
    minVersion?: TlsVersion
    clientCa?: string
  }
  listeners?: { protocol: Protocol; port: number; host?: string; name?: string; tls?: ListenerTls }[]
  relayFrom?: string[]
  proxyFrom?: string[]
  xclientFrom?: string[]
  domains?: Record<string, { deliverTo: string | string[] }>
  routes?: { domain: string; to: string }[]
  mxPort?: number
  allowHosts?: string[]
  accounts?: {
    name: string
    password: string
    aliases?: string[]
    quota?: { messagesPerHour?: number; recipientsPerHour?: number }
  }[]
  allowPlaintextAuth?: boolean
  tenantFrom?: TenantFrom
  retry?: { first?: Duration; max?: Duration; expire?: Duration; warnAfter?: Duration | false }
  smtp?: { bareLf?: BareLf; banner?: string; maxMessageBytes?: Size; recipientsMax?: number }
  limits?: Partial<Record<keyof Limits, number | string>>
  dns?: { servers?: string[] }
  oauth?: {
    issuer?: string
    audience?: string
    jwksUrl?: string
    introspectionUrl?: string
    clientId?: string
    clientSecret?: string
    accountClaim?: string
    scope?: string
    openidConfiguration?: string
  }
  events?: { retentionDays?: number }
  log?: { level?: LogLevel }
  hooks?: Record<string, never>
}
