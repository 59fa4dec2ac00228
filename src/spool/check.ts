// `rohrpost check spool`: reads everything and says what does not fit together. Read-only; best without a server.

import type { SpoolDisk, SpoolIndex } from './disk.ts'
import { nextTurn } from './disk.ts'
import { eventFiles, findTail } from './eventlog.ts'
import { idToText, messageId, sequenceOf } from './ids.ts'
import { BODIES, groupOf, GROUPS, HIGH_KEY, idOf, idRange, LEFTS, MESSAGES, readU56 } from './keys.ts'
import { bodiesDirectory, eventsDirectory, INDEX_FILE, readMeta, shardDirectory } from './layout.ts'
import { nodeDisk } from './nodedisk.ts'
import { decodeGroup, decodeHigh, decodeLeft, decodeMessage, decodeShare } from './record.ts'
import type { MessageRecord } from './record.ts'
import { scanSome } from './scan.ts'
import type { Rest } from './scan.ts'
import { segmentName, segmentNumber, sharesOf } from './segments.ts'
import type { MessageId } from './types.ts'

/** `error`: mail is or will be lost or stuck. `notice`: a crash left it, and the next start cleans it up. */
export interface Finding {
  readonly severity: 'error' | 'notice'
  readonly shard: number
  readonly text: string
}

export interface SpoolReport {
  readonly shards: number
  readonly messages: number
  readonly groups: number
  readonly recipients: number
  /** Bytes of message bodies. */
  readonly bytes: number
  /** Bytes of segments that belong to no message any more, or not yet. */
  readonly deadBytes: number
  /** At most 1,000. */
  readonly findings: readonly Finding[]
}

const FINDINGS_MAX = 1000
const MESSAGES_PER_CHUNK = 200
/** Above the largest id of a shard. */
const SEQUENCE_MAX = 2 ** 46 - 1

class ShardCheck {
  readonly #disk: SpoolDisk
  readonly #dataDir: string
  readonly #shard: number
  readonly #index: SpoolIndex
  readonly #findings: Finding[]
  readonly #sizes = new Map<number, number>()
  readonly #ends = new Map<number, number>()
  #high = decodeHigh(undefined)
  messages = 0
  groups = 0
  recipients = 0
  bytes = 0
  deadBytes = 0
  #liveBytes = 0

  constructor(disk: SpoolDisk, dataDir: string, shard: number, index: SpoolIndex, findings: Finding[]) {
    this.#disk = disk
    this.#dataDir = dataDir
    this.#shard = shard
    this.#index = index
    this.#findings = findings
  }

  async run(): Promise<void> {
    this.#high = decodeHigh(this.#index.get(HIGH_KEY))
    await this.#readSizes()
    await this.#checkMessages()
    this.#checkTotals()
    this.#checkSegments()
    await this.#checkEvents()
  }

  #say(severity: Finding['severity'], text: string): void {
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push({ severity, shard: this.#shard, text })
  }

  async #readSizes(): Promise<void> {
    const directory = bodiesDirectory(this.#dataDir, this.#shard)
    for (const name of await this.#disk.list(directory)) {
      const number = segmentNumber(name)
      if (number < 0) continue
      const file = await this.#disk.open(`${directory}/${name}`, 'read')
      this.#sizes.set(number, await this.#disk.size(file))
      await this.#disk.close(file)
    }
  }

  /** Messages in pieces; all other records are looked at with the piece that their id falls into. */
  async #checkMessages(): Promise<void> {
    let next = messageId(this.#shard, 0)
    const last = messageId(this.#shard, SEQUENCE_MAX)
    let rest: Rest = idRange(MESSAGES, next, last)
    while (rest) {
      const found = new Map<MessageId, MessageRecord>()
      rest = scanSome(this.#index, rest, MESSAGES_PER_CHUNK, (key, start, _length, value, valueLength) => {
        this.#readMessage(idOf(key, start), Buffer.from(value.subarray(0, valueLength)), found)
        return true
      })
      const end = rest ? idOf(rest.from, 0) : last
      this.#checkPiece(next, end, found)
      next = end
      await nextTurn(this.#disk)
    }
  }

  #readMessage(id: MessageId, value: Buffer, found: Map<MessageId, MessageRecord>): void {
    try {
      found.set(id, decodeMessage(id, value))
    } catch (error) {
      this.#say('error', `message ${idToText(id)} cannot be read: ${String(error)}`)
    }
  }

  #checkPiece(from: MessageId, to: MessageId, found: ReadonlyMap<MessageId, MessageRecord>): void {
    const groups = this.#readGroups(from, to)
    const left = this.#readLeft(from, to)
    for (const [id, message] of found) this.#checkMessage(id, message, groups.get(id) ?? 0, left.get(id))
    for (const id of groups.keys()) if (!found.has(id)) this.#say('error', `recipients of ${idToText(id)} have no message`)
    for (const id of left.keys()) if (!found.has(id)) this.#say('error', `counter of ${idToText(id)} has no message`)
  }

  /** Groups by message. */
  #readGroups(from: MessageId, to: MessageId): Map<MessageId, number> {
    const groups = new Map<MessageId, number>()
    const range = idRange(GROUPS, from, to)
    this.#index.scan(range.from, range.to, (key, start, _length, value, valueLength) => {
      const id = idOf(key, start)
      groups.set(id, (groups.get(id) ?? 0) + 1)
      this.#readGroup(id, groupOf(key, start), value.subarray(0, valueLength))
      return true
    })
    return groups
  }

  #readGroup(id: MessageId, group: number, value: Buffer): void {
    this.groups++
    try {
      this.recipients += decodeGroup(id, group, value).pending.length
    } catch (error) {
      this.#say('error', `group ${group} of ${idToText(id)} cannot be read: ${String(error)}`)
    }
  }

  #readLeft(from: MessageId, to: MessageId): Map<MessageId, number> {
    const left = new Map<MessageId, number>()
    const range = idRange(LEFTS, from, to)
    this.#index.scan(range.from, range.to, (key, start, _length, value) => left.set(idOf(key, start), decodeLeft(value)).size > 0)
    return left
  }

  #checkMessage(id: MessageId, message: MessageRecord, groups: number, left: number | undefined): void {
    this.messages++
    this.bytes += message.envelope.bytes
    const name = idToText(id)
    if (sequenceOf(id) >= this.#high.sequence) this.#say('error', `${name} is above the high-water mark: its id may be used again`)
    if (groups === 0) this.#say('notice', `${name} has no recipients left`)
    else if ((left ?? 1) !== groups) this.#say('error', `${name} has ${groups} groups, its counter says ${left ?? 1}`)
    const { body, envelope } = message
    const stored = body.kind === 'inline' ? body.bytes.length : body.extents.reduce((sum, extent) => sum + extent.length, 0)
    if (stored !== envelope.bytes) this.#say('error', `${name} has ${stored} bytes, its envelope says ${envelope.bytes}`)
    this.#checkShares(id, message)
  }

  #checkShares(id: MessageId, { body }: MessageRecord): void {
    for (const [segment, share] of sharesOf(body)) {
      this.#liveBytes += share.liveBytes
      const size = this.#sizes.get(segment)
      if (size === undefined) this.#say('error', `body of ${idToText(id)} is missing: there is no ${segmentName(segment)}`)
      else if (share.end > size) this.#say('error', `body of ${idToText(id)} is cut off: ${segmentName(segment)} has ${size} bytes`)
      this.#ends.set(segment, Math.max(this.#ends.get(segment) ?? 0, share.end))
    }
  }

  #checkTotals(): void {
    const { messages, groups } = this.#high
    if (messages === this.messages && groups === this.groups) return
    this.#say('notice', `${this.messages} messages in ${this.groups} groups are here, the totals say ${messages} in ${groups}`)
  }

  /** B records against what the messages say, and against the files. */
  #checkSegments(): void {
    const recorded = new Map<number, number>()
    this.#index.scan(BODIES.from, BODIES.to, (key, start, _length, value) => {
      const segment = readU56(key, start + 1)
      recorded.set(segment, Math.max(recorded.get(segment) ?? 0, decodeShare(value).end))
      return true
    })
    for (const [segment, end] of this.#ends) {
      if (recorded.get(segment) !== end) this.#say('error', `${segmentName(segment)} may be cut or removed: its index is incomplete`)
    }
    for (const [segment, end] of recorded) {
      if ((this.#ends.get(segment) ?? 0) < end) this.#say('notice', `${segmentName(segment)} is kept for messages that are gone`)
    }
    for (const size of this.#sizes.values()) this.deadBytes += size
    this.deadBytes -= this.#liveBytes
  }

  async #checkEvents(): Promise<void> {
    const directory = eventsDirectory(this.#dataDir, this.#shard)
    for (const name of await eventFiles(this.#disk, directory)) {
      const file = await this.#disk.open(`${directory}/${name}`, 'read')
      const torn = (await this.#disk.size(file)) - (await findTail(this.#disk, file)).bytes
      await this.#disk.close(file)
      if (torn > 0) this.#say('notice', `event file ${name} ends in ${torn} torn bytes`)
    }
  }
}

/** Reads the whole spool. Rejects with SpoolFormatError for another program's spool. */
export async function checkSpool(dataDir: string, disk: SpoolDisk = nodeDisk): Promise<SpoolReport> {
  const meta = await readMeta(disk, dataDir)
  const findings: Finding[] = []
  const totals = { shards: meta?.shards ?? 0, messages: 0, groups: 0, recipients: 0, bytes: 0, deadBytes: 0 }
  for (let shard = 0; shard < totals.shards; shard++) {
    const names = await disk.list(shardDirectory(dataDir, shard))
    if (!names.includes(INDEX_FILE)) continue
    const index = await disk.openIndex(shardDirectory(dataDir, shard), 'read')
    const check = new ShardCheck(disk, dataDir, shard, index, findings)
    try {
      await check.run()
    } finally {
      await index.close()
    }
    totals.messages += check.messages
    totals.groups += check.groups
    totals.recipients += check.recipients
    totals.bytes += check.bytes
    totals.deadBytes += check.deadBytes
  }
  return { ...totals, findings }
}
