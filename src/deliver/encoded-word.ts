// Raw 8-bit text in header fields as encoded words (RFC 2047), for peers that take 7-bit only. Pure.
//
// Such fields are no proper ones (RFC 6532 wants SMTPUTF8 for them), so this cannot be exact: each word with 8-bit bytes
// is encoded as it lies, within quotes too, where most readers decode it nevertheless. Nothing is lost.

import { isUtf8 } from 'node:buffer'

/** Bytes of one encoded word: 15 make 45 characters of Q, 75 are allowed with the frame (RFC 2047 §2). */
const WORD_BYTES = 15

/** Words, and what stands between them: blanks, and the specials of RFC 5322. */
const TOKENS = /[^\s()<>@,;:\\".[\]=]+|[ \t]+|[\s()<>@,;:\\".[\]=]/g
const EIGHT_BIT = /[\x80-\xff]/

/** A field as latin1 text, one character a byte, with its folds; the result is ASCII. */
export function sevenBitField(field: string): string {
  if (!EIGHT_BIT.test(field)) return field
  const charset = isUtf8(Buffer.from(field, 'latin1')) ? 'utf-8' : 'unknown-8bit'
  let out = ''
  let words = ''
  let blank = ''
  for (const token of field.match(TOKENS) ?? []) {
    if (EIGHT_BIT.test(token)) {
      // Blanks between encoded words vanish when they are read (RFC 2047 §6.2), so they are encoded too.
      words += words === '' ? token : blank + token
      blank = ''
    } else if (words !== '' && blank === '' && isBlank(token)) {
      blank = token
    } else {
      out += (words === '' ? '' : encodedWords(words, charset)) + blank + token
      words = ''
      blank = ''
    }
  }
  return out + (words === '' ? '' : encodedWords(words, charset)) + blank
}

function isBlank(token: string): boolean {
  return token.startsWith(' ') || token.startsWith('\t')
}

/** RFC 2047 §5: blanks between two encoded words do not count, so they may be folded. */
function encodedWords(text: string, charset: string): string {
  const words: string[] = []
  for (let at = 0; at < text.length;) {
    const end = wordEnd(text, at, charset === 'utf-8')
    words.push(`=?${charset}?Q?${quoted(text.slice(at, end))}?=`)
    at = end
  }
  return words.join('\r\n ')
}

/** A character must not be split between two words (RFC 2047 §5). */
function wordEnd(text: string, at: number, utf8: boolean): number {
  let end = Math.min(text.length, at + WORD_BYTES)
  while (utf8 && end < text.length && end > at + 1 && (text.charCodeAt(end) & 0xc0) === 0x80) end--
  return end
}

/** RFC 2047 §4.2, with nothing but letters and digits as they are (§5 (3)). */
function quoted(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, (character) => {
    if (character === ' ') return '_'
    const code = character.charCodeAt(0)
    return `=${'0123456789ABCDEF'.charAt(code >> 4)}${'0123456789ABCDEF'.charAt(code & 15)}`
  })
}
