// What the control socket answers: one function a verb. Main thread; the spool is read, never written, here.

import { parseDuration } from '../config/units.ts'
import { systemClock } from '../lib/clock.ts'
import { prometheusText, type MetricsMemory } from '../lib/metrics.ts'
import { EventTail } from '../spool/events.ts'
import { idFromText, idToText, shardOf } from '../spool/ids.ts'
import { SpoolReader } from '../spool/reader.ts'
import type { AdminRef } from '../spool/ports.ts'
import { waitingIn, type Group } from '../spool/types.ts'
import { ControlError, type Caller, type Verb } from './control.ts'
import {
  envelopeRow,
  iso,
  linesOf,
  matchesEnvelope,
  matchesGroup,
  matchesLine,
  noAge,
  noId,
  lastReplyIn,
  splitHistory,
  storedOverlay,
  type Overlay,
  type QueueFilter,
  type QueueLine,
} from './queue-rows.ts'

const NOT_FOUND = 1
const USAGE = 2
const NOT_RUNNING = 69
/** Groups whose state is asked of the scheduler at once. */
const OVERLAY_BATCH = 500
/** Characters of a reason for a bounce: it is a sentence, in one line. */
const REASON_MAX = 300

/** A question to a thread; see threads/asker.ts. */
export interface ThreadAsker {
  ask(thread: string, verb: string, args: unknown, row?: (row: unknown) => void): Promise<void>
  stream(thread: string, verb: string, args: unknown, row: (row: unknown) => void): { done: Promise<void>; cancel: () => void }
}

export interface VerbContext {
  readonly dataDir: string
  readonly metrics: MetricsMemory
  readonly asker: ThreadAsker
  /** Names of the threads that are asked for live dialogues. */
  readonly threads: () => readonly string[]
  /** The net thread that owns a shard. */
  readonly ownerOf: (shard: number) => string
  /** Makes a thread throw, for tests of the supervision; false when it is down. */
  readonly throwIn: (thread: string) => boolean
  /** Whether every owner has opened its shards. */
  readonly spoolIsOpen: () => boolean
}

const FILTER_KEYS = ['id', 'domain', 'sender', 'recipient', 'tenant', 'site', 'state', 'older'] as const

function filterOf(args: Readonly<Record<string, unknown>>): QueueFilter {
  const filter: Record<string, string> = {}
  for (const key of FILTER_KEYS) {
    const value = args[key]
    if (value === undefined) continue
    if (typeof value !== 'string') throw new ControlError(USAGE, `${key} must be a text`)
    filter[key] = value
  }
  const { older } = filter
  if (older !== undefined && parseDuration(older) === undefined) throw new ControlError(USAGE, noAge(older))
  return filter
}

function reasonOf({ reason = '' }: Readonly<Record<string, unknown>>): string {
  if (typeof reason === 'string' && reason.length <= REASON_MAX && !/\p{Cc}/u.test(reason)) return reason
  throw new ControlError(USAGE, `reason must be a line of at most ${REASON_MAX} characters`)
}

/** The filter of an action, which must not mean everything by mistake. */
function wantedOf(action: string, args: Readonly<Record<string, unknown>>): QueueFilter {
  const filter = filterOf(args)
  if (Object.keys(filter).length === 0 && args['all'] !== true) throw new ControlError(USAGE, `${action} needs a filter, or all`)
  return filter
}

function idOf(args: Readonly<Record<string, unknown>>): number {
  const text = args['id']
  const id = typeof text === 'string' ? idFromText(text) : -1
  if (id < 0) throw new ControlError(USAGE, noId(String(text)))
  return id
}

/** What is counted in a line of `queue summary`. */
interface SiteCounts {
  readonly site: string
  scheduled: number
  ready: number
  held: number
}

const NO_SITE = { domains: 0, routing: 0, inFlight: 0, connections: 0, backoffUntil: 0, lastReply: '' }

function addStored(sites: Map<string, SiteCounts>, group: Group, overlay: Partial<Overlay>, now: number): void {
  if (overlay.state) return
  const site = overlay.site ?? group.domain
  let counts = sites.get(site)
  if (!counts) sites.set(site, (counts = { ...NO_SITE, site, scheduled: 0, ready: 0, held: 0 }))
  const { state } = storedOverlay(group, now)
  if (state !== 'active') counts[state]++
}

interface Listed {
  readonly group: Group
  readonly lines: readonly QueueLine[]
}

class QueueVerbs {
  readonly #context: VerbContext
  #reader: Promise<SpoolReader> | undefined

  constructor(context: VerbContext) {
    this.#context = context
  }

  /** A reader that is opened before the owners are up never sees what they write. */
  async reader(): Promise<SpoolReader> {
    if (!this.#context.spoolIsOpen())
      throw new ControlError(NOT_RUNNING, 'the server is starting and has not opened its spool yet; try again')
    this.#reader ??= SpoolReader.open(this.#context.dataDir).catch((error: unknown) => {
      this.#reader = undefined
      throw error
    })
    return this.#reader
  }

  /** Groups with at least one line that matches, with their live state, in batches. */
  async *listed(filter: QueueFilter): AsyncGenerator<readonly Listed[]> {
    const reader = await this.reader()
    reader.refresh()
    let batch: Group[] = []
    const groups = filter.id === undefined ? reader.groups() : reader.groupsOf(idOf({ id: filter.id }))
    for (const group of groups) {
      if (!matchesGroup(filter, group)) continue
      batch.push(group)
      if (batch.length < OVERLAY_BATCH) continue
      yield await this.#lines(reader, batch, filter)
      batch = []
    }
    yield await this.#lines(reader, batch, filter)
  }

  async #lines(reader: SpoolReader, groups: readonly Group[], filter: QueueFilter): Promise<Listed[]> {
    // Of the same moment as the groups: a message that is settled meanwhile is listed once more, never a gap.
    const envelopes = groups.map((group) => reader.message(group.id)?.envelope)
    const overlays = await this.#overlays(groups)
    const now = systemClock.now()
    const listed: Listed[] = []
    for (const [index, group] of groups.entries()) {
      const envelope = envelopes[index]
      if (!envelope || !matchesEnvelope(filter, envelope, now)) continue
      const overlay = { ...storedOverlay(group, now), ...overlays[index] }
      const lines = linesOf(group, envelope, overlay).filter((line) => matchesLine(filter, line))
      if (lines.length > 0) listed.push({ group, lines })
    }
    return listed
  }

  /** What the scheduler knows: the site alone of a group that is not in its memory. */
  async #overlays(groups: readonly Group[]): Promise<Partial<Overlay>[]> {
    let overlays: Partial<Overlay>[] = []
    if (groups.length === 0) return overlays
    const refs = groups.map(({ id, group, domain }) => ({ id, group, domain }))
    await this.#context.asker.ask('scheduler', 'overlay', refs, (row) => {
      overlays = row as Partial<Overlay>[]
    })
    return overlays
  }

  list: Verb = async (args, caller) => {
    for await (const batch of this.listed(filterOf(args))) {
      for (const { lines } of batch) for (const line of lines) caller.row(line)
      await caller.drained()
      if (caller.gone) return 0
    }
    return 0
  }

  summary: Verb = async (_args, caller) => {
    const sites = new Map<string, SiteCounts>()
    await this.#context.asker.ask('scheduler', 'summary', {}, (row) => sites.set((row as SiteCounts).site, row as SiteCounts))
    let isPaging = false
    await this.#context.asker.ask('scheduler', 'paging', {}, (row) => (isPaging = row as boolean))
    if (isPaging) await this.#addStored(sites)
    for (const site of sites.values()) caller.row(site)
    return 0
  }

  /** Adds the groups that are in the spool only, above limits.residentEntriesMax. */
  async #addStored(sites: Map<string, SiteCounts>): Promise<void> {
    const reader = await this.reader()
    const now = systemClock.now()
    let batch: Group[] = []
    const add = async (): Promise<void> => {
      const overlays = await this.#overlays(batch)
      for (const [index, group] of batch.entries()) addStored(sites, group, overlays[index] ?? {}, now)
      batch = []
    }
    for (const group of reader.groups()) if (batch.push(group) === OVERLAY_BATCH) await add()
    await add()
  }

  show: Verb = async (args, caller) => {
    const id = idOf(args)
    const reader = await this.reader()
    reader.refresh()
    const message = reader.message(id)
    if (!message) throw new ControlError(NOT_FOUND, `no message ${idToText(id)} is in the queue`)
    caller.row(envelopeRow(message.envelope))
    for await (const batch of this.listed({ id: idToText(id) })) for (const { lines } of batch) for (const line of lines) caller.row(line)
    return 0
  }

  /** Hold, release or remove what matches; answers one row with the number of groups changed. */
  change(action: string): Verb {
    return async (args, caller) => {
      const filter = wantedOf(action, args)
      let changed = 0
      for await (const batch of this.listed(filter)) changed += await this.#apply(action, batch)
      caller.row({ action, changed })
      return changed > 0 ? 0 : NOT_FOUND
    }
  }

  /** What matches is due now; what is held too, but goes when it is released, and is counted apart. */
  retry: Verb = async (args, caller) => {
    const filter = wantedOf('retry', args)
    const counts = { changed: 0, held: 0 }
    for await (const batch of this.listed(filter)) {
      const isHeld = ({ group }: Listed): boolean => group.held
      counts.held += await this.#apply('retry', batch.filter(isHeld))
      counts.changed += await this.#apply(
        'retry',
        batch.filter((one) => !isHeld(one)),
      )
    }
    caller.row({ action: 'retry', ...counts })
    return counts.changed > 0 ? 0 : NOT_FOUND
  }

  /** Bounces what matches, but for what is on its way: it may arrive, and its sender would be told that it did not. */
  bounce: Verb = async (args, caller) => {
    const filter = wantedOf('bounce', args)
    const reason = reasonOf(args)
    const counts = { changed: 0, active: 0 }
    for await (const batch of this.listed(filter)) {
      const waiting = batch.filter(({ lines }) => lines[0]?.state !== 'active')
      counts.active += batch.length - waiting.length
      counts.changed += await this.#apply('bounce', waiting, reason)
    }
    caller.row({ action: 'bounce', ...counts })
    return counts.changed > 0 ? 0 : NOT_FOUND
  }

  async #apply(action: string, batch: readonly Listed[], reason = ''): Promise<number> {
    const byOwner = new Map<string, AdminRef[]>()
    for (const { group, lines } of batch) {
      const owner = this.#context.ownerOf(shardOf(group.id))
      const refs = byOwner.get(owner) ?? []
      const isWhole = lines.length === waitingIn(group).length
      refs.push({ id: group.id, group: group.group, only: isWhole ? undefined : lines.map(({ recipient }) => recipient) })
      byOwner.set(owner, refs)
    }
    let changed = 0
    for (const [owner, refs] of byOwner) {
      await this.#context.asker.ask(owner, 'admin', { action, refs, reason }, (row) => {
        changed += row as number
      })
    }
    // A retry also forgets the back-off of the sites concerned.
    if (action === 'retry') await this.#context.asker.ask('scheduler', 'wake', [...new Set(batch.map(({ group }) => group.domain))])
    return changed
  }

  explain: Verb = async (args, caller) => {
    const id = idOf(args)
    const reader = await this.reader()
    reader.refresh()
    // The queue first: what takes a group out of it was written to the log before.
    const groups = [...reader.groupsOf(id)]
    const events = await EventTail.open(this.#context.dataDir)
    const history = await events.historyOf(idToText(id))
    if (groups.length === 0 && history.length === 0)
      throw new ControlError(NOT_FOUND, `nothing is known of ${idToText(id)}: not in the queue, and no event names it`)
    const { parts, rest } = splitHistory(groups, history)
    for (const [index, row] of (await this.#explanations(groups)).entries()) {
      const group = groups[index] as Group
      const recipients = waitingIn(group).map(({ address }) => address)
      const { state, lastReply } = row
      const known = state === 'unknown' ? storedExplanation(group) : {}
      const said = group.lastReply || lastReply || ''
      caller.row({ id: idToText(id), recipients, ...row, ...known, lastReply: said, history: parts[index] })
      await caller.drained()
    }
    if (rest.length > 0)
      caller.row({ id: idToText(id), state: 'done', nextAttempt: '', binding: null, lastReply: lastReplyIn(rest), history: rest })
    return 0
  }

  /** What the scheduler says of each. */
  async #explanations(groups: readonly Group[]): Promise<{ state: string; lastReply?: string }[]> {
    const rows: { state: string; lastReply?: string }[] = []
    for (let at = 0; at < groups.length; at += OVERLAY_BATCH) {
      const refs = groups.slice(at, at + OVERLAY_BATCH).map(({ id, group }) => ({ id, group }))
      await this.#context.asker.ask('scheduler', 'explain', refs, (row) => void rows.push(row as { state: string; lastReply?: string }))
    }
    return rows
  }
}

/** Of a group that the scheduler does not have in memory. */
function storedExplanation(group: Group): object {
  const { site, state, nextAttempt } = storedOverlay(group, systemClock.now())
  // Whether there is room in memory does not matter to what waits for an operator.
  const binding = group.held && { binding: { limit: 'held', value: 'until released', origin: 'operator' } }
  return { domain: group.domain, site, state, nextAttempt: iso(nextAttempt), ...binding }
}

/** Streams rows of several threads until the caller goes away. */
function trace(context: VerbContext, direction: 'in' | 'out'): Verb {
  return async (args, caller: Caller) => {
    const match = typeof args['match'] === 'string' ? args['match'] : ''
    const wanted = direction === 'in' ? 'net.' : 'deliver.'
    let leftOut = 0
    const show = (row: unknown): void => {
      if (caller.congested) return void leftOut++
      if (leftOut > 0)
        caller.row({ time: new Date(systemClock.now()).toISOString(), connection: 0, direction: 'note', text: `${leftOut} lines left out` })
      leftOut = 0
      caller.row(row)
    }
    const streams = context
      .threads()
      .filter((name) => name.startsWith(wanted))
      .map((name) => context.asker.stream(name, 'trace', { match }, show))
    caller.onGone(() => streams.forEach((stream) => stream.cancel()))
    await Promise.all(streams.map((stream) => stream.done))
    return 0
  }
}

/** Groups without a row in memory. */
async function pagedOut(context: VerbContext, inMemory: Readonly<Record<string, number>>): Promise<number> {
  let groups = 0
  const owners = context.threads().filter((name) => name.startsWith('net.'))
  await Promise.all(owners.map((name) => context.asker.ask(name, 'groups', {}, (row) => (groups += row as number))))
  return Math.max(
    0,
    Object.values(inMemory).reduce((left, n) => left - n, groups),
  )
}

function metrics(context: VerbContext): Verb {
  return async (_args, caller) => {
    const queue: Record<string, number> = {}
    let isPaging = false
    await context.asker.ask('scheduler', 'counts', {}, (row) => Object.assign(queue, row))
    await context.asker.ask('scheduler', 'paging', {}, (row) => (isPaging = row as boolean))
    caller.row(prometheusText(context.metrics, { ...queue, paged: isPaging ? await pagedOut(context, queue) : 0 }))
    return 0
  }
}

function throwIn(context: VerbContext): Verb {
  return (args) => {
    const thread = String(args['thread'])
    const names = context.threads()
    if (!names.includes(thread)) return Promise.reject(new ControlError(USAGE, `no such thread: ${thread}; there are ${names.join(', ')}`))
    if (!context.throwIn(thread)) return Promise.reject(new ControlError(NOT_RUNNING, `thread ${thread} is not up yet; try again`))
    return Promise.resolve(0)
  }
}

/** All verbs by name. */
export function makeVerbs(context: VerbContext): ReadonlyMap<string, Verb> {
  const queue = new QueueVerbs(context)
  const verbs: [string, Verb][] = [
    ['queue.list', queue.list],
    ['queue.summary', queue.summary],
    ['queue.show', queue.show],
    ...['hold', 'release', 'remove'].map((action): [string, Verb] => [`queue.${action}`, queue.change(action)]),
    ['queue.retry', queue.retry],
    ['queue.bounce', queue.bounce],
    ['explain', queue.explain],
    ['trace.in', trace(context, 'in')],
    ['trace.out', trace(context, 'out')],
    ['metrics', metrics(context)],
    ['debug.throw', throwIn(context)],
  ]
  return new Map(verbs)
}
