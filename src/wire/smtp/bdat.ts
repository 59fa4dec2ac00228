// BDAT (RFC 3030 §2): its argument, and its line for clients. Pure. Content goes through DataDecoder.startChunks.

import { decimal, isWord } from '../../lib/bytes.ts'
import type { Slice } from '../../lib/bytes.ts'

const SP = 0x20

export interface BdatArgument {
  /** Octets that follow the line. */
  readonly octets: number
  readonly last: boolean
}

/** `chunk-size [ SP "LAST" ]`, or undefined: then nobody knows what follows the line. */
export function parseBdat(argument: Slice): BdatArgument | undefined {
  const { buf, start, end } = argument
  let at = start
  while (at < end && buf[at] !== SP) at++
  const octets = decimal(buf, start, at)
  if (octets < 0) return undefined
  if (at === end) return { octets, last: false }
  while (at < end && buf[at] === SP) at++
  return isWord(buf, at, end, 'LAST') ? { octets, last: true } : undefined
}

/** The command in front of a chunk of `octets`. */
export function bdatLine(octets: number, last: boolean): string {
  return last ? `BDAT ${octets} LAST\r\n` : `BDAT ${octets}\r\n`
}
