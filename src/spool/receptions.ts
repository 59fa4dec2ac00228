// Reception lines are not synced: a crash may take the last of them. A start writes again those of messages that are
// still in the spool. Owner thread, in the background.
//
// Lines are lost from the end only, and those of one message stand together: all but the message of the last reception
// line have theirs complete or not at all.

import type { IndexVisitor, SpoolFiles } from './disk.ts'
import { nextTurn } from './disk.ts'
import { offsetOfLine, OFFSETS_A_MS, parseEventLine, receivedId } from './eventline.ts'
import { eventFiles, readRange } from './eventlog.ts'
import { idToText, messageId } from './ids.ts'
import { groupOf, GROUPS, idOf, idRange, MESSAGES } from './keys.ts'
import { receptionEvents } from './outcome.ts'
import { decodeEnvelope, decodeGroup } from './record.ts'
import type { GroupRecord } from './record.ts'
import { scanSome } from './scan.ts'
import type { Rest } from './scan.ts'
import type { Shard } from './shard.ts'
import type { SpoolEvent } from './ports.ts'
import type { Envelope, MessageId } from './types.ts'

/** How much of the log's end is looked through. */
const RECENT_BYTES = 8 * 1024 * 1024
/** A message may wait this long between its acceptance and its line. */
const MARGIN_MS = 10_000
/** Messages looked at before the event loop gets its turn. */
const CHUNK = 500
/** So many older messages in a row end the search: ids rise with time of acceptance, by and large. */
const OLDER_ENOUGH = 1000

/** What the end of a shard's log says of receptions. */
class Recent {
  /** Messages accepted before have their lines; ms since 1970. */
  since = 0
  /** As text; the last one apart. */
  readonly ids = new Set<string>()
  lastId = ''
  readonly lastRecipients = new Set<string>()

  static async read(files: SpoolFiles, directory: string): Promise<Recent> {
    const recent = new Recent()
    const names = await eventFiles(files, directory)
    let left = RECENT_BYTES
    for (const name of names.toReversed()) {
      if (left <= 0) break
      const file = await files.open(`${directory}/${name}`, 'read')
      try {
        const size = await files.size(file)
        // Bytes as characters: a start waits for this, and decoding 8 MB of UTF-8 takes longer than all else here.
        recent.#note((await readRange(files, file, Math.max(0, size - left), size)).toString('latin1').split('\n'))
        left -= size
      } finally {
        await files.close(file)
      }
    }
    return recent
  }

  isLogged(id: string): boolean {
    return this.ids.has(id) && id !== this.lastId
  }

  /** `lines` stand before all that were noted already. */
  #note(lines: readonly string[]): void {
    const first = lines.map(offsetOfLine).find((offset) => offset > 0)
    if (first !== undefined) this.since = Math.max(0, Math.floor(first / OFFSETS_A_MS) - MARGIN_MS)
    for (const line of lines.toReversed()) {
      const id = receivedId(line)
      if (id === '') continue
      this.lastId ||= id
      if (id === this.lastId) this.lastRecipients.add(parseEventLine(Buffer.from(line, 'latin1').toString('utf8'))?.recipient ?? '')
      this.ids.add(id)
    }
  }
}

/** Newest first: messages with an id below `below` that may lack lines. */
async function* unlogged(shard: Shard, below: MessageId, recent: Recent, stop: () => boolean): AsyncGenerator<Envelope[]> {
  let older = 0
  let rest: Rest = idRange(MESSAGES, messageId(shard.number, 0), below)
  while (rest && older < OLDER_ENOUGH && !stop()) {
    const found: Envelope[] = []
    const look: IndexVisitor = (key, start, _length, value, valueLength) => {
      const id = idOf(key, start)
      const envelope = decodeEnvelope(id, value.subarray(0, valueLength))
      older = envelope.acceptedAt < recent.since ? older + 1 : 0
      if (older === 0 && !recent.isLogged(idToText(id))) found.push(envelope)
      return true
    }
    rest = scanSome(shard.index, rest, CHUNK, look, { reverse: true })
    yield found
    await nextTurn(shard.disk)
  }
}

function groupsOf(shard: Shard, id: MessageId): GroupRecord[] {
  const groups: GroupRecord[] = []
  const { from, to } = idRange(GROUPS, id, id + 1)
  shard.index.scan(from, to, (key, start, _length, value, valueLength) => {
    groups.push(decodeGroup(id, groupOf(key, start), value.subarray(0, valueLength)))
    return true
  })
  return groups
}

function lostEvents(shard: Shard, envelope: Envelope, recent: Recent): SpoolEvent[] {
  const events = receptionEvents(envelope, groupsOf(shard, envelope.id), envelope.acceptedAt)
  if (idToText(envelope.id) !== recent.lastId) return events
  return events.filter(({ recipient }) => !recent.lastRecipients.has(recipient))
}

/**
 * Logs the receptions that are missing at the end of the log, for recipients that are still pending. `directory` is the
 * shard's event log, `below` the first id of this life; `stop` ends it early.
 */
export async function relogReceptions(shard: Shard, directory: string, below: MessageId, stop: () => boolean): Promise<void> {
  const recent = await Recent.read(shard.disk, directory)
  for await (const envelopes of unlogged(shard, below, recent, stop)) {
    for (const envelope of envelopes.toReversed()) {
      shard.events.append(lostEvents(shard, envelope, recent))
      if (shard.events.isBehind) await shard.events.flush()
    }
    await shard.events.flush()
  }
}
