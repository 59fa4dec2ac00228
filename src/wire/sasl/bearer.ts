// OAUTHBEARER (RFC 7628) and XOAUTH2, its older form at Google and Microsoft: a bearer token in key=value pairs. Pure.

import { decodeGs2, encodeGs2 } from './gs2.ts'
import { strictUtf8 } from './text.ts'

/** Longer messages are refused; access tokens with many claims stay below 8 KiB. */
export const BEARER_MESSAGE_BYTES_MAX = 9216

export interface BearerMessage {
  /** Account the client wants, '' when OAUTHBEARER leaves it to the token. */
  readonly authzid: string
  readonly token: string
}

export interface OauthbearerMessage extends BearerMessage {
  /** Where the client thinks that it connected to; '' when it does not say (RFC 7628 §3.1). */
  readonly host: string
  readonly port: string
}

/** What the client sends when it has read the error (RFC 7628 §3.2.3). */
export const BEARER_DUMMY: Buffer = Buffer.from('\x01', 'latin1')

// b64token of RFC 6750 §2.1; the scheme ignores case (RFC 7628 §4).
const AUTHORIZATION = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i
const VALUE = /^[\t\n\r\x20-\x7e]*$/

/** client-resp = gs2-header kvsep *kvpair kvsep */
export function decodeOauthbearer(message: Buffer): OauthbearerMessage | undefined {
  const text = messageText(message)
  const gs2 = text === undefined ? undefined : decodeGs2(text)
  // Without a -PLUS form there is nothing to bind to (RFC 7628 §3.1).
  if (text === undefined || gs2 === undefined || gs2.flag === 'p' || text[gs2.length] !== '\x01') return undefined
  const pairs = decodePairs(text.slice(gs2.length + 1))
  const token = tokenOf(pairs)
  if (pairs === undefined || token === undefined) return undefined
  return { authzid: gs2.authzid, token, host: pairs.get('host') ?? '', port: pairs.get('port') ?? '' }
}

export function encodeOauthbearer(message: OauthbearerMessage): Buffer {
  const host = message.host === '' ? '' : `host=${message.host}\x01`
  const port = message.port === '' ? '' : `port=${message.port}\x01`
  const header = encodeGs2({ flag: 'n', binding: '', authzid: message.authzid })
  return Buffer.from(`${header}\x01${host}${port}auth=Bearer ${message.token}\x01\x01`, 'utf8')
}

/** `user=` name ^A `auth=Bearer ` token ^A ^A */
export function decodeXoauth2(message: Buffer): BearerMessage | undefined {
  const text = messageText(message)
  const end = text === undefined ? -1 : text.indexOf('\x01')
  if (text === undefined || end < 0 || !text.startsWith('user=')) return undefined
  const authzid = text.slice('user='.length, end)
  const token = tokenOf(decodePairs(text.slice(end + 1)))
  return authzid === '' || token === undefined ? undefined : { authzid, token }
}

export function encodeXoauth2(message: BearerMessage): Buffer {
  return Buffer.from(`user=${message.authzid}\x01auth=Bearer ${message.token}\x01\x01`, 'utf8')
}

function messageText(message: Buffer): string | undefined {
  return message.length > BEARER_MESSAGE_BYTES_MAX ? undefined : strictUtf8(message, 0, message.length)
}

/** *(key "=" value kvsep) kvsep; unknown keys are ignored (RFC 7628 §3.1), a key that comes twice is refused. */
function decodePairs(text: string): Map<string, string> | undefined {
  if (!text.endsWith('\x01')) return undefined
  const pairs = new Map<string, string>()
  const parts = text.slice(0, -1).split('\x01')
  if (parts.pop() !== '') return undefined
  for (const part of parts) {
    const cut = part.indexOf('=')
    const key = part.slice(0, cut)
    if (cut < 1 || !/^[A-Za-z]+$/.test(key) || !VALUE.test(part.slice(cut + 1)) || pairs.has(key)) return undefined
    pairs.set(key, part.slice(cut + 1))
  }
  return pairs
}

function tokenOf(pairs: Map<string, string> | undefined): string | undefined {
  return AUTHORIZATION.exec(pairs?.get('auth') ?? '')?.[1]
}

/** The error challenge of OAUTHBEARER; empty strings are left out (RFC 7628 §3.2.2). */
export function encodeOauthbearerError(status: string, scope: string, openidConfiguration: string): Buffer {
  const error: Record<string, string> = { status }
  if (scope !== '') error['scope'] = scope
  if (openidConfiguration !== '') error['openid-configuration'] = openidConfiguration
  return Buffer.from(JSON.stringify(error), 'utf8')
}

/** The error challenge of XOAUTH2, whose status is an HTTP code. */
export function encodeXoauth2Error(status: string, scope: string): Buffer {
  return Buffer.from(JSON.stringify({ status, schemes: 'bearer', scope }), 'utf8')
}
