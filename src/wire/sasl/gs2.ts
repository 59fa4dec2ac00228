// The GS2 header that SCRAM and OAUTHBEARER begin with (RFC 5801 §4, RFC 5802 §7): flag "," [a=authzid] ",". Pure.

export interface Gs2Header {
  /** `n`: the client has no channel binding; `y`: it has, and thinks the server has not; `p`: it uses `binding`. */
  readonly flag: 'n' | 'y' | 'p'
  /** Name of the channel binding, '' unless the flag is `p`. */
  readonly binding: string
  readonly authzid: string
  /** Characters of the header in the text, both commas included. */
  readonly length: number
}

const BINDING_NAME = /^[A-Za-z0-9.-]+$/

export function decodeGs2(text: string): Gs2Header | undefined {
  const first = text.indexOf(',')
  const second = first < 0 ? -1 : text.indexOf(',', first + 1)
  if (second < 0) return undefined
  const flag = decodeFlag(text.slice(0, first))
  const authzid = decodeAuthzid(text.slice(first + 1, second))
  if (flag === undefined || authzid === undefined) return undefined
  return { ...flag, authzid, length: second + 1 }
}

function decodeFlag(text: string): Pick<Gs2Header, 'flag' | 'binding'> | undefined {
  if (text === 'n' || text === 'y') return { flag: text, binding: '' }
  const binding = text.slice(2)
  return text.startsWith('p=') && BINDING_NAME.test(binding) ? { flag: 'p', binding } : undefined
}

function decodeAuthzid(text: string): string | undefined {
  if (text === '') return ''
  return text.startsWith('a=') ? decodeSaslname(text.slice(2)) : undefined
}

export function encodeGs2(header: Omit<Gs2Header, 'length'>): string {
  const flag = header.flag === 'p' ? `p=${header.binding}` : header.flag
  return `${flag},${header.authzid === '' ? '' : `a=${encodeSaslname(header.authzid)}`},`
}

/** `=2C` and `=3D` stand for a comma and an equals sign; any other `=` must fail (RFC 5802 §5.1). */
export function decodeSaslname(text: string): string | undefined {
  if (text === '' || /[,\0]|=(?!2C|3D)/.test(text)) return undefined
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=')
}

export function encodeSaslname(name: string): string {
  return name.replaceAll('=', '=3D').replaceAll(',', '=2C')
}
