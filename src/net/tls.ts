// TLS of the server's side: the certificates that the configuration names, ready for handshakes, replaced by a reload.
//
// Main calls `ensureCertificate` before it starts or reloads threads; each net thread then loads its own `ServerTls`.

import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { SecureContext, TLSSocketOptions } from 'node:tls'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'
import { serverOptions } from './tls-context.ts'
import type { NamedPemPair, PemPair, TlsMaterial } from './tls-context.ts'
import { readAuthorities, readPair } from './tls-files.ts'
import { ensureSelfSigned, selfSignedFiles } from './tls-self-signed.ts'

const DAY_MS = 86_400_000
const WARN_DAYS = 14
const TICKET_KEY_BYTES = 48

/** A certificate, key or authority that cannot be used; the message names the file. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
  /** Exit code of a start that it ends: EX_CONFIG. */
  readonly code = 78
}

/** The part of the configuration that TLS depends on. */
export type TlsSettings = Pick<Config, 'tls' | 'dataDir' | 'hostname'>

/**
 * Makes the self-signed certificate where none is configured, reads and checks all of them, and warns of those that are
 * about to expire. Rejects with TlsError.
 */
export async function ensureCertificate(config: TlsSettings, log: Log, now: number = systemClock.now()): Promise<void> {
  if (!config.tls.files) {
    const files = selfSignedFiles(config.dataDir)
    try {
      if (await ensureSelfSigned(files, config.hostname, now)) log.info({ cert: files.cert }, 'self-signed certificate made')
    } catch (error) {
      throw new TlsError(`cannot write the self-signed certificate: ${(error as Error).message}`, { cause: error })
    }
  }
  for (const warning of await checkCertificates(config, now)) log.warn(warning)
}

/** Reads all certificates that there are and says which are about to expire. Writes nothing. Rejects with TlsError. */
export async function checkCertificates(config: TlsSettings, now: number): Promise<string[]> {
  if (!config.tls.files && !existsSync(selfSignedFiles(config.dataDir).cert)) return []
  return certificateWarnings(unwrap(await readMaterial(config, new Uint8Array(TICKET_KEY_BYTES))), now)
}

/** What `new TLSSocket(socket, { ...source.options(), isServer: true })` needs, for STARTTLS and implicit TLS alike. */
export class ServerTls {
  readonly #ticketKeys: Uint8Array
  #options: TLSSocketOptions & { readonly secureContext: SecureContext }

  private constructor(material: TlsMaterial) {
    this.#ticketKeys = material.ticketKeys
    this.#options = serverOptions(material)
  }

  /** `ticketKeys` are 48 bytes, the same in every thread. Rejects with TlsError. */
  static async load(config: TlsSettings, ticketKeys: Uint8Array): Promise<ServerTls> {
    return new ServerTls(unwrap(await readMaterial(config, ticketKeys)))
  }

  options(): TLSSocketOptions & { readonly secureContext: SecureContext } {
    return this.#options
  }

  /** Handshakes that begin afterwards use the certificates of `config`. Rejects with TlsError, and nothing has changed. */
  async reload(config: TlsSettings): Promise<void> {
    this.#options = serverOptions(unwrap(await readMaterial(config, this.#ticketKeys)))
  }
}

function unwrap(material: Result<TlsMaterial, string>): TlsMaterial {
  if (!material.ok) throw new TlsError(material.error)
  return material.value
}

async function readMaterial(config: TlsSettings, ticketKeys: Uint8Array): Promise<Result<TlsMaterial, string>> {
  const { tls } = config
  const fallback = await readPair(tls.files ?? selfSignedFiles(config.dataDir))
  if (!fallback.ok) return fallback
  const names: NamedPemPair[] = []
  for (const entry of tls.names) {
    const pair = await readPair(entry)
    if (!pair.ok) return pair
    names.push({ ...pair.value, names: entry.names })
  }
  const clientCa = tls.clientCa === undefined ? ok('') : await readAuthorities(tls.clientCa)
  if (!clientCa.ok) return clientCa
  return ok({ fallback: fallback.value, names, minVersion: tls.minVersion, clientCa: clientCa.value, ticketKeys })
}

function certificateWarnings(material: TlsMaterial, now: number): string[] {
  const pairs: readonly PemPair[] = [material.fallback, ...material.names]
  return pairs.map((pair) => validityWarning(new X509Certificate(pair.cert), now)).filter((warning) => warning !== undefined)
}

function validityWarning(certificate: X509Certificate, now: number): string | undefined {
  const who = `certificate ${certificate.subject.replaceAll('\n', ', ')}`
  const to = certificate.validToDate
  if (certificate.validFromDate.getTime() > now) return `${who} is not valid before ${certificate.validFromDate.toISOString()}`
  if (to.getTime() <= now) return `${who} expired ${to.toISOString()}`
  if (to.getTime() - now < WARN_DAYS * DAY_MS) return `${who} expires ${to.toISOString()}`
  return undefined
}
