// xtext (RFC 3461 §4) and the encodings of addresses of type utf-8 (RFC 6533 §3). Pure.

import { utf8 } from '../../lib/bytes.ts'

const PLUS = 0x2b

/** The octets that an xtext stands for, as UTF-8 text; undefined when it is not xtext or not UTF-8. */
export function decodeXtext(text: string): string | undefined {
  if (!text.includes('+')) return /^[!-<>-~]*$/.test(text) ? text : undefined
  const bytes = Buffer.allocUnsafe(text.length)
  let length = 0
  for (let i = 0; i < text.length; i++) {
    let c = text.charCodeAt(i)
    if (c < 0x21 || c > 0x7e || c === 0x3d) return undefined
    if (c === PLUS) {
      const hex = text.slice(i + 1, i + 3)
      if (!/^[0-9A-F]{2}$/.test(hex)) return undefined
      c = Number.parseInt(hex, 16)
      i += 2
    }
    bytes[length++] = c
  }
  const decoded = utf8(bytes, 0, length)
  return decoded.includes('\ufffd') ? undefined : decoded
}

export function encodeXtext(text: string): string {
  if (/^[!-*,-<>-~]*$/.test(text)) return text
  let out = ''
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== PLUS && byte !== 0x3d
    out += plain ? String.fromCharCode(byte) : `+${hexadecimal(byte)}`
  }
  return out
}

const UNITEXT = /\\x\{([0-9A-F]{2,6})\}/g

/** The address that a utf-8-enc-addr (RFC 6533 §3) stands for; undefined when it is none. Unencoded UTF-8 passes. */
export function decodeUtf8Address(text: string): string | undefined {
  if (/[^!-~\u0080-\u{10ffff}]|[+=]/u.test(text)) return undefined
  if (/\\(?!x\{[0-9A-F]{2,6}\})/.test(text)) return undefined
  let valid = true
  const decoded = text.replace(UNITEXT, (_, hex: string) => {
    const point = Number.parseInt(hex, 16)
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) valid = false
    return valid ? String.fromCodePoint(point) : ''
  })
  return valid ? decoded : undefined
}

/** utf-8-addr-xtext: ASCII only, for servers without SMTPUTF8. */
export function encodeUtf8Address(text: string): string {
  return text.replace(/[^!-~]|[+=\\]/gu, (character) => `\\x{${hexadecimal(character.codePointAt(0) as number)}}`)
}

const HEX = '0123456789ABCDEF'

/** Upper case, at least two digits. */
function hexadecimal(value: number): string {
  let text = ''
  for (let rest = value; rest > 0 || text.length < 2; rest = Math.floor(rest / 16)) text = HEX.charAt(rest % 16) + text
  return text
}
