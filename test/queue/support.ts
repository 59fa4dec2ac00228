// A scheduler with a host that writes down what it is told, for the unit tests of queue/.

import { ManualClock } from '../../src/lib/clock.ts'
import { Prng } from '../../src/lib/prng.ts'
import type {
  BackoffRecord,
  BlockedRow,
  ConnectionEnd,
  GrantItem,
  Reply,
  RowRef,
  SchedulerHost,
  SchedulerSettings,
  Site,
  SiteLimits,
} from '../../src/queue/ports.ts'
import { Scheduler } from '../../src/queue/schedule.ts'
import { limitsFor } from '../../src/queue/shaping.ts'
import { QueueClass, type QueueRow } from '../../src/spool/types.ts'

export const START = 1_800_000_000_000
export const DAY = 86_400_000

export interface Opened {
  readonly conn: number
  readonly thread: number
  readonly site: string
  readonly source: string
}

/** Writes down every call; tests read and empty the lists. */
export class RecordingHost implements SchedulerHost<string> {
  asked: string[] = []
  opened: Opened[] = []
  grants: { conn: number; items: readonly GrantItem[] }[] = []
  closed: number[] = []
  expired: BlockedRow[] = []
  warned: BlockedRow[] = []
  bounced: { rows: readonly RowRef[]; reply: Reply }[] = []
  backoffs: BackoffRecord[] = []
  scans = 0

  askRoute(domain: string): void {
    this.asked.push(domain)
  }
  openConnection(conn: number, thread: number, site: Site<string>, source: string): void {
    this.opened.push({ conn, thread, site: site.key, source })
  }
  grant(conn: number, items: readonly GrantItem[]): void {
    this.grants.push({ conn, items })
  }
  closeConnection(conn: number): void {
    this.closed.push(conn)
  }
  expire(rows: readonly BlockedRow[]): void {
    this.expired.push(...rows)
  }
  warn(rows: readonly BlockedRow[]): void {
    this.warned.push(...rows)
  }
  bounce(rows: readonly RowRef[], reply: Reply): void {
    this.bounced.push({ rows, reply })
  }
  backedOff(record: BackoffRecord): void {
    this.backoffs.push(record)
  }
  scan(): void {
    this.scans++
  }

  /** Ids granted since the last look, in order. */
  takeIds(): number[] {
    const ids = this.grants.flatMap(({ items }) => items.map((item) => item.id))
    this.grants = []
    return ids
  }
}

export interface Bench {
  readonly clock: ManualClock
  readonly host: RecordingHost
  readonly scheduler: Scheduler<string>
}

export function bench(settings: Partial<SchedulerSettings> = {}, threads = 1): Bench {
  const clock = new ManualClock(START)
  const host = new RecordingHost()
  const scheduler = new Scheduler<string>(host, clock, new Prng(1), settings)
  for (let index = 0; index < threads; index++) scheduler.deliverThreadUp(index)
  return { clock, host, scheduler }
}

export function row(id: number, fields: Partial<QueueRow> = {}): QueueRow {
  return {
    id,
    group: 0,
    domain: 'example.org',
    tenant: 'anna',
    class: QueueClass.bulk,
    priority: 0,
    due: START,
    expires: START + 5 * DAY,
    warnAt: 0,
    attempts: 0,
    recipients: 1,
    bytes: 1000,
    held: false,
    ...fields,
  }
}

/** Rows `from`, `from + 1`, … */
export function rowsOf(count: number, from: number, fields: Partial<QueueRow> = {}): QueueRow[] {
  return Array.from({ length: count }, (_, i) => row(from + i, fields))
}

export function site(key = 'site', limits: Partial<SiteLimits> = {}): Site<string> {
  return { key, limits: { ...limitsFor(key, ''), ...limits }, route: key }
}

export function routeTo(b: Bench, domain = 'example.org', key = 'site', limits: Partial<SiteLimits> = {}, ttlMs: number = DAY): void {
  b.scheduler.routeAnswer(domain, { kind: 'site', site: site(key, limits), ttlMs })
}

export const REFUSED: ConnectionEnd = {
  kind: 'failed',
  reply: { code: 0, enhanced: '4.4.1', text: 'connection refused' },
  peer: 'mx.example.org[192.0.2.1]:25',
  messages: 0,
}
export const CLOSED: ConnectionEnd = { ...REFUSED, kind: 'closed', reply: { code: 0, enhanced: '', text: '' } }
/** In the midst of the first message. */
export const BROKEN: ConnectionEnd = { ...REFUSED, kind: 'broken', reply: { code: 421, enhanced: '4.3.2', text: 'going down' } }

/** Time passes, and the scheduler's timer fires whenever it is due, as its thread does it. */
export function pass(b: Bench, ms: number): void {
  const until = b.clock.now() + ms
  for (;;) {
    const at = b.scheduler.nextTickAt()
    if (at > until) break
    b.clock.advance(Math.max(at - b.clock.now(), 0))
    b.scheduler.tick()
  }
  b.clock.advance(until - b.clock.now())
}

/** The last connection comes up and asks for `want`; its number. */
export function up(b: Bench, want = 1): number {
  const opened = b.host.opened.at(-1)
  if (!opened) throw new Error('no connection was opened')
  b.scheduler.connectionUp(opened.conn)
  b.scheduler.pull(opened.conn, want)
  return opened.conn
}

/** The last connection comes up and shows that it is fast, so that it gets work ahead; its number. It has not asked yet. */
export function upFast(b: Bench): number {
  b.scheduler.announce(rowsOf(30, 9_000_000, { priority: 9 }))
  const conn = up(b)
  for (let n = 1; n <= 30; n++) {
    b.scheduler.settled(b.host.takeIds().map((id) => ({ kind: 'gone', id, group: 0 })))
    if (n < 30) b.scheduler.pull(conn, 1)
  }
  return conn
}

/** Takes and settles one message after the other until none is granted any more; their ids in order. */
export function drain(b: Bench, conn: number, most = 100_000): number[] {
  const ids: number[] = []
  while (ids.length < most) {
    const items = b.host.grants.flatMap((grant) => grant.items)
    b.host.grants = []
    if (items.length === 0) break
    for (const item of items) {
      ids.push(item.id)
      b.scheduler.settled(item.groups.map((group) => ({ kind: 'gone', id: item.id, group })))
    }
    b.scheduler.pull(conn, 1)
  }
  return ids
}
