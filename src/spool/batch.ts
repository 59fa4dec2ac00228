// The edits of one commit group: gathered first, written in one go. Owner thread.

import { encodeExtents, encodeGroup, encodeHigh, encodeInline, encodeLeft, encodeShare } from './record.ts'
import type { BodyShare, GroupRecord, HighMarks, StoredBody, Totals, ValueSpace } from './record.ts'
import type { IndexWriter } from './disk.ts'
import { bodyKey, groupKey, HIGH_KEY, leftKey, messageKey } from './keys.ts'
import { sharesOf } from './segments.ts'
import type { Envelope, MessageId } from './types.ts'

type Shares = ReadonlyMap<number, BodyShare>

/** `value` undefined removes the record. */
type Edit =
  | { readonly kind: 'message'; readonly id: MessageId; readonly value: Buffer | undefined }
  | { readonly kind: 'group'; readonly id: MessageId; readonly group: number; readonly value: Buffer | undefined }
  | { readonly kind: 'left'; readonly id: MessageId; readonly value: Buffer | undefined }
  | { readonly kind: 'share'; readonly segment: number; readonly id: MessageId; readonly value: Buffer | undefined }
  | { readonly kind: 'high'; readonly value: Buffer }

/** What a batch must read: the state before it. */
export interface BatchSource {
  /** Groups left according to the C record; 1 without one. */
  left(id: MessageId): number
  /** Shares of a message whose body is in segments; undefined when there is no such message. */
  shares(id: MessageId): Shares | undefined
}

export class Batch {
  readonly #space: ValueSpace
  readonly #source: BatchSource
  readonly #edits: Edit[] = []
  /** Groups left of messages that lost one in this batch. */
  readonly #left = new Map<MessageId, number>()
  /** Live bytes that come and go with the commit. */
  readonly added: Shares[] = []
  readonly removed: Shares[] = []
  messages = 0
  groups = 0

  constructor(space: ValueSpace, source: BatchSource) {
    this.#space = space
    this.#source = source
  }

  get edits(): number {
    return this.#edits.length
  }

  get valueBytes(): number {
    let bytes = 0
    for (const { value } of this.#edits) if (value) bytes += value.length
    return bytes
  }

  create(envelope: Envelope, groups: readonly GroupRecord[], body: StoredBody): void {
    const { id } = envelope
    this.#putMessage(envelope, body)
    for (const group of groups) this.#edits.push({ kind: 'group', id, group: group.group, value: encodeGroup(this.#space, group) })
    if (groups.length > 1) this.#edits.push({ kind: 'left', id, value: encodeLeft(this.#space, groups.length) })
    this.messages++
    this.groups += groups.length
  }

  /** At most one change of a group in a batch. */
  change(group: GroupRecord, next: GroupRecord | undefined): void {
    if (next) {
      this.#edits.push({ kind: 'group', id: group.id, group: group.group, value: encodeGroup(this.#space, next) })
      return
    }
    this.#edits.push({ kind: 'group', id: group.id, group: group.group, value: undefined })
    this.groups--
    if (group.alone) this.#removeMessage(group.id, group.hasExtents, false)
    else this.#countDown(group)
  }

  /** A message's body has been copied elsewhere. */
  relocate(envelope: Envelope, from: StoredBody, to: StoredBody): void {
    this.#removeShares(envelope.id, sharesOf(from))
    this.#putMessage(envelope, to)
  }

  /** A message that no group belongs to. */
  drop(id: MessageId): void {
    this.#removeMessage(id, true, true)
  }

  /** To be called last: `before` is what the index holds without this batch. */
  high(marks: HighMarks, before: Totals): void {
    const totals = { messages: before.messages + this.messages, groups: before.groups + this.groups }
    this.#edits.push({ kind: 'high', value: encodeHigh(this.#space, marks, totals) })
  }

  write(writer: IndexWriter): void {
    for (const edit of this.#edits) {
      const key = keyOf(edit)
      if (edit.value) writer.put(key, edit.value)
      else writer.remove(key)
    }
  }

  #putMessage(envelope: Envelope, body: StoredBody): void {
    const { id } = envelope
    const inline = body.kind === 'inline'
    const value = inline
      ? encodeInline(this.#space, envelope, body.bytes, body.bytes.length)
      : encodeExtents(this.#space, envelope, body.extents)
    this.#edits.push({ kind: 'message', id, value })
    if (inline) return
    const shares = sharesOf(body)
    for (const [segment, share] of shares) this.#edits.push({ kind: 'share', segment, id, value: encodeShare(this.#space, share) })
    this.added.push(shares)
  }

  #countDown(group: GroupRecord): void {
    const left = (this.#left.get(group.id) ?? this.#source.left(group.id)) - 1
    this.#left.set(group.id, left)
    if (left > 0) this.#edits.push({ kind: 'left', id: group.id, value: encodeLeft(this.#space, left) })
    else this.#removeMessage(group.id, group.hasExtents, true)
  }

  #removeMessage(id: MessageId, hasExtents: boolean, hasLeft: boolean): void {
    if (hasExtents) this.#removeShares(id, this.#source.shares(id))
    this.#edits.push({ kind: 'message', id, value: undefined })
    if (hasLeft) this.#edits.push({ kind: 'left', id, value: undefined })
    this.messages--
  }

  #removeShares(id: MessageId, shares: Shares | undefined): void {
    if (!shares) return
    for (const segment of shares.keys()) this.#edits.push({ kind: 'share', segment, id, value: undefined })
    this.removed.push(shares)
  }
}

function keyOf(edit: Edit): Buffer {
  switch (edit.kind) {
    case 'message':
      return messageKey(edit.id)
    case 'group':
      return groupKey(edit.id, edit.group)
    case 'left':
      return leftKey(edit.id)
    case 'share':
      return bodyKey(edit.segment, edit.id)
    case 'high':
      return HIGH_KEY
  }
}
