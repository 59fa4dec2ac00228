// What one message costs the scheduler (announce -> grant -> settled), and what a backlog for a dead site costs in memory.
//
//   node --expose-gc bench/micro/queue/scheduler.bench.ts [--messages N] [--backlog N]

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ManualClock } from '../../../src/lib/clock.ts'
import { Prng } from '../../../src/lib/prng.ts'
import type { GrantItem, SchedulerHost } from '../../../src/queue/ports.ts'
import { Scheduler } from '../../../src/queue/schedule.ts'
import { limitsFor } from '../../../src/queue/shaping.ts'
import type { QueueRow, Settled } from '../../../src/spool/types.ts'

const START = 1_800_000_000_000
const DAY = 86_400_000

const { values } = parseArgs({
  options: { messages: { type: 'string', default: '200000' }, backlog: { type: 'string', default: '1000000' } },
})

/** Keeps connections and grants, so that the loop can answer them in batches as threads do. */
class BenchHost implements SchedulerHost {
  readonly questions: string[] = []
  readonly opened: number[] = []
  readonly closed: number[] = []
  readonly grants: { conn: number; items: readonly GrantItem[] }[] = []
  askRoute(domain: string): void {
    this.questions.push(domain)
  }
  openConnection(conn: number): void {
    this.opened.push(conn)
  }
  grant(conn: number, items: readonly GrantItem[]): void {
    this.grants.push({ conn, items })
  }
  closeConnection(conn: number): void {
    this.closed.push(conn)
  }
  expire(): void {}
  warn(): void {}
  bounce(): void {}
  backedOff(): void {}
  scan(): void {}
}

function rowFor(id: number, now: number, domains: number): QueueRow {
  return {
    id,
    group: 0,
    domain: `d${id % domains}.example`,
    tenant: `t${id % 20}`,
    class: id % 10 === 0 ? 0 : 1,
    priority: 0,
    due: now,
    expires: now + 5 * DAY,
    warnAt: now + DAY / 6,
    attempts: 0,
    recipients: 1,
    bytes: 4096,
    held: false,
  }
}

/** One round of a relay at 5,000 messages a second: 100 announced, whatever is granted is settled. */
function round(scheduler: Scheduler, host: BenchHost, clock: ManualClock, rows: readonly QueueRow[], domains: number): number {
  scheduler.announce(rows)
  for (const domain of host.questions.splice(0)) {
    const key = `site${Number(domain.slice(1, domain.indexOf('.'))) % Math.ceil(domains / 10)}`
    scheduler.routeAnswer(domain, { kind: 'site', site: { key, limits: limitsFor(key, ''), route: undefined }, ttlMs: DAY })
  }
  for (const conn of host.opened.splice(0)) {
    scheduler.connectionUp(conn)
    scheduler.pull(conn, 64)
  }
  clock.advance(20)
  let settled = 0
  for (const { conn, items } of host.grants.splice(0)) {
    const batch: Settled[] = []
    for (const { id, groups } of items) for (const group of groups) batch.push({ kind: 'gone', id, group })
    settled += batch.length
    scheduler.settled(batch)
    scheduler.pull(conn, 64)
  }
  for (const conn of host.closed.splice(0))
    scheduler.connectionDown(conn, { kind: 'closed', reply: { code: 0, enhanced: '', text: '' }, peer: '', messages: 0 })
  if (scheduler.nextTickAt() <= clock.now()) scheduler.tick()
  return settled
}

function flow(messages: number, domains: number): void {
  const clock = new ManualClock(START)
  const host = new BenchHost()
  const scheduler = new Scheduler(host, clock, new Prng(1))
  scheduler.deliverThreadUp(0)
  const batches: QueueRow[][] = []
  for (let id = 0; id < messages; id += 100) {
    batches.push(Array.from({ length: 100 }, (_, i) => rowFor(id + i, START + (id / 100) * 20, domains)))
  }
  let settled = 0
  const before = process.cpuUsage()
  for (const rows of batches) settled += round(scheduler, host, clock, rows, domains)
  while (settled < messages) settled += round(scheduler, host, clock, [], domains)
  const { user, system } = process.cpuUsage(before)
  report(`${messages} messages over ${domains} domains`, `${((user + system) / messages).toFixed(2)} µs CPU a message`)
}

function backlog(rows: number): void {
  globalThis.gc?.()
  const before = anonymousBytes()
  const clock = new ManualClock(START)
  const host = new BenchHost()
  const scheduler = new Scheduler(host, clock, new Prng(1))
  scheduler.deliverThreadUp(0)
  scheduler.announce([rowFor(0, START, 1)])
  scheduler.routeAnswer('d0.example', {
    kind: 'site',
    site: { key: 'dead', limits: limitsFor('dead', ''), route: undefined },
    ttlMs: 10 * DAY,
  })
  scheduler.connectionDown(host.opened[0] ?? 0, {
    kind: 'failed',
    reply: { code: 0, enhanced: '', text: 'refused' },
    peer: '',
    messages: 0,
  })
  const cpu = process.cpuUsage()
  for (let id = 1; id < rows; id += 1000) scheduler.announce(Array.from({ length: 1000 }, (_, i) => rowFor(id + i, START, 1)))
  const announced = process.cpuUsage(cpu)
  globalThis.gc?.()
  report(
    `${scheduler.residentCount} rows for a dead site`,
    `${((anonymousBytes() - before) / 1e6).toFixed(0)} MB, ${(anonymousBytes() / 1e6).toFixed(0)} MB RssAnon of the process`,
  )
  report('announcing them', `${((announced.user + announced.system) / rows).toFixed(2)} µs CPU a row`)
  const day = process.cpuUsage()
  let ticks = 0
  const until = START + DAY / 12
  for (; scheduler.nextTickAt() < until; ticks++) {
    clock.advance(Math.max(0, scheduler.nextTickAt() - clock.now()))
    scheduler.tick()
    for (const conn of host.opened.splice(0)) {
      scheduler.connectionDown(conn, { kind: 'failed', reply: { code: 0, enhanced: '', text: 'refused' }, peer: '', messages: 0 })
    }
  }
  const idle = process.cpuUsage(day)
  report('two hours of it dead', `${((idle.user + idle.system) / 1000).toFixed(1)} ms CPU, ${ticks} ticks`)
}

function anonymousBytes(): number {
  const match = /RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(match?.[1] ?? 0) * 1024
}

function report(what: string, figure: string): void {
  process.stdout.write(`${what.padEnd(44)} ${figure}\n`)
}

// First, so that nothing else is in memory.
backlog(Number(values.backlog))
flow(Number(values.messages), 1)
flow(Number(values.messages), 10)
flow(Number(values.messages), 1_000)
