// Targets of routes as people write them: 'mx', smtp://, smtps://, lmtp://, lmtp:/PATH, discard:, capture:DIR. Pure; no thread.
//
// A target's `key` is its canonical text without the password: it names the site in queues, events and logs, so a
// secret never gets there.

import { formatAddress, parseAddress } from '../lib/address.ts'
import { asciiName } from '../lib/hostname.ts'
import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'

/** What a hop does about TLS; deliver/ports.ts says what each means. */
export type TargetTls = 'off' | 'opportunistic' | 'required' | 'verify'

export interface TargetAuth {
  readonly user: string
  readonly password: string
  /** AUTH may go out without TLS; for labs. */
  readonly allowPlaintext: boolean
}

export interface HostTarget {
  readonly kind: 'host'
  readonly protocol: 'smtp' | 'lmtp'
  /** A name in A-labels, an address in canonical text without brackets, or the absolute path of a socket on this machine. */
  readonly host: string
  /** 0 for a socket on this machine. */
  readonly port: number
  /** Meaningless for a socket on this machine: nobody listens between. */
  readonly tls: TargetTls
  /** TLS from the first byte (`smtps://`). */
  readonly implicitTls: boolean
  readonly auth?: TargetAuth
  readonly key: string
}

export type Target =
  | { readonly kind: 'mx'; readonly key: 'mx' }
  | HostTarget
  | { readonly kind: 'discard'; readonly key: 'discard:' }
  /** `dir` is relative to the configuration's directory unless it is absolute. */
  | { readonly kind: 'capture'; readonly dir: string; readonly key: string }

interface Scheme {
  readonly protocol: 'smtp' | 'lmtp'
  readonly port: number
  readonly implicitTls: boolean
  readonly tls: TargetTls
}

/** TLS defaults: what the peer offers on the way to port 25, a checked certificate where a smart host is named by smtps. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  'smtp:': { protocol: 'smtp', port: 25, implicitTls: false, tls: 'opportunistic' },
  'smtps:': { protocol: 'smtp', port: 465, implicitTls: true, tls: 'verify' },
  'lmtp:': { protocol: 'lmtp', port: 24, implicitTls: false, tls: 'opportunistic' },
}

const TLS_WORDS: readonly string[] = ['off', 'opportunistic', 'required', 'verify']
const TARGET_LENGTH_MAX = 1024
/** `sun_path` of macOS and the BSDs holds 104 bytes with its NUL, that of Linux 108; a longer path cannot be connected to. */
export const SOCKET_PATH_BYTES_MAX = 103

/** Parses a route's target. The error says what is wrong and never contains the password. */
export function parseTarget(text: string): Result<Target, string> {
  if (text === 'mx') return ok({ kind: 'mx', key: 'mx' })
  if (text.length > TARGET_LENGTH_MAX) return err(`target is longer than ${TARGET_LENGTH_MAX} characters`)
  if (/\p{Cc}/u.test(text)) return err('target contains control characters')
  if (/^discard:$/i.test(text)) return ok({ kind: 'discard', key: 'discard:' })
  if (/^capture:/i.test(text)) return captureTarget(text.slice('capture:'.length))
  if (/^lmtp:(?!\/\/)/i.test(text)) return socketTarget(text.slice('lmtp:'.length))
  const scheme = SCHEMES[text.slice(0, text.indexOf(':') + 1).toLowerCase()]
  if (!scheme) return err(`unknown kind of target: expected 'mx', smtp://, smtps://, lmtp://, lmtp:/PATH, discard: or capture:DIR`)
  return hostTarget(text, scheme)
}

function captureTarget(dir: string): Result<Target, string> {
  if (dir === '') return err('capture: needs a directory, as in capture:./captured')
  return ok({ kind: 'capture', dir, key: `capture:${dir}` })
}

/** Whether the host of a target is a socket on this machine: neither names nor addresses have a slash. */
export function isSocketPath(host: string): boolean {
  return host.startsWith('/')
}

function socketTarget(path: string): Result<Target, string> {
  if (!isSocketPath(path)) return err(`lmtp: needs the absolute path of a socket, as in lmtp:/run/dovecot/lmtp, or lmtp://HOST:PORT`)
  if (path.endsWith('/')) return err('lmtp: needs the path of a socket, not of a directory')
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) return err(`the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes`)
  const { protocol, tls, implicitTls } = SCHEMES['lmtp:'] as Scheme
  return ok({ kind: 'host', protocol, host: path, port: 0, tls, implicitTls, key: `lmtp:${path}` })
}

function hostTarget(text: string, scheme: Scheme): Result<Target, string> {
  const url = / /.test(text) ? null : URL.parse(text)
  if (!url || url.hostname === '') {
    const socket = scheme.protocol === 'lmtp' ? ', or lmtp:/PATH for a socket on this machine' : ''
    return err(`expected ${scheme.protocol}://HOST or ${scheme.protocol}://HOST:PORT${socket}`)
  }
  if (url.hash !== '' || (url.pathname !== '' && url.pathname !== '/')) return err('a target has no path; expected only host and port')
  const host = targetHost(url.hostname)
  if (host === undefined) return err(`not a host name or address: ${url.hostname}`)
  const port = url.port === '' ? scheme.port : Number(url.port)
  if (port === 0) return err('port 0 is not a port to connect to')
  const options = targetOptions(url.searchParams, scheme)
  if (!options.ok) return options
  const auth = targetAuth(url, scheme, options.value)
  if (!auth.ok) return auth
  const { tls } = options.value
  const key = keyOf(url.protocol, auth.value?.user, host, port, tls === scheme.tls ? undefined : tls)
  const target = { kind: 'host', protocol: scheme.protocol, host, port, tls, implicitTls: scheme.implicitTls, key } as const
  return ok(auth.value ? { ...target, auth: auth.value } : target)
}

/** Hosts of schemes that URL does not know come percent-encoded and otherwise as they were written. */
function targetHost(hostname: string): string | undefined {
  if (hostname.startsWith('[')) {
    const address = parseAddress(hostname.slice(1, -1))
    return address && formatAddress(address)
  }
  const address = parseAddress(hostname)
  if (address) return formatAddress(address)
  const name = decoded(hostname)
  return name === undefined ? undefined : asciiName(name)
}

interface TargetOptions {
  readonly tls: TargetTls
  readonly allowPlaintext: boolean
}

function targetOptions(parameters: URLSearchParams, scheme: Scheme): Result<TargetOptions, string> {
  let tls = scheme.tls
  let allowPlaintext = false
  const seen = new Set<string>()
  for (const [name, value] of parameters) {
    if (seen.has(name)) return err(`option given twice: ${name}`)
    seen.add(name)
    if (name === 'tls') {
      if (!TLS_WORDS.includes(value)) return err(`tls must be one of ${TLS_WORDS.join(', ')}`)
      tls = value as TargetTls
    } else if (name === 'plaintextAuth') {
      if (value !== 'allow') return err('plaintextAuth can only be "allow"')
      allowPlaintext = true
    } else {
      return err(`unknown option: ${name} (known: tls, plaintextAuth)`)
    }
  }
  if (scheme.implicitTls && tls !== 'required' && tls !== 'verify')
    return err('smtps:// is TLS from the start: tls can be required or verify')
  return ok({ tls, allowPlaintext })
}

function targetAuth(url: URL, scheme: Scheme, options: TargetOptions): Result<TargetAuth | undefined, string> {
  const { allowPlaintext } = options
  if (url.username === '' && url.password === '') {
    return allowPlaintext ? err('plaintextAuth needs a user and a password') : ok(undefined)
  }
  const user = decoded(url.username)
  const password = decoded(url.password)
  if (!user || !password) return err('user and password must both be given, special characters percent-encoded')
  if (scheme.protocol === 'lmtp') return err('lmtp:// takes no user and password')
  if (options.tls === 'off' && !allowPlaintext) return err('a password without TLS needs plaintextAuth=allow')
  return ok({ user, password, allowPlaintext })
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function keyOf(protocol: string, user: string | undefined, host: string, port: number, tls: TargetTls | undefined): string {
  const who = user === undefined ? '' : `${encodeURIComponent(user)}@`
  const where = host.includes(':') ? `[${host}]` : host
  return `${protocol}//${who}${where}:${port}${tls ? `?tls=${tls}` : ''}`
}
