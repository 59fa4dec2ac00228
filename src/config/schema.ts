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

/** The validated configuration. What the keys mean stands at `UserConfig`; here only the form that their values have. */
export interface Config {
  /** A domain in lower case. */
  readonly hostname: string
  readonly postmaster: string
  /** Absolute path of the data directory. */
  readonly dataDir: string
  readonly threads: ThreadsConfig
  readonly tls: TlsConfig
  readonly listeners: readonly ListenerConfig[]
  /** As `address/prefix`, like the two that follow. */
  readonly relayFrom: readonly string[]
  readonly proxyFrom: readonly string[]
  readonly xclientFrom: readonly string[]
  /** A list, not an object: a domain called `constructor` must not find one. */
  readonly domains: readonly DomainConfig[]
  readonly routes: readonly RouteConfig[]
  readonly mxPort: number
  /** Names, and networks as `address/prefix`. */
  readonly allowHosts: readonly string[]
  readonly accounts: readonly AccountConfig[]
  readonly allowPlaintextAuth: boolean
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
  readonly inspect: number
}

export interface TlsConfig {
  /** Absolute paths of PEM files; undefined means the self-signed certificate in dataDir/tls. */
  readonly files: CertificateFiles | undefined
  readonly names: readonly NamedCertificate[]
  readonly minVersion: TlsVersion
  /** An absolute path. */
  readonly clientCa: string | undefined
}

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

export interface NamedCertificate extends CertificateFiles {
  /** In lower case. */
  readonly names: readonly string[]
}

export interface ListenerConfig {
  readonly name: string
  readonly protocol: Protocol
  /** An address. */
  readonly host: string
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
  /** Addresses and `*@domain` in lower case, for MAIL FROM and From. */
  readonly aliases: readonly string[]
  readonly quota: { readonly messagesPerHour: number; readonly recipientsPerHour: number }
}

export interface RetryConfig {
  readonly firstMs: number
  readonly maxMs: number
  readonly expireMs: number
  /** 0 never. */
  readonly warnAfterMs: number
}

/** messageBytesMax and recipientsMax, which people set here, stand in `limits`. */
export interface SmtpConfig {
  readonly bareLf: BareLf
  readonly banner: string
}

export interface DnsConfig {
  /** `address:port`, IPv6 in brackets; empty means the system's resolvers. */
  readonly servers: readonly string[]
}

/** '' for what is not set. */
export interface OauthConfig {
  readonly issuer: string
  readonly audience: string
  /** One of the two is set. */
  readonly jwksUrl: string
  readonly introspectionUrl: string
  readonly clientId: string
  readonly clientSecret: string
  readonly accountClaim: string
  readonly scope: string
  readonly openidConfiguration: string
}

/**
 * The configuration as people write it. `defineConfig` checks it while typing; parse.ts when it is loaded. What stands
 * here is the manual: editors show it, and scripts/reference.ts puts it into REFERENCE.md. `@default` is for defaults
 * that are computed; the others stand in shape.ts.
 */
export interface UserConfig {
  /** Our name in the banner, EHLO, Received and reports: what the address that others see resolves to and from. */
  hostname?: string
  /**
   * Who is written to as bare `<postmaster>` (RFC 5321 §4.5.1), and whom notifications name.
   * @default postmaster at a domain of ours, or at `hostname`
   */
  postmaster?: string
  /**
   * Directory of the spool, events, accounts and keys. One server has it at a time; on a disk whose fdatasync can be
   * believed.
   */
  dataDir?: string
  /** How many threads do the work; `'auto'` divides the cores. Read at the start. @default auto */
  threads?:
    | 'auto'
    | {
        /** Sessions and the spool. @default half of the cores, 1 to 16 */
        net?: number
        /** Deliveries. @default a quarter of the cores, 1 to 8 */
        deliver?: number
        /** Inspection of content, for each net thread. @default a quarter of the cores, 1 to 4 */
        inspect?: number
      }
  /** Certificates of the listeners. Read again at a reload. */
  tls?: {
    /** PEM file with the certificate and its chain. @default self-signed, made in `dataDir/tls` at the first start */
    cert?: string
    /** PEM file with the key of `cert`; one needs the other. @default that of the self-signed one */
    key?: string
    /** Other certificates by the name that a client asks for (SNI). */
    names?: {
      /** One name, or several; `*.example.org` covers one label. */
      name: string | string[]
      /** PEM file with the certificate and its chain. */
      cert: string
      /** PEM file with its key. */
      key: string
    }[]
    /** Oldest version of TLS that is spoken; older ones than 1.2 are broken (RFC 8996). */
    minVersion?: TlsVersion
    /**
     * PEM file with the authorities whose client certificates AUTH EXTERNAL takes.
     * @default none: EXTERNAL is not offered
     */
    clientCa?: string
  }
  /** Where clients connect. Read at the start. */
  listeners?: {
    /** `smtp` is for other servers, `submission` (RFC 6409) for users, `lmtp` (RFC 2033) for a server in front of us. */
    protocol: Protocol
    /** 0 lets the system choose; the ready line tells which. */
    port: number
    /**
     * Address to listen on; `::` and `0.0.0.0` are all. Loopback unless said otherwise, so that a trial is not open to
     * others.
     */
    host?: string
    /** Unique name in the ready line, logs and rules. @default the protocol, with the port from the second one on */
    name?: string
    /**
     * Whether TLS is spoken: never, after STARTTLS, or from the first byte (RFC 8314).
     * @default off for lmtp, else starttls
     */
    tls?: ListenerTls
  }[]
  /**
   * Networks whose clients may relay without AUTH, by their address after PROXY. One wider than /8 (IPv6: /7) is refused:
   * it would be an open relay.
   */
  relayFrom?: string[]
  /**
   * Networks of proxies: their connections must begin with a PROXY header, nobody else's may, or anybody could choose
   * an address. One wider than /8 (IPv6: /7) is refused.
   */
  proxyFrom?: string[]
  /** Networks that are offered XCLIENT, such as a filter in front of us. They are believed whatever they say. */
  xclientFrom?: string[]
  /** Domains that are ours, by name; mail for them is taken from everybody. */
  domains?: Record<
    string,
    {
      /** Where its mail goes: one target as in `routes`, or several that are tried in order; these differ in host and port only. */
      deliverTo: string | string[]
    }
  >
  /**
   * Where foreign domains go; the first that matches. The default sends everything to `rohrpost sink`: nothing leaves
   * loopback until a route says `mx`.
   */
  routes?: {
    /** A domain, `*.example.org` for its subdomains, or `*`. */
    domain: string
    /**
     * `mx`, `smtp://HOST:PORT`, `smtps://…`, `lmtp://HOST:PORT`, `lmtp:/PATH` for a Unix socket, `discard:` or `capture:DIR`.
     * `USER:PASSWORD@` may stand before a host of smtp or smtps, `?tls=off`, `?tls=required` or `?tls=verify` behind a host.
     */
    to: string
  }[]
  /** Port of mail exchangers; another one than 25 is for labs. */
  mxPort?: number
  /**
   * Hosts, addresses and networks that MX delivery may reach although they are loopback, link-local or our own; for
   * labs. Foreign MX records must not choose such targets.
   */
  allowHosts?: string[]
  /** Accounts for trials: their passwords stand here. `rohrpost account add` keeps hashes only. */
  accounts?: {
    /** Address to log in with and to send as. */
    name: string
    /** Its password; no error or command shows it. */
    password: string
    /** Further addresses, or `*@domain`, that it may send as. */
    aliases?: string[]
    /** What it may submit in any hour; 0 is no limit. */
    quota?: {
      /** Messages. */
      messagesPerHour?: number
      /** Recipients of all messages. */
      recipientsPerHour?: number
    }
  }[]
  /** Whether LOGIN and PLAIN are offered without TLS, where everybody on the way can read the password. For trials. */
  allowPlaintextAuth?: boolean
  /** What names a message's tenant, between whom the queue is fair: the account, or the listener. */
  tenantFrom?: TenantFrom
  /** When a message is tried again (RFC 5321 §4.5.4.1). */
  retry?: {
    /** Pause after the first attempt; each further one is twice as long, ±10 %, so that retries do not gather. */
    first?: Duration
    /** Longest pause, before the ±10 %. */
    max?: Duration
    /** Age at which a message is given up and its sender is told. The RFC asks for four to five days. */
    expire?: Duration
    /** Age at which the sender is told of the delay (RFC 3461 §4.1); `false` never. */
    warnAfter?: Duration | false
  }
  /** What SMTP sessions take. */
  smtp?: {
    /**
     * What a line feed without carriage return is in content: made a CRLF, or refused. Neither lets a message be
     * smuggled behind another.
     */
    bareLf?: BareLf
    /** Text after `220 hostname `; it need not tell the program. */
    banner?: string
    /** Largest message, announced by SIZE (RFC 1870). */
    maxMessageBytes?: Size
    /** Recipients of one transaction; RFC 5321 §4.5.3.1.8 asks for at least 100. */
    recipientsMax?: number
  }
  /** Overrides of limits, below. */
  limits?: Partial<Record<keyof Limits, number | string>>
  /** Resolution of names. */
  dns?: {
    /** Resolvers as `address:port`, port 53 without one; IPv6 in brackets. @default those of the system */
    servers?: string[]
  }
  /**
   * Bearer tokens for OAUTHBEARER and XOAUTH2 (RFC 7628): checked by the issuer's keys, or by asking it (RFC 7662).
   * @default none are accepted
   */
  oauth?: {
    /** Issuer that the token must name; needed with `jwksUrl`. */
    issuer?: string
    /** Audience that the token must name: one for somebody else must not pass. Needed with `jwksUrl`. */
    audience?: string
    /** Where the issuer's keys are. This or `introspectionUrl`. */
    jwksUrl?: string
    /** Where the issuer answers whether a token is good. This or `jwksUrl`. */
    introspectionUrl?: string
    /** Our name at the introspection endpoint. */
    clientId?: string
    /** Our password there; no error or command shows it. */
    clientSecret?: string
    /** Claim that names the account. */
    accountClaim?: string
    /** Scope that a token must carry; empty asks for none. */
    scope?: string
    /** Discovery document that the error challenge names. */
    openidConfiguration?: string
  }
  /** The event log. */
  events?: {
    /** Days that closed event files are kept. */
    retentionDays?: number
  }
  /** The log on standard error. */
  log?: {
    /** Least severe level that is written. Read at the start. */
    level?: LogLevel
  }
  /** Not supported in this version: it must be empty. */
  hooks?: Record<string, never>
}
