// The shape of the configuration as people write it: a zod schema with every default. Used while loading only.

import { z } from 'zod'
import { asciiName } from '../lib/hostname.ts'
import * as f from './fields.ts'
import { ACCOUNT_QUOTA_MAX, defaultLimits, tunableLimits } from './limits.ts'
import type { Limits } from './limits.ts'
import { planOf } from './plan.ts'
import { anyOf, unfit } from './problems.ts'
import * as s from './schema.ts'

/** What a configuration is read against. */
export interface Surroundings {
  /** Where relative paths begin: the directory of the configuration's file. */
  readonly baseDir: string
  /** The default of `hostname`, already valid. */
  readonly hostname: string
  /** Cores that `threads: 'auto'` divides. */
  readonly cores: number
}

const THREADS_MAX = 64
const PORT_MAX = 65_535
const YEAR_MS = 365 * 86_400_000
const LATER_PROTOCOLS: readonly unknown[] = ['imap', 'pop3', 'managesieve', 'http', 'kpop', 'uucp']

/** Where everything foreign goes until a route says otherwise: the sink, on loopback. */
const DEFAULT_ROUTES = [{ domain: '*', to: 'smtp://127.0.0.1:2526' }]

const DEFAULT_LISTENERS = [
  { protocol: 'smtp', port: 2525, tls: 'starttls' },
  { protocol: 'submission', port: 2587, tls: 'starttls' },
  { protocol: 'submission', port: 2465, tls: 'implicit' },
  { protocol: 'lmtp', port: 2024, tls: 'off' },
]

const threadCount = f.whole(1, THREADS_MAX).optional()
const threads = z.preprocess(
  (value) => (value === 'auto' || value === undefined ? {} : value),
  f.section({ net: threadCount, deliver: threadCount, inspect: threadCount }, { expected: "'auto' or an object" }),
)

const listenerName = f.field('a name of 1 to 64 letters, digits, dots and hyphens', (value) =>
  typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/.test(value) ? value : undefined,
)

const listener = f.section({
  protocol: f.oneOf(s.PROTOCOLS, (value) =>
    LATER_PROTOCOLS.includes(value) ? `"${String(value)}" is not available in this version; expected ${anyOf(s.PROTOCOLS)}` : undefined,
  ),
  port: f.whole(0, PORT_MAX),
  host: f.address.default('127.0.0.1'),
  name: listenerName.optional(),
  tls: f.oneOf(s.LISTENER_TLS).optional(),
})

const quotaCount = f.whole(0, ACCOUNT_QUOTA_MAX).default(0)
const account = f.section({
  name: f.mailbox(false),
  password: f.secret(1024),
  aliases: f.list(f.mailbox(true)).default([]),
  quota: f.section({ messagesPerHour: quotaCount, recipientsPerHour: quotaCount }).prefault({}),
})

const retry = f.section({
  first: f.duration(1, YEAR_MS).prefault('5m'),
  max: f.duration(1, YEAR_MS).prefault('4h'),
  expire: f.duration(1, YEAR_MS).prefault('5d'),
  warnAfter: z.preprocess((value) => (value === false ? 0 : value), f.duration(0, YEAR_MS)).prefault('4h'),
})

const banner = f.field('1 to 200 printable ASCII characters', (value) =>
  typeof value === 'string' && /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/.test(value) ? value : undefined,
)

const smtp = f.section({
  bareLf: f.oneOf(s.BARE_LF).default('normalize'),
  banner: banner.default('Rohrpost'),
  maxMessageBytes: f.size(64 * 1024, 2 ** 40).default(defaultLimits.messageBytesMax),
  recipientsMax: f.whole(100, 100_000).default(defaultLimits.recipientsMax),
})

const oauth = f.section({
  issuer: f.text(1024).default(''),
  audience: f.text(1024).default(''),
  jwksUrl: f.webAddress.default(''),
  introspectionUrl: f.webAddress.default(''),
  clientId: f.text(1024).default(''),
  clientSecret: f.secret(1024).default(''),
  accountClaim: f.text(256).default('email'),
  scope: f.text(256).default(''),
  openidConfiguration: f.webAddress.default(''),
})

const hooks = f.section({}, { hint: () => 'hooks are not supported in this version; remove it' })

const limits = f.section(limitFields(), {
  hint: (key) => {
    if (key === 'messageBytesMax') return 'is set by smtp.maxMessageBytes'
    if (key === 'recipientsMax') return 'is set by smtp.recipientsMax'
    return Object.hasOwn(defaultLimits, key) ? 'cannot be changed' : undefined
  },
})

function limitFields(): Record<string, z.ZodOptional<f.Field<number>>> {
  const fields = Object.entries(tunableLimits).map(([name, { unit, min, max }]) => {
    const kind = unit === 'bytes' ? f.size : unit === 'ms' ? f.duration : f.whole
    return [name, kind(min, max).optional()] as const
  })
  return Object.fromEntries(fields)
}

function tls(path: f.Field<string>) {
  return f.section({
    cert: path.optional(),
    key: path.optional(),
    names: f
      .list(f.section({ name: f.oneOrMore(f.domainPattern(false), 'a name, or a list of names'), cert: path, key: path }))
      .default([]),
    minVersion: f.oneOf(s.TLS_VERSIONS).default('TLSv1.2'),
    clientCa: path.optional(),
  })
}

/** The domains as a list; names that are none or that are the same in A-labels are refused. */
function domains(baseDir: string) {
  const entry = f.section({ deliverTo: f.oneOrMore(f.target(baseDir), "a target such as 'lmtp://127.0.0.1:2003', or a list of targets") })
  const byName = z.record(z.string(), entry, { error: (issue) => unfit(issue.input, 'an object with a key for each domain') })
  return byName.transform((entries, ctx): s.DomainConfig[] => {
    const found = new Map<string, s.DomainConfig>()
    for (const [key, { deliverTo }] of Object.entries(entries)) {
      const name = asciiName(key)
      const problem = name === undefined ? 'is no domain' : found.has(name) ? `is the same domain as another key: ${name}` : undefined
      if (problem !== undefined) ctx.issues.push({ code: 'custom', input: key, path: [key], message: problem })
      const plan = planOf(deliverTo)
      if (!plan.ok) ctx.issues.push({ code: 'custom', input: deliverTo, path: [key, 'deliverTo'], message: plan.error })
      if (name !== undefined) found.set(name, { name, deliverTo })
    }
    return [...found.values()]
  })
}

/** The whole configuration. scripts/reference.ts reads types and defaults from it. */
export function configShape(around: Surroundings): z.ZodType {
  const { baseDir } = around
  const path = f.path(baseDir)
  return f.section({
    hostname: f.hostName.default(around.hostname),
    postmaster: f.mailbox(false).optional(),
    dataDir: f.dataDirectory(baseDir).prefault('./data'),
    threads,
    tls: tls(path).prefault({}),
    listeners: f.list(listener).prefault(DEFAULT_LISTENERS),
    relayFrom: f.list(f.network).prefault(['127.0.0.0/8', '::1']),
    proxyFrom: f.list(f.network).default([]),
    xclientFrom: f.list(f.network).default([]),
    domains: domains(baseDir).default([]),
    routes: f.list(f.section({ domain: f.domainPattern(true), to: f.target(baseDir) })).prefault(DEFAULT_ROUTES),
    mxPort: f.whole(1, PORT_MAX).default(25),
    allowHosts: f.list(f.hostOrNetwork).default([]),
    accounts: f.list(account).default([]),
    allowPlaintextAuth: f.flag.default(false),
    tenantFrom: f.oneOf(s.TENANT_FROM).default('account'),
    retry: retry.prefault({}),
    smtp: smtp.prefault({}),
    limits: limits.prefault({}),
    dns: f.section({ servers: f.list(f.dnsServer).default([]) }).prefault({}),
    oauth: oauth.optional(),
    events: f.section({ retentionDays: f.whole(1, 3650).default(14) }).prefault({}),
    log: f.section({ level: f.oneOf(s.LOG_LEVELS).default('info') }).prefault({}),
    hooks: hooks.prefault({}),
  })
}

/** A configuration with all defaults, before its parts were looked at together. */
export interface Shaped extends Omit<s.Config, 'threads' | 'tls' | 'listeners' | 'retry' | 'smtp' | 'limits'> {
  readonly threads: { readonly [K in keyof s.ThreadsConfig]?: number | undefined }
  readonly tls: {
    readonly cert?: string | undefined
    readonly key?: string | undefined
    readonly names: readonly { readonly name: readonly string[]; readonly cert: string; readonly key: string }[]
    readonly minVersion: s.TlsVersion
    readonly clientCa?: string | undefined
  }
  readonly listeners: readonly ShapedListener[]
  readonly retry: { readonly first: number; readonly max: number; readonly expire: number; readonly warnAfter: number }
  readonly smtp: s.SmtpConfig & { readonly maxMessageBytes: number; readonly recipientsMax: number }
  readonly limits: Partial<Limits>
}

interface ShapedListener extends Omit<s.ListenerConfig, 'name' | 'tls'> {
  readonly name?: string | undefined
  readonly tls?: s.ListenerTls | undefined
}

export function shapeOf(input: unknown, around: Surroundings): z.ZodSafeParseResult<Shaped> {
  // Undefined stands for "absent" in what zod makes of the limits.
  return configShape(around).safeParse(input) as z.ZodSafeParseResult<Shaped>
}
