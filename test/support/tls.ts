// Where the certificates of test/support/tls lie.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface KeyPair {
  /** Paths, for configurations. */
  readonly cert: string
  readonly key: string
  /** PEM texts, for node:tls. */
  readonly certPem: string
  readonly keyPem: string
}

const FOLDER = join(import.meta.dirname, 'tls')

function pair(name: string): KeyPair {
  const cert = join(FOLDER, `${name}.pem`)
  const key = join(FOLDER, `${name}.key.pem`)
  return { cert, key, certPem: readFileSync(cert, 'utf8'), keyPem: readFileSync(key, 'utf8') }
}

/** For mx.rohrpost.test, localhost, 127.0.0.1 and ::1. */
export const serverTls: KeyPair = pair('server')
/** For peer.rohrpost.test, localhost and 127.0.0.1. */
export const peerTls: KeyPair = pair('peer')
/** For wrong.name.test. */
export const otherTls: KeyPair = pair('other')
/** A client's, for anna@example.org. */
export const clientTls: KeyPair = pair('client')

export const caPath: string = join(FOLDER, 'ca.pem')
export const caPem: string = readFileSync(caPath, 'utf8')
