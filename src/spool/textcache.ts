// Short texts that come again and again, as domains and tenants do in a scan: a hit costs a tenth of making the string,
// and all rows share it.

import { latin1, utf8 } from '../lib/bytes.ts'

const SLOTS = 4096
const LENGTH_MAX = 64

function spells(text: string, buf: Buffer, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== buf[start + i]) return false
  return true
}

export class TextCache {
  readonly #texts: (string | undefined)[] = Array.from({ length: SLOTS })

  /** Text of a UTF-8 range. */
  text(buf: Buffer, start: number, end: number): string {
    if (end - start > LENGTH_MAX) return utf8(buf, start, end)
    let hash = 0
    for (let i = start; i < end; i++) {
      const c = buf[i] as number
      if (c >= 0x80) return utf8(buf, start, end)
      hash = (Math.imul(hash, 31) + c) | 0
    }
    const slot = hash & (SLOTS - 1)
    const known = this.#texts[slot]
    if (known !== undefined && known.length === end - start && spells(known, buf, start)) return known
    const text = latin1(buf, start, end)
    this.#texts[slot] = text
    return text
  }
}
