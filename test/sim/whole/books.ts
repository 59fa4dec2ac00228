// What was promised and what came of it, kept outside of the server: each message by its key, each recipient's fate, each
// taking of a message by a remote site. A promise that is broken throws at once, or at the end.

import assert from 'node:assert/strict'
import type { SpoolIndex } from '../../../src/spool/disk.ts'
import { idFromText, idToText, shardOf } from '../../../src/spool/ids.ts'
import { groupKey, groupOf, GROUPS, idRange } from '../../../src/spool/keys.ts'
import { shardDirectory } from '../../../src/spool/layout.ts'
import type { ComposedDsn, DsnAction, DsnFacts, EventType, RowRef, SpoolEvent } from '../../../src/spool/ports.ts'
import { decodeGroup } from '../../../src/spool/record.ts'
import { Notify } from '../../../src/spool/types.ts'
import type { MessageId } from '../../../src/spool/types.ts'

/** A remote site took a message for a recipient. */
export interface Taking {
  readonly mail: Mail
  readonly fate: Fate
  /** When its MAIL came. */
  readonly beganAt: number
  /** `open` until the reply reached the client (`told`), or until it cannot any more (`unknown`). */
  state: 'open' | 'told' | 'unknown'
  toldAt: number
  /** Told, but a crash came before its outcome was on disk: it may be tried again. */
  excused: boolean
  /** Its outcome is on disk. */
  settled: boolean
}

export interface Fate {
  readonly address: string
  readonly notify: number
  readonly takings: Taking[]
  /** Notifications that are on disk, by what they say: their ids, and since when. */
  readonly reports: Map<DsnAction, Map<MessageId, number>>
  /** An attempt was under way, or its outcome at its owner, when its deliver thread died: it may be tried again beside that. */
  doubtful: boolean
  /** What the event log says of it. */
  readonly logged: Set<EventType>
}

export interface Mail {
  readonly key: string
  readonly sender: string
  readonly content: Buffer
  readonly fates: ReadonlyMap<string, Fate>
  id: MessageId
  /** What the client was told; notifications are `taken` when they are on disk. */
  state: 'handed in' | 'taken' | 'refused'
}

/** A notification that was written, whether its commit came or not. */
interface Draft {
  readonly id: MessageId
  readonly subject: Mail
  readonly dsn: ComposedDsn
  readonly about: readonly { readonly fate: Fate; readonly action: DsnAction }[]
}

const DATA_DIR = '/data'

export class Books {
  readonly #now: () => number
  /** Told of moments in which much hangs on what happens next to a message: just taken, just committed, just reported on. */
  readonly #moment: (id: MessageId) => void
  readonly #mails = new Map<string, Mail>()
  readonly #byId = new Map<MessageId, Mail>()
  readonly #ids = new Set<MessageId>()
  readonly #drafts = new Map<MessageId, Draft>()
  /** Ids of notifications by life and what they are about: a commit that is tried again writes the same one. */
  readonly #idOf = new Map<string, MessageId>()
  readonly #open = new Set<Taking>()
  /** Indexes of the shards as they are now, by directory. */
  readonly indexes: Map<string, SpoolIndex> = new Map()

  /** No event line was kept from the disk by its faults. */
  #logIsWhole = true

  constructor(now: () => number, moment: (id: MessageId) => void) {
    this.#now = now
    this.#moment = moment
  }

  get size(): number {
    return this.#mails.size
  }

  // ---- Clients ----

  handIn(key: string, sender: string, recipients: readonly { address: string; notify: number }[], content: Buffer): Mail {
    const mail = makeMail(key, sender, recipients, content)
    this.#mails.set(key, mail)
    return mail
  }

  /** The server made a place for it. */
  named(mail: Mail, id: MessageId): void {
    assert.ok(!this.#ids.has(id), `id ${idToText(id)} was used twice`)
    this.#ids.add(id)
    mail.id = id
    this.#byId.set(id, mail)
  }

  // ---- Notifications ----

  /** The owner of life `life` wrote a notification. */
  composed(life: string, facts: DsnFacts, dsn: ComposedDsn): void {
    const { envelope, row, recipients, id } = facts
    const subject = this.#byId.get(envelope.id)
    assert.ok(subject, `a notification about ${idToText(envelope.id)}, which nobody handed in`)
    assert.notEqual(envelope.sender, '', `${subject.key} has a null sender and is reported on`)
    assert.equal(dsn.envelope.sender, '', 'a notification has a sender')
    const about = recipients.map(({ address, action }) => ({ fate: fateOf(subject, address), action }))
    const name = `${life} ${envelope.id} ${row.group} ${row.attempts} ${about.map(({ fate, action }) => action + fate.address).join()}`
    const known = this.#idOf.get(name)
    assert.ok(known === undefined || known === id, `${subject.key} is reported on as ${idToText(id)} and as ${idToText(known ?? 0)}`)
    this.#idOf.set(name, id)
    if (!this.#drafts.has(id)) assert.ok(!this.#ids.has(id), `id ${idToText(id)} of a notification was used twice`)
    this.#ids.add(id)
    this.#drafts.set(id, { id, subject, dsn, about })
    this.#moment(envelope.id)
  }

  /** The message `id` is on disk. */
  stored(id: MessageId): void {
    const draft = this.#drafts.get(id)
    if (!draft || this.#byId.has(id)) return
    const { subject, dsn, about } = draft
    assert.notEqual(subject.state, 'refused', `${subject.key} was refused and is reported on`)
    const [to] = dsn.recipients
    assert.ok(to && dsn.recipients.length === 1 && to.address === subject.sender, `${subject.key} is reported to ${to?.address}`)
    const mail = makeMail(`dsn:${id}`, '', [to], dsn.body)
    mail.id = id
    mail.state = 'taken'
    this.#mails.set(mail.key, mail)
    this.#byId.set(id, mail)
    for (const { fate, action } of about) this.#reported(subject, fate, action, id)
  }

  #reported(subject: Mail, fate: Fate, action: DsnAction, id: MessageId): void {
    const name = `${subject.key} <${fate.address}>`
    assert.ok((fate.notify & Notify.never) === 0, `${name} is ${action}, which nobody wanted to know`)
    const reports = fate.reports.get(action) ?? new Map<MessageId, number>()
    fate.reports.set(action, reports)
    reports.set(id, this.#now())
    assert.ok(reports.size === 1, `${name} is ${action} twice: ${[...reports.keys()].map(idToText).join(', ')}`)
    if (action !== 'failed') return
    const taken = fate.takings.find((taking) => taking.state === 'told' && !taking.excused)
    assert.ok(!taken || fate.doubtful, `${name} was delivered and is returned as ${idToText(id)}`)
  }

  /** What an owner says after a commit. */
  event({ type, id }: SpoolEvent): void {
    if (type === 'reception') this.stored(id)
    this.#moment(id)
  }

  /** A line of the event log, at the end. */
  logged({ type, id, recipient }: { readonly type: EventType; readonly id: string; readonly recipient: string }): void {
    const mail = this.#byId.get(idFromText(id))
    assert.ok(mail, `${type} of ${id}, which nobody handed in`)
    fateOf(mail, recipient).logged.add(type)
  }

  // ---- Remote sites ----

  /** A remote site has the whole content and takes it for `address`. */
  take(content: Buffer, address: string, beganAt: number): Taking {
    const mail = this.#mailIn(content)
    const fate = fateOf(mail, address)
    const name = `${mail.key} <${address}>`
    assert.notEqual(mail.state, 'refused', `${name} was refused and is delivered`)
    for (const { state, toldAt, excused } of fate.takings)
      assert.ok(
        state !== 'told' || excused || fate.doubtful || toldAt > beganAt,
        `${name} is sent again, although the site had taken it and said so`,
      )
    for (const at of fate.reports.get('failed')?.values() ?? []) assert.ok(at > beganAt, `${name} was returned and is sent again`)
    const taking: Taking = { mail, fate, beganAt, state: 'open', toldAt: 0, excused: false, settled: false }
    fate.takings.push(taking)
    return taking
  }

  /** The reply reached the client that sent it. */
  told(taking: Taking): void {
    if (taking.state !== 'open') return
    taking.state = 'told'
    taking.toldAt = this.#now()
    this.#open.add(taking)
    this.#moment(taking.mail.id)
  }

  /** A thread or the power failed: what was told and is not on disk may be tried again. */
  crashed(): void {
    for (const taking of this.#open) {
      this.#open.delete(taking)
      if (this.pending(taking.mail.id, taking.fate.address)) taking.excused = true
      else taking.settled = true
    }
  }

  /** A deliver thread died that held these groups. */
  doubt(rows: readonly RowRef[]): void {
    for (const { id, group } of rows) {
      const mail = this.#byId.get(id)
      const value = this.indexes.get(shardDirectory(DATA_DIR, shardOf(id)))?.get(groupKey(id, group))
      if (mail && value) for (const { address } of decodeGroup(id, group, value).pending) fateOf(mail, address).doubtful = true
    }
  }

  /** Whether a recipient is pending on disk. */
  pending(id: MessageId, address: string): boolean {
    let found = false
    const { from, to } = idRange(GROUPS, id, id + 1)
    this.indexes.get(shardDirectory(DATA_DIR, shardOf(id)))?.scan(from, to, (key, start, _length, value, length) => {
      found ||= decodeGroup(id, groupOf(key, start), value.subarray(0, length)).pending.some((one) => one.address === address)
      return !found
    })
    return found
  }

  #mailIn(content: Buffer): Mail {
    const header = content.toString('latin1', 0, content.indexOf('\r\n\r\n') + 4)
    const token = /^X-Token: (\S+)\r$/m.exec(header)?.[1]
    const mail = token === undefined ? this.#reportIn(content) : this.#mails.get(token)
    assert.ok(mail, `a site was sent what nobody handed in: ${header}`)
    const tail = content.subarray(content.length - mail.content.length)
    assert.ok(tail.equals(mail.content), `${mail.key} was changed on its way`)
    return mail
  }

  /** Notifications are what we wrote, byte for byte. */
  #reportIn(content: Buffer): Mail | undefined {
    for (const draft of this.#drafts.values()) {
      if (!draft.dsn.body.equals(content)) continue
      // A reader may be faster than the word of the commit.
      this.stored(draft.id)
      return this.#byId.get(draft.id)
    }
    return undefined
  }

  // ---- The end ----

  /** Everything is settled: each recipient of what was taken has exactly one end, and each report that is owed was made. */
  close(hasDsn: (address: string) => boolean, logIsWhole: boolean): void {
    this.#logIsWhole = logIsWhole
    for (const mail of this.#mails.values()) for (const fate of mail.fates.values()) this.#closeFate(mail, fate, hasDsn)
  }

  #closeFate(mail: Mail, fate: Fate, hasDsn: (address: string) => boolean): void {
    const name = `${mail.key} ${mail.id < 0 ? '' : idToText(mail.id)} <${fate.address}>`
    const failed = fate.reports.get('failed')?.size ?? 0
    const told = fate.takings.filter(({ state }) => state === 'told')
    const sure = told.filter(({ excused }) => !excused).length
    assert.ok(sure <= 1 || fate.doubtful, `${name} was delivered ${sure} times, each of them on the books`)
    if (sure > 0 && !fate.doubtful) assert.ok(fate.logged.has('delivery'), `the delivery of ${name} is not logged`)
    if (mail.state !== 'taken') return
    assert.ok(fate.logged.has('reception') || !this.#logIsWhole, `the reception of ${name} is not logged`)
    const ended = fate.logged.has('bounce') || fate.logged.has('expiry')
    assert.ok(told.length > 0 || ended, `${name} was taken and is lost`)
    if (told.length === 0) {
      const wanted = mail.sender !== '' && (fate.notify === 0 || (fate.notify & Notify.failure) !== 0)
      assert.equal(failed, wanted ? 1 : 0, `${name} was given up; reports`)
    } else if (!ended) {
      const wanted = mail.sender !== '' && (fate.notify & Notify.success) !== 0 && !hasDsn(fate.address)
      const made = (fate.reports.get('relayed')?.size ?? 0) + (fate.reports.get('delivered')?.size ?? 0)
      assert.equal(made, wanted ? 1 : 0, `${name} was delivered; reports`)
    }
  }

  /** What became of the recipients, for the story of a run. */
  tally(): Record<string, number> {
    const tally = { taken: 0, refused: 0, unanswered: 0, delivered: 0, again: 0, returned: 0, reports: 0, excused: 0 }
    for (const mail of this.#mails.values()) {
      if (mail.key.startsWith('dsn:')) tally.reports++
      else if (mail.state === 'taken') tally.taken++
      else if (mail.state === 'refused') tally.refused++
      else tally.unanswered++
      for (const { takings, logged } of mail.fates.values()) {
        if (takings.length > 0) tally.delivered++
        else if (logged.has('bounce') || logged.has('expiry')) tally.returned++
        tally.again += Math.max(0, takings.length - 1)
        tally.excused += takings.filter(({ excused }) => excused).length
      }
    }
    return tally
  }
}

function makeMail(key: string, sender: string, recipients: readonly { address: string; notify: number }[], content: Buffer): Mail {
  const fates = recipients.map(({ address, notify }): [string, Fate] => [
    address,
    { address, notify, takings: [], reports: new Map(), doubtful: false, logged: new Set() },
  ])
  return { key, sender, content, fates: new Map(fates), id: -1, state: 'handed in' }
}

function fateOf(mail: Mail, address: string): Fate {
  const fate = mail.fates.get(address)
  assert.ok(fate, `${mail.key} has no recipient ${address}`)
  return fate
}
