// Certificates and keys as files: read, and checked where the file can still be named. Main and net threads.

import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { CertificateFiles } from '../config/schema.ts'
import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'
import type { PemPair } from './tls-context.ts'

/** A certificate with its key. The error names the file and what is wrong with it. */
export async function readPair(files: CertificateFiles): Promise<Result<PemPair, string>> {
  const cert = await readText(files.cert)
  if (!cert.ok) return cert
  const key = await readText(files.key)
  if (!key.ok) return key
  const pair = { cert: cert.value, key: key.value }
  const problem = pairProblem(pair, files)
  return problem === undefined ? ok(pair) : err(problem)
}

/** A file with one or more certificates of authorities. */
export async function readAuthorities(file: string): Promise<Result<string, string>> {
  const text = await readText(file)
  if (!text.ok) return text
  const parsed = attempt(() => new X509Certificate(text.value))
  return parsed.ok ? text : err(`${file} holds no PEM certificate: ${parsed.error}`)
}

async function readText(file: string): Promise<Result<string, string>> {
  try {
    return ok(await readFile(file, 'utf8'))
  } catch (error) {
    return err(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}

function pairProblem(pair: PemPair, files: CertificateFiles): string | undefined {
  const certificate = attempt(() => new X509Certificate(pair.cert))
  if (!certificate.ok) return `${files.cert} holds no PEM certificate: ${certificate.error}`
  const key = attempt(() => createPrivateKey(pair.key))
  if (!key.ok) return `${files.key} holds no PEM private key without a passphrase: ${key.error}`
  if (!certificate.value.checkPrivateKey(key.value)) return `${files.key} is not the key of ${files.cert}`
  const context = attempt(() => createSecureContext({ cert: pair.cert, key: pair.key }))
  return context.ok ? undefined : `${files.cert} cannot be used: ${context.error}`
}

function attempt<T>(fn: () => T): Result<T, string> {
  try {
    return ok(fn())
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error))
  }
}
