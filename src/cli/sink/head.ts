// What the sink tells of a message's header. Pure.

import { utf8 } from '../../lib/bytes.ts'

/** Unfolded fields in their order; names as written. */
export function headerFields(head: Buffer): [name: string, value: string][] {
  const end = head.indexOf('\r\n\r\n')
  const text = utf8(head, 0, end < 0 ? head.length : end)
  return text
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .flatMap((line) => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1).trim()]] : []
    })
}

/** Value of the first field of that name, '' when there is none. */
export function fieldValue(fields: readonly (readonly [string, string])[], name: string): string {
  return fields.find(([field]) => field.toLowerCase() === name)?.[1] ?? ''
}

/** The id by which the last hop queued it: the ID clause of the topmost Received field (RFC 5321 §4.4). */
export function queueId(fields: readonly (readonly [string, string])[]): string {
  const received = fieldValue(fields, 'received').replace(/\([^()]*\)/g, ' ')
  return /\sid\s+<?([^\s;>]+)/i.exec(received)?.[1] ?? ''
}
