// An authorization server on loopback: keys, tokens, a key set and an introspection endpoint, all scripted by tests.

import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SigningPair {
  readonly alg: 'RS256' | 'ES256' | 'EdDSA'
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export const rsa: SigningPair = { alg: 'RS256', kid: 'rsa', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }
export const weakRsa: SigningPair = { alg: 'RS256', kid: 'weak', ...generateKeyPairSync('rsa', { modulusLength: 1024 }) }
export const ec: SigningPair = { alg: 'ES256', kid: 'ec', ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) }
export const ed: SigningPair = { alg: 'EdDSA', kid: 'ed', ...generateKeyPairSync('ed25519') }

export function jwk(pair: SigningPair, more: object = {}): object {
  return { ...pair.publicKey.export({ format: 'jwk' }), kid: pair.kid, use: 'sig', ...more }
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A signed token; `header` overrides what stands in its header. */
export function token(pair: SigningPair, claims: object, header: object = {}): string {
  const signed = `${part({ alg: pair.alg, kid: pair.kid, typ: 'at+jwt', ...header })}.${part(claims)}`
  const key = pair.alg === 'ES256' ? ({ key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const) : pair.privateKey
  const signature = sign(pair.alg === 'EdDSA' ? null : 'sha256', Buffer.from(signed), key)
  return `${signed}.${signature.toString('base64url')}`
}

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void

export class Issuer {
  readonly #server: Server
  /** Bodies and headers of the requests so far. */
  readonly requests: { readonly method: string; readonly headers: IncomingMessage['headers']; readonly body: string }[] = []
  /** What answers; by default `json`. */
  handler: Handler | undefined
  json: unknown = { keys: [] }
  #arrived: (() => void)[] = []

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(t: { after(fn: () => void): void }): Promise<Issuer> {
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')))
      request.on('end', () => issuer.#answer(request, response, body))
    })
    const issuer = new Issuer(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Resolves when the next request has come. */
  arrived(): Promise<void> {
    return new Promise((resolve) => this.#arrived.push(resolve))
  }

  #answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    this.requests.push({ method: request.method ?? '', headers: request.headers, body })
    if (this.handler) this.handler(request, response, body)
    else response.setHeader('content-type', 'application/json').end(JSON.stringify(this.json))
    for (const resolve of this.#arrived.splice(0)) resolve()
  }
}
