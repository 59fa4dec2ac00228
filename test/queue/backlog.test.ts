// A queue that is longer than memory: heads stay, tails are left to the spool and come back when there is room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fairLevel } from '../../src/queue/backlog.ts'
import type { QueueRow } from '../../src/spool/types.ts'
import { bench, type Bench, drain, pass, REFUSED, routeTo, row, rowsOf, START, up } from './support.ts'

const LIMIT = 100

/** Answers the scan that was asked for with these groups. */
function answerScan(b: Bench, rows: readonly QueueRow[]): void {
  assert.equal(b.host.scans, 1)
  b.host.scans = 0
  b.scheduler.page(rows)
  b.scheduler.scanned(true)
}

/** Time passes until a scan is asked for; how long that took. */
function untilScan(b: Bench, msMax: number): number {
  const began = b.clock.now()
  while (b.host.scans === 0 && b.clock.now() - began < msMax) pass(b, 100)
  return b.clock.now() - began
}

test('a fair level gives every queue the same and wastes nothing', () => {
  assert.equal(fairLevel([10, 20, 70], 100), 100)
  assert.equal(fairLevel([10, 1_000, 1_000], 100), 45)
  assert.equal(fairLevel([1_000], 100), 100)
  assert.equal(fairLevel([5, 5, 5], 2), 1)
  assert.equal(fairLevel([], 100), 100)
})

test('up to the limit nothing is left out and no scan is asked for', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(rowsOf(LIMIT, 1))
  pass(b, 3_600_000)
  assert.deepEqual([b.scheduler.residentCount, b.scheduler.isPaging, b.host.scans], [LIMIT, false, 0])
})

test('a backlog for a dead site takes no place of a message for a live one', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(rowsOf(10_000, 1, { domain: 'dead.example' }))
  routeTo(b, 'dead.example', 'dead')
  b.scheduler.connectionDown(b.host.opened.at(-1)?.conn ?? 0, REFUSED)
  assert.ok(b.scheduler.residentCount <= LIMIT)
  b.scheduler.announce([row(20_000, { domain: 'live.example' })])
  routeTo(b, 'live.example', 'live')
  assert.deepEqual(drain(b, up(b)), [20_000])
})

test('heads stay: the first rows of each queue, the rest comes when the queue runs low', () => {
  const b = bench({ residentEntries: LIMIT })
  const rows = [...rowsOf(150, 1, { domain: 'a.example' }), ...rowsOf(150, 1_001, { domain: 'b.example' })]
  b.scheduler.announce(rows.map((one, index) => ({ ...one, due: START - 1_000_000 + index * 1_000 })))
  const ids = new Set(b.scheduler.rows({}).rows.map(({ id }) => id))
  assert.ok(ids.has(1) && ids.has(1_001))
  routeTo(b, 'a.example', 'a')
  const sent = new Set(drain(b, up(b)))
  assert.ok(sent.has(1) && sent.size < 150)
  while (sent.size < 150) {
    assert.ok(untilScan(b, 60_000) <= 10_000)
    answerScan(
      b,
      rows.filter(({ id }) => !sent.has(id)),
    )
    assert.ok(b.scheduler.residentCount <= LIMIT)
    for (const id of drain(b, up(b))) {
      assert.ok(!sent.has(id), `${id} twice`)
      sent.add(id)
    }
  }
})

test('a row in flight is passed over by a scan until its settlement is told', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(rowsOf(1, 1))
  routeTo(b)
  const conn = up(b)
  assert.deepEqual(b.host.takeIds(), [1])
  b.scheduler.page(rowsOf(1, 1))
  b.scheduler.pull(conn, 1)
  assert.deepEqual(b.host.takeIds(), [])
  b.scheduler.settled([{ kind: 'gone', id: 1, group: 0 }])
  assert.equal(b.scheduler.residentCount, 0)
})

test('what was left out is scanned for when it is due, and warned about and given up in time', () => {
  const b = bench({ residentEntries: LIMIT })
  const times = { warnAt: START + 60_000, expires: START + 120_000 }
  const rows = rowsOf(500, 1, { domain: 'dead.example', ...times })
  b.scheduler.announce(rows)
  assert.ok(untilScan(b, 300_000) <= 60_100)
  answerScan(b, rows)
  pass(b, 1_000)
  assert.equal(new Set(b.host.warned.map(({ id }) => id)).size, 500)
  const gone = new Set<number>()
  const unwarned = rows.map((one) => ({ ...one, warnAt: 0 }))
  for (let n = 0; n < 40 && gone.size < 500; n++) {
    untilScan(b, 60_000)
    if (b.host.scans > 0) {
      answerScan(
        b,
        unwarned.filter(({ id }) => !gone.has(id)),
      )
    }
    b.scheduler.settled(b.host.expired.map(({ id }) => ({ kind: 'gone', id, group: 0 })))
    for (const { id } of b.host.expired.splice(0)) gone.add(id)
  }
  assert.equal(gone.size, 500)
})

test('rows that are due later wait in the spool, and do not hide one that is due', () => {
  const b = bench({ residentEntries: LIMIT })
  const later = rowsOf(1_000, 1, { due: START + 600_000 })
  b.scheduler.announce(later)
  b.scheduler.announce([row(5_000)])
  routeTo(b)
  assert.deepEqual(drain(b, up(b)), [5_000])
  b.host.scans = 0
  untilScan(b, 600_000)
  answerScan(b, later)
  assert.ok(b.scheduler.residentCount <= LIMIT && b.scheduler.isPaging)
})

test('what is left out is explained by the limit that holds now, not by that of the start', () => {
  const b = bench({ residentEntries: LIMIT })
  assert.equal(b.scheduler.explainAbsent(), undefined)
  b.scheduler.announce(rowsOf(LIMIT + 1, 1))
  assert.match(b.scheduler.explainAbsent()?.value ?? '', /^100 in memory/)
  b.scheduler.configure({ residentEntries: 50 })
  assert.match(b.scheduler.explainAbsent()?.value ?? '', /^50 in memory/)
})

test('a scan that did not end is made again', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(rowsOf(101, 1))
  untilScan(b, 600_000)
  assert.equal(b.host.scans, 1)
  b.scheduler.scanned(false)
  assert.ok(b.scheduler.isPaging)
  b.host.scans = 0
  assert.ok(untilScan(b, 600_000) < 600_000)
  answerScan(b, rowsOf(40, 1))
  assert.ok(!b.scheduler.isPaging)
})

test('an operator reaches what is left out: a change makes it an entry', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(rowsOf(101, 1))
  const ids = new Set(b.scheduler.rows({}).rows.map(({ id }) => id))
  const out = rowsOf(101, 1).find(({ id }) => !ids.has(id))
  assert.ok(out)
  b.scheduler.settled([{ kind: 'changed', row: { ...out, held: true } }])
  assert.equal(b.scheduler.view([out])[0]?.state, 'held')
})

test('more queues than there is room for are bounded too', () => {
  const b = bench({ residentEntries: LIMIT })
  b.scheduler.announce(Array.from({ length: 1_000 }, (_, i) => row(i + 1, { domain: `d${i}.example` })))
  assert.ok(b.scheduler.residentCount <= LIMIT)
})
