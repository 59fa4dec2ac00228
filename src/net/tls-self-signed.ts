// The certificate for those who have none: made on the first start, kept in dataDir/tls. Main thread.

import { X509Certificate } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { CertificateFiles } from '../config/schema.ts'
import type { PemPair } from './tls-context.ts'
import { readPair } from './tls-files.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const VALID_DAYS = 730
const RENEW_DAYS = 30

export function selfSignedFiles(dataDir: string): CertificateFiles {
  return { cert: join(dataDir, 'tls', 'self-signed-cert.pem'), key: join(dataDir, 'tls', 'self-signed-key.pem') }
}

/**
 * Makes the pair anew when it is missing, damaged, for another name, or valid for less than 30 days; true when it did.
 * Throws when the files cannot be written.
 */
export async function ensureSelfSigned(files: CertificateFiles, hostname: string, now: number): Promise<boolean> {
  const found = await readPair(files)
  if (found.ok && stillGood(found.value, hostname, now)) return false
  const pair = await makeSelfSigned(hostname, now)
  await mkdir(dirname(files.key), { recursive: true, mode: 0o700 })
  // A crash between the two leaves a pair that does not match, which the next start replaces.
  await writeAtomically(files.key, pair.key, 0o600)
  await writeAtomically(files.cert, pair.cert, 0o644)
  return true
}

function stillGood(pair: PemPair, hostname: string, now: number): boolean {
  const certificate = new X509Certificate(pair.cert)
  if (certificate.validToDate.getTime() - now < RENEW_DAYS * DAY_MS) return false
  return certificate.checkHost(hostname, { subject: 'never' }) !== undefined
}

async function writeAtomically(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  await writeFile(temporary, text, { mode, flush: true })
  await rename(temporary, file)
}

/** An EC P-256 certificate for the host's name and loopback, valid for two years. */
export async function makeSelfSigned(hostname: string, now: number): Promise<PemPair> {
  // Loaded when it is needed: once in the life of a data directory.
  const { generate } = await import('selfsigned')
  const names = hostname === 'localhost' ? ['localhost'] : [hostname, 'localhost']
  const made = await generate([{ name: 'commonName', value: hostname }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    // An hour back, for clients whose clocks are late.
    notBeforeDate: new Date(now - HOUR_MS),
    notAfterDate: new Date(now + VALID_DAYS * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [...names.map((value) => ({ type: 2, value }) as const), { type: 7, ip: '127.0.0.1' }, { type: 7, ip: '::1' }],
      },
    ],
  })
  return { cert: made.cert, key: made.private }
}
