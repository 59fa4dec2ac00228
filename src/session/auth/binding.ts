// Channel bindings and client certificates of a TLS connection, as authentication wants them (RFC 5929, RFC 9266).

import { createHash, type X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { clientVerified } from '../../net/tls-context.ts'
import { certificateAddresses } from './certificate.ts'
import type { AuthTls, BindingName } from './ports.ts'

const BINDING_NAMES: readonly BindingName[] = ['tls-exporter', 'tls-unique', 'tls-server-end-point']

/** RFC 9266 §2. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_BYTES = 32

export function isBindingName(text: string): text is BindingName {
  return (BINDING_NAMES as readonly string[]).includes(text)
}

/** Whether -PLUS mechanisms work on this connection. */
export function hasBinding(tls: AuthTls | undefined): boolean {
  return tls !== undefined && BINDING_NAMES.some((name) => tls.binding(name) !== undefined)
}

/** What authentication may know of a server-side connection whose handshake is done. Each value is computed once. */
export function authTls(socket: TLSSocket): AuthTls {
  const known = new Map<BindingName, Buffer | undefined>()
  const certificate = clientVerified(socket) ? socket.getPeerX509Certificate() : undefined
  return {
    binding: (name) => {
      if (!known.has(name)) known.set(name, bindingOf(socket, name))
      return known.get(name)
    },
    certificateAddresses: certificate ? certificateAddresses(certificate) : [],
  }
}

function bindingOf(socket: TLSSocket, name: BindingName): Buffer | undefined {
  const isTls13 = socket.getProtocol() === 'TLSv1.3'
  // RFC 7677 §4: a resumed session needs the extended master secret, and Node does not tell whether it is there.
  if (!isTls13 && socket.isSessionReused()) return undefined
  switch (name) {
    case 'tls-exporter':
      // RFC 9266 §4.2: before 1.3 only with the extended master secret. The empty context is not the same as none.
      return isTls13 ? socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0)) : undefined
    case 'tls-unique':
      // RFC 5929 §3.1: the first Finished message; in a full handshake the client's. Not defined for TLS 1.3 (RFC 9266 §3).
      return isTls13 ? undefined : (socket.getPeerFinished() as Buffer | undefined)
    case 'tls-server-end-point':
      return serverEndPoint(socket.getX509Certificate())
  }
}

/** RFC 5929 §4.1: the certificate under the hash of its own signature, SHA-256 for MD5 and SHA-1. */
export function serverEndPoint(certificate: X509Certificate | undefined): Buffer | undefined {
  const hash = certificate && signatureHash(certificate)
  return certificate && hash ? createHash(hash).update(certificate.raw).digest() : undefined
}

function signatureHash(certificate: X509Certificate): string | undefined {
  // `sha256WithRSAEncryption`, `ecdsa-with-SHA384`; EdDSA and RSASSA-PSS name no hash, and then there is no binding.
  const match = /(?:^|-)(md5|sha1|sha224|sha256|sha384|sha512)(?:$|with)/i.exec(certificate.signatureAlgorithm ?? '')
  const hash = match?.[1]?.toLowerCase()
  return hash === 'md5' || hash === 'sha1' ? 'sha256' : hash
}
