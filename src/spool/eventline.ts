// One event as a line of NDJSON, and its offset. Pure.

import { idToText } from './ids.ts'
import type { SpoolEvent } from './ports.ts'

/**
 * Offsets are ms since 1970 × 4096 + counter × 64 + shard: unique, rising within a shard, mergeable over shards, and
 * below 2^53 until 2039. A shard with more than 64 events in one ms borrows from the next.
 */
export const OFFSETS_A_MS = 4096
const OFFSET_STEP = 64

/** The shard's next offset after `last` (0 when there is none). */
export function nextOffset(last: number, now: number, shard: number): number {
  return Math.max(last + OFFSET_STEP, now * OFFSETS_A_MS + shard)
}

/** Bytes that JSON takes as they are, and everything above ASCII. */
const PLAIN = /^[ !#-[\]-~\u00a1-\ud7ff\ue000-\uffff]*$/

/** Nobody's reply may make a line that readers cannot hold. */
const FIELD_CHARACTERS_MAX = 4096

function quoted(text: string): string {
  if (text.length > FIELD_CHARACTERS_MAX) return quoted(text.slice(0, FIELD_CHARACTERS_MAX))
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}

let isoMs = 0
let isoText = new Date(0).toISOString()

/** Events of one commit share their ms. */
function iso(ms: number): string {
  if (ms !== isoMs) {
    isoText = new Date(ms).toISOString()
    isoMs = ms
  }
  return isoText
}

/** The line with its line feed. Fields in the documented order; time in RFC 3339; id '' when there is no message. */
export function eventLine(offset: number, event: SpoolEvent): string {
  const id = event.id === 0 ? '' : idToText(event.id)
  return (
    `{"offset":${offset},"time":"${iso(event.time)}","type":"${event.type}","id":"${id}","recipient":${quoted(event.recipient)},` +
    `"tenant":${quoted(event.tenant)},"source":${quoted(event.source)},"site":${quoted(event.site)},"code":${event.code},` +
    `"enhanced":${quoted(event.enhanced)},"reply":${quoted(event.reply)},"attempt":${event.attempt}}\n`
  )
}

const OFFSET_PREFIX = '{"offset":'

/** Offset of a line, -1 when it is not an event line. */
export function offsetOfLine(line: string): number {
  if (!line.startsWith(OFFSET_PREFIX)) return -1
  const end = line.indexOf(',', OFFSET_PREFIX.length)
  const offset = Number(line.slice(OFFSET_PREFIX.length, end))
  return Number.isSafeInteger(offset) && offset > 0 ? offset : -1
}

/** A line as people and programs get it. */
export interface LoggedEvent {
  /** Place in the log, rising with time: the value of `--from` to go on with. */
  readonly offset: number
  /** When it happened: ISO 8601 in UTC with ms. */
  readonly time: string
  /** One of the types. */
  readonly type: SpoolEvent['type']
  /** Queue id, as in `queued as ID`; '' for a rejection. */
  readonly id: string
  /** Address of the recipient; '' for a rejection that is about none. */
  readonly recipient: string
  /** Tenant of the message, '' when it has none; '' for a rejection. */
  readonly tenant: string
  /** Address of the client for a reception or rejection; else the source of the attempt, '' where there was none. */
  readonly source: string
  /** Name of the site that was tried; the rule that refused for a rejection; '' where there was neither. */
  readonly site: string
  /** Reply code; 0 when nobody replied and the words are ours. */
  readonly code: number
  /** Enhanced status code (RFC 3463), '' when there was none. */
  readonly enhanced: string
  /** Text of the reply without its codes; the action for an event of an operator. */
  readonly reply: string
  /** Number of the attempt from 1; for what is not one, of the attempts made so far. */
  readonly attempt: number
}

/** The event of a line, or undefined when it is damaged. */
export function parseEventLine(line: string): LoggedEvent | undefined {
  if (offsetOfLine(line) < 0) return undefined
  try {
    return JSON.parse(line) as LoggedEvent
  } catch {
    // A torn or overwritten line: the caller decides.
    return undefined
  }
}

/** Text of the id in a reception line, '' for other lines. Cheaper than parsing: a start reads many. */
export function receivedId(line: string): string {
  const at = line.indexOf('"type":"reception","id":"')
  return at < 0 ? '' : line.slice(at + 25, line.indexOf('"', at + 25))
}
