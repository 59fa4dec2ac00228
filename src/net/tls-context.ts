// TLS for server-side connections: one context a certificate, chosen by SNI, replaced by a reload. Net threads.
//
// Contexts of all threads share their ticket keys, so that a session made in one thread resumes in another. TLS 1.2 is
// the least, OCSP is not used by mail, and ALPN only to turn browsers away.

import { constants, hash } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { SecureContext, TLSSocket, TLSSocketOptions } from 'node:tls'
import type { TlsVersion } from '../config/schema.ts'

/** Everything that a handshake needs. */
export interface TlsMaterial {
  readonly fallback: PemPair
  readonly names: readonly NamedPemPair[]
  readonly minVersion: TlsVersion
  /** PEM of the authorities for client certificates; '' means that none is asked for. */
  readonly clientCa: string
  /** 48 bytes, the same in every thread (RFC 5077 §4). */
  readonly ticketKeys: Uint8Array
}

export interface PemPair {
  /** Certificate and intermediates. */
  readonly cert: string
  readonly key: string
}

export interface NamedPemPair extends PemPair {
  /** Lower-case names; `*.example.org` covers one label. */
  readonly names: readonly string[]
}

/** Seconds that a session may be resumed. */
const SESSION_SECONDS = 7200

/**
 * Whether the client of a finished server-side handshake showed a certificate that `clientCa` vouches for.
 *
 * Node sets `authorized` only on sockets that its own tls.Server made, and calls a resumed TLS 1.3 session without any
 * certificate verified: so the certificate must be there too.
 */
export function clientVerified(socket: TLSSocket): boolean {
  const handle = (socket as TLSSocket & { ssl?: { verifyError?: () => unknown } | null }).ssl
  if (!handle?.verifyError || socket.getPeerX509Certificate() === undefined) return false
  return handle.verifyError() === null
}

/** Throws when OpenSSL cannot use the material, which tls-files.ts has seen to. */
export function serverOptions(material: TlsMaterial): TLSSocketOptions & { readonly secureContext: SecureContext } {
  const secureContext = contextOf(material.fallback, material)
  const asks = material.clientCa !== ''
  const options = { secureContext, requestCert: asks, rejectUnauthorized: false, ALPNCallback: protocolFor }
  if (material.names.length === 0) return options
  const contexts = new Map<string, SecureContext>()
  for (const pair of material.names) {
    const context = contextOf(pair, material)
    for (const name of pair.names) contexts.set(name, context)
  }
  return { ...options, SNICallback: (servername, done) => done(null, contextFor(servername, contexts) ?? secureContext) }
}

/** Names that clients of mail offer, where they offer any; none is registered for SMTP. */
const ALPN_NAMES: readonly string[] = ['smtp', 'esmtp']

/**
 * A client that offers protocols, but none of these, thinks that it talks to somebody else, with whom we may share a
 * certificate: undefined ends the handshake (RFC 9325 §3.7, RFC 7301 §3.2).
 */
function protocolFor({ protocols }: { readonly protocols: readonly string[] }): string | undefined {
  return protocols.find((name) => ALPN_NAMES.includes(name))
}

/** The whole name first, then the wildcard of its parent (RFC 9525 §6.3). */
function contextFor(servername: string, contexts: ReadonlyMap<string, SecureContext>): SecureContext | undefined {
  const name = servername.toLowerCase()
  const dot = name.indexOf('.')
  return contexts.get(name) ?? (dot > 0 ? contexts.get(`*${name.slice(dot)}`) : undefined)
}

/**
 * Resumption with client certificates fails without one (SSL_CTX_set_session_id_context(3)). A ticket says that its
 * client was verified: it must not outlive the authorities that did so. 32 bytes at most.
 */
function sessionIdContext(clientCa: string): string {
  return hash('sha256', clientCa, 'hex').slice(0, 32)
}

function contextOf(pair: PemPair, material: TlsMaterial): SecureContext {
  return createSecureContext({
    cert: pair.cert,
    key: pair.key,
    ...(material.clientCa !== '' && { ca: material.clientCa }),
    minVersion: material.minVersion,
    ticketKeys: Buffer.from(material.ticketKeys),
    sessionIdContext: sessionIdContext(material.clientCa),
    sessionTimeout: SESSION_SECONDS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  })
}
