// One suite for every disk that the spool runs on. Run by node.test.ts and memory.test.ts.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EventTail } from '../../src/spool/events.ts'
import type { LoggedEvent } from '../../src/spool/events.ts'
import { idFromText, idToText, sequenceOf, shardOf } from '../../src/spool/ids.ts'
import { spoolDirectory } from '../../src/spool/layout.ts'
import type { DsnFacts } from '../../src/spool/ports.ts'
import { MessageGoneError, SpoolReader } from '../../src/spool/reader.ts'
import { EnvelopeFlag, Notify, Outcome, QueueClass } from '../../src/spool/types.ts'
import type { QueueRow } from '../../src/spool/types.ts'
import { Bench, bodyOf, DAY, drive, HOUR, MINUTE, optionsOf, plainDsn, to, turns } from './support.ts'
import type { World } from './support.ts'

const deferred = { outcome: Outcome.deferred, code: 450, enhanced: '4.2.1', text: 'try later' } as const
const bounced = { outcome: Outcome.bounced, code: 550, enhanced: '5.1.1', text: 'no such user' } as const
const RED = to('red@one.example')
const BLUE = to('blue@one.example')
const GREEN = to('green@two.example')

/** The rows of the last announcement that belong to `id`. */
function rowsOf(bench: Bench, id: number): QueueRow[] {
  return bench.host.rows.filter((row) => row.id === id)
}

async function eventsOf(bench: Bench): Promise<LoggedEvent[]> {
  const { dataDir, disk, clock } = bench.world
  const tail = await bench.drive(EventTail.open(dataDir, { disk, clock, holdBackMs: 0 }))
  const lines = await bench.drive(tail.poll())
  return lines.map(({ line }) => JSON.parse(line) as LoggedEvent)
}

export function spoolSuite(name: string, makeWorld: () => World): void {
  /** A test with an owner; what it leaves behind is checked. */
  const test = (title: string, body: (bench: Bench, world: World) => Promise<Bench | void>): void => {
    it(title, async () => {
      const world = makeWorld()
      try {
        const bench = await Bench.open(world)
        const last = (await body(bench, world)) ?? bench
        await last.finish()
      } finally {
        world.end()
      }
    })
  }

  describe(`${name}: accepting`, () => {
    test('a short message is stored inline with its envelope', async (bench) => {
      const body = bodyOf(4096, 1)
      const details = { envid: 'QQ123', priority: 3, deliverBy: 5, flags: EnvelopeFlag.eightBit, class: QueueClass.bulk } as const
      const id = await bench.accept([RED], body, details)
      const reader = await bench.reader()
      const message = reader.message(id)
      assert.deepEqual(message?.inline, body)
      const expected = { id, sender: 'anna@sender.example', tenant: 'acme', account: 'acme', client: '192.0.2.7', bytes: 4096, ...details }
      assert.deepEqual({ ...message?.envelope, acceptedAt: 0 }, { ...expected, acceptedAt: 0 })
      await bench.drive(reader.close())
    })

    for (const bytes of [0, 1, 16_383, 16_384, 16_385, 81_920, 300_001]) {
      test(`a body of ${bytes} bytes comes back as it was`, async (bench) => {
        const body = bodyOf(bytes, bytes)
        assert.deepEqual(await bench.body(await bench.accept([RED], body)), body)
      })
    }

    test('bodies that are streamed at the same time do not mix', async (bench) => {
      const bodies = [1, 2, 3, 4].map((seed) => bodyOf(200_000 + seed, seed))
      const intakes = bodies.map(() => bench.owner.openMessage())
      for (let at = 0; at < 200_010; at += 7001) {
        intakes.forEach((intake, i) => {
          const body = bodies[i] as Buffer
          if (at < body.length) intake.write(body, at, Math.min(at + 7001, body.length))
        })
        await bench.drive(Promise.resolve())
      }
      const results = await bench.drive(Promise.all(intakes.map((intake) => bench.commit(intake, [RED]))))
      assert.deepEqual(results, [undefined, undefined, undefined, undefined])
      for (let i = 0; i < 4; i++) assert.deepEqual(await bench.body((intakes[i] as (typeof intakes)[0]).id), bodies[i])
    })

    test('recipients are grouped by routing domain, a thousand a group', async (bench) => {
      const many = Array.from({ length: 2001 }, (_, i) => to(`user${i}@big.example`))
      const id = await bench.accept([GREEN, ...many, RED])
      assert.deepEqual(
        rowsOf(bench, id).map(({ group, domain, recipients }) => [group, domain, recipients]),
        [
          [0, 'two.example', 1],
          [1, 'big.example', 1000],
          [2, 'big.example', 1000],
          [3, 'big.example', 1],
          [4, 'one.example', 1],
        ],
      )
      const reader = await bench.reader()
      assert.deepEqual(reader.group(id, 2)?.pending[0], { address: 'user1000@big.example', notify: 0, orcpt: '' })
      await bench.drive(reader.close())
    })

    test('a row says when it is due, warned about and given up', async (bench) => {
      const at = bench.world.clock.now()
      const id = await bench.accept([to('x@one.example', 'one.example', Notify.never, 'rfc822;y@z.example')], undefined, { acceptedAt: at })
      const [row] = rowsOf(bench, id)
      assert.deepEqual(
        [row?.due, row?.warnAt, row?.expires, row?.attempts, row?.held, row?.class],
        [at, at + 4 * HOUR, at + 5 * DAY, 0, false, QueueClass.bulk],
      )
      const reader = await bench.reader()
      assert.deepEqual(reader.group(id, 0)?.pending, [{ address: 'x@one.example', notify: Notify.never, orcpt: 'rfc822;y@z.example' }])
      await bench.drive(reader.close())
    })

    test('release time and delivery deadline move the times', async (bench) => {
      const at = bench.world.clock.now()
      const later = await bench.accept([RED], undefined, { acceptedAt: at, releaseAt: at + DAY, priority: 1 })
      const returned = await bench.accept([RED], undefined, { acceptedAt: at, deliverBy: at + HOUR, flags: EnvelopeFlag.deliverByReturn })
      const notified = await bench.accept([RED], undefined, { acceptedAt: at, deliverBy: at + HOUR })
      const times = [later, returned, notified].map((id) =>
        rowsOf(bench, id).map((row) => [row.due - at, row.warnAt - at, row.expires - at]),
      )
      assert.deepEqual(times, [[[DAY, DAY + 4 * HOUR, 6 * DAY]], [[0, 4 * HOUR, HOUR]], [[0, HOUR, 5 * DAY]]])
      assert.equal(rowsOf(bench, later)[0]?.class, QueueClass.transactional)
    })

    test('an aborted message leaves nothing', async (bench) => {
      const intake = bench.owner.openMessage()
      const body = bodyOf(100_000, 3)
      intake.write(body, 0, body.length)
      intake.abort()
      await bench.drive(bench.owner.flush())
      assert.deepEqual({ ...bench.owner.counts(), commits: 0 }, { commits: 0, messages: 0, groups: 0, segmentBytes: 0 })
      assert.equal(await bench.body(intake.id), undefined)
    })

    test('a reader of the backlog is told when it has drained', async (bench) => {
      const intake = bench.owner.openMessage()
      const body = bodyOf(1_000_000, 4)
      intake.write(body, 0, body.length)
      assert.ok(intake.backlogBytes() > 256 * 1024)
      await bench.drive(new Promise<void>((resolve) => intake.onDrain(resolve)))
      assert.ok(intake.backlogBytes() < 256 * 1024)
      intake.abort()
    })

    test('messages of one turn share a commit', async (bench) => {
      const before = bench.owner.counts().commits
      const messages = Array.from({ length: 20 }, (_, i) => bench.begin([RED], bodyOf(1000, i)))
      await bench.drive(Promise.all(messages.map(({ result }) => result)))
      assert.ok(bench.owner.counts().commits - before <= 2)
      assert.equal(bench.host.rows.length, 20)
    })
  })

  describe(`${name}: settling`, () => {
    test('the last delivery removes message, body and counter', async (bench) => {
      const id = await bench.accept([RED, GREEN], bodyOf(100_000, 1))
      assert.deepEqual(await bench.settle(bench.settlement({ id, group: 0 }, [{}])), [{ kind: 'gone', id, group: 0 }])
      assert.equal((await bench.body(id))?.length, 100_000)
      assert.deepEqual(await bench.settle(bench.settlement({ id, group: 1 }, [{}])), [{ kind: 'gone', id, group: 1 }])
      assert.equal(await bench.body(id), undefined)
      assert.deepEqual({ ...bench.owner.counts(), commits: 0 }, { commits: 0, messages: 0, groups: 0, segmentBytes: 0 })
    })

    test('both groups of a message can end in one commit', async (bench) => {
      const id = await bench.accept([RED, GREEN])
      await bench.settle(bench.settlement({ id, group: 0 }, [{}]), bench.settlement({ id, group: 1 }, [{}]))
      assert.equal(bench.owner.counts().messages, 0)
    })

    test('a deferral keeps its recipient and is due by the retry policy, within ten per cent', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      let row = rowsOf(bench, id)[0] as QueueRow
      for (const minutes of [5, 10, 20, 40, 80, 160, 240, 240]) {
        bench.world.clock.advance(1000)
        const [outcome] = await bench.settle(bench.settlement(row, [deferred], { places: 2 }))
        assert.ok(outcome?.kind === 'rescheduled')
        const finishedAt = bench.world.clock.now()
        assert.ok(Math.abs(outcome.row.due - finishedAt - minutes * MINUTE) <= 0.1 * minutes * MINUTE + 1000, `${minutes} minutes`)
        row = outcome.row
      }
      assert.deepEqual([row.attempts, row.recipients], [8, 2])
      const reader = await bench.reader()
      assert.equal(reader.group(id, 0)?.lastReply, '450 4.2.1 try later')
      await bench.drive(reader.close())
    })

    test('the next attempt is never after the end of the group', async (bench) => {
      const id = await bench.accept([RED], undefined, { deliverBy: bench.world.clock.now() + MINUTE, flags: EnvelopeFlag.deliverByReturn })
      const [outcome] = await bench.settle(bench.settlement({ id, group: 0 }, [deferred]))
      assert.ok(outcome?.kind === 'rescheduled')
      assert.equal(outcome.row.due, outcome.row.expires)
    })

    test('partial success is kept by recipient', async (bench) => {
      const id = await bench.accept([RED, BLUE, to('black@one.example')])
      const [outcome] = await bench.settle(bench.settlement({ id, group: 0 }, [{}, deferred, bounced]))
      assert.ok(outcome?.kind === 'rescheduled')
      assert.equal(outcome.row.recipients, 1)
      const reader = await bench.reader()
      const last = { code: 450, enhanced: '4.2.1', text: 'try later' }
      assert.deepEqual(reader.group(id, 0)?.pending, [{ address: 'blue@one.example', notify: 0, orcpt: '', last }])
      await bench.drive(reader.close())
    })

    test('a recipient without a result stays pending', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      const [outcome] = await bench.settle(bench.settlement({ id, group: 0 }, [{}], { places: 2 }))
      assert.ok(outcome?.kind === 'rescheduled' && outcome.row.recipients === 1)
    })

    test('an attempt beside one whose outcome came late does not settle another recipient in place of its own', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      const late = bench.settlement({ id, group: 0 }, [{ outcome: Outcome.bounced, code: 550 }, deferred])
      bench.world.clock.advance(5_000)
      await bench.settle(late, bench.settlement({ id, group: 0 }, [{}, deferred]))
      const reader = await bench.reader()
      assert.deepEqual(
        reader.group(id, 0)?.pending.map(({ address }) => address),
        [BLUE.address],
      )
      await bench.drive(reader.close())
    })

    test('an unknown group is gone, and an empty batch is acknowledged', async (bench) => {
      const id = await bench.accept([RED])
      assert.deepEqual(await bench.settle(bench.settlement({ id, group: 9 }, [{}])), [{ kind: 'gone', id, group: 9 }])
      assert.deepEqual(await bench.settle(bench.settlement({ id: id + 1, group: 0 }, [{}])), [{ kind: 'gone', id: id + 1, group: 0 }])
      assert.deepEqual(await bench.settle(), [])
    })

    test('a settlement that is sent again changes nothing', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      const once = bench.settlement({ id, group: 0 }, [bounced, deferred])
      const first = await bench.settle(once)
      const notifications = bench.host.rows.length
      assert.deepEqual(await bench.settle(once), first)
      assert.equal(bench.host.rows.length, notifications)
    })

    test('two settlements of one group in one batch are applied one after the other', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      const row = { id, group: 0 }
      const now = bench.world.clock.now()
      const outcomes = await bench.settle(
        bench.settlement(row, [{}, deferred]),
        bench.settlement(row, [{}], { startedAt: now + 1, finishedAt: now + 2 }),
      )
      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ['rescheduled', 'gone'],
      )
    })

    test('a bounce sends its notification in the same commit', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      const commits = bench.owner.counts().commits
      await bench.settle(bench.settlement({ id, group: 0 }, [bounced, {}]))
      assert.equal(bench.owner.counts().commits, commits + 1)
      const notification = bench.host.rows.at(-1) as QueueRow
      assert.equal(notification.domain, 'sender.example')
      assert.match(
        (await bench.body(notification.id))?.toString() ?? '',
        /^To: anna@sender\.example\r\n\r\nfailed red@one\.example 5\.1\.1 .*\r\n$/,
      )
      assert.equal(bench.owner.counts().messages, 1)
    })

    test('a notification is not notified about', async (bench) => {
      const id = await bench.accept([RED])
      await bench.settle(bench.settlement({ id, group: 0 }, [bounced]))
      const rows = bench.host.rows.length
      await bench.settle(bench.settlement(bench.host.rows.at(-1) as QueueRow, [bounced]))
      assert.equal(bench.host.rows.length, rows)
      assert.equal(bench.owner.counts().messages, 0)
    })

    const NOTIFY_CASES: readonly (readonly [string, number, object, object, string])[] = [
      ['no NOTIFY, failure', 0, bounced, {}, 'failed'],
      ['no NOTIFY, success', 0, {}, {}, ''],
      ['NEVER, failure', Notify.never, bounced, {}, ''],
      ['SUCCESS, failure', Notify.success, bounced, {}, ''],
      ['FAILURE, failure', Notify.failure, bounced, {}, 'failed'],
      ['SUCCESS, handed to a peer without DSN', Notify.success, {}, {}, 'relayed'],
      ['SUCCESS, handed to a peer with DSN', Notify.success, {}, { peerDsn: true }, ''],
      ['SUCCESS, delivered by LMTP', Notify.success, {}, { site: 'lmtp://127.0.0.1:24', peerDsn: false }, 'delivered'],
      ['SUCCESS, passed on by LMTP with DSN', Notify.success, {}, { site: 'lmtp://127.0.0.1:24', peerDsn: true }, ''],
      ['FAILURE, deferred', Notify.failure, deferred, {}, ''],
    ]
    for (const [title, notify, result, changes, action] of NOTIFY_CASES) {
      test(`NOTIFY is kept: ${title}`, async (bench) => {
        const id = await bench.accept([to('red@one.example', 'one.example', notify), BLUE])
        const before = bench.host.rows.length
        await bench.settle(bench.settlement({ id, group: 0 }, [result, {}], changes))
        const notification = bench.host.rows[before]
        const text = notification && (await bench.body(notification.id))?.toString()
        assert.equal(text?.match(/(\S+) red/)?.[1] ?? '', action)
      })
    }

    test('a DELIVERBY trace reports relaying without being asked by NOTIFY', async (bench) => {
      const id = await bench.accept([RED], undefined, { flags: EnvelopeFlag.deliverByTrace, deliverBy: bench.world.clock.now() + HOUR })
      await bench.settle(bench.settlement({ id, group: 0 }, [{}], { peerDsn: true }))
      assert.match((await bench.body((bench.host.rows.at(-1) as QueueRow).id))?.toString() ?? '', /relayed red/)
    })

    test('a DELIVERBY time that the peer does not know is reported when the message is relayed, one that it was told is not', async (bench) => {
      const envelope = { deliverBy: bench.world.clock.now() + HOUR }
      for (const peerDeliverBy of [true, false]) {
        const id = await bench.accept([RED], undefined, envelope)
        const before = bench.host.rows.length
        await bench.settle(bench.settlement({ id, group: 0 }, [{}], { peerDsn: true, peerDeliverBy }))
        assert.equal(bench.host.rows.length - before, peerDeliverBy ? 0 : 1)
      }
      assert.match((await bench.body((bench.host.rows.at(-1) as QueueRow).id))?.toString() ?? '', /relayed red/)
    })

    test('a notification quotes the start of a long message, and may be long itself', async (bench, world) => {
      await bench.close()
      const seen: DsnFacts[] = []
      const composeDsn = (facts: DsnFacts): ReturnType<typeof plainDsn> => {
        seen.push(facts)
        const dsn = plainDsn(facts)
        return dsn && { ...dsn, body: Buffer.concat([dsn.body, facts.content]) }
      }
      const again = await Bench.open(world, { composeDsn })
      const body = bodyOf(300_000, 5)
      const id = await again.accept([RED], body)
      await again.settle(again.settlement({ id, group: 0 }, [bounced]))
      const [facts] = seen
      assert.deepEqual(facts?.content, body.subarray(0, 65_536))
      assert.deepEqual([facts?.complete, facts?.peer, facts?.site], [false, 'mx[192.0.2.1]:25', 'smtp://192.0.2.1:25'])
      const stored = await again.body((again.host.rows.at(-1) as QueueRow).id)
      assert.deepEqual(stored?.subarray(-65_536), body.subarray(0, 65_536))
      return again
    })

    test('a composer may decline', async (bench, world) => {
      await bench.close()
      const again = await Bench.open(world, { composeDsn: () => undefined })
      const id = await again.accept([RED])
      await again.settle(again.settlement({ id, group: 0 }, [bounced]))
      assert.equal(again.owner.counts().messages, 0)
      return again
    })

    test('settlements alone wait for company, but not long', async (bench) => {
      const id = await bench.accept([RED])
      await bench.drive(bench.owner.flush())
      let acknowledged = false
      const { commits } = bench.owner.counts()
      bench.owner.settle([bench.settlement({ id, group: 0 }, [{}])], () => (acknowledged = true))
      bench.world.clock.advance(19)
      await turns()
      assert.equal(bench.owner.counts().commits, commits)
      bench.world.clock.advance(1)
      await bench.drive(bench.owner.flush())
      assert.ok(acknowledged)
    })
  })

  describe(`${name}: time and operators`, () => {
    test('an expired group is given up with a notification', async (bench) => {
      const id = await bench.accept([RED, BLUE])
      bench.world.clock.advance(5 * DAY + MINUTE)
      bench.owner.expire([{ id, group: 0, reply: { code: 421, enhanced: '4.3.2', text: 'busy' }, peer: 'mx:25' }])
      await bench.drive(bench.owner.flush())
      assert.deepEqual(bench.host.outcomes, [{ kind: 'gone', id, group: 0 }])
      assert.match((await bench.body((bench.host.rows.at(-1) as QueueRow).id))?.toString() ?? '', /failed red@one.example 4.3.2/)
      const expiry = bench.host.events.find(({ type }) => type === 'expiry')
      assert.deepEqual([expiry?.code, expiry?.reply], [421, 'delivery time expired; last reply: 421 4.3.2 busy'])
    })

    test('a group is not given up before its time', async (bench) => {
      const id = await bench.accept([RED])
      bench.owner.expire([{ id, group: 0 }])
      await bench.drive(bench.owner.flush())
      assert.equal(bench.host.outcomes[0]?.kind, 'rescheduled')
      assert.equal(bench.owner.counts().groups, 1)
    })

    test('who is struck while an attempt is under way does not move the places of the others', async (bench) => {
      const id = await bench.accept([RED, BLUE, to('rosa@one.example')])
      assert.equal(await bench.drive(bench.owner.admin('remove', [{ id, group: 0, only: ['red@one.example'] }])), 1)
      assert.equal(await bench.drive(bench.owner.admin('bounce', [{ id, group: 0, only: ['red@one.example'] }])), 0)
      // The attempt began before: the results are those of all three.
      const [outcome] = await bench.settle(bench.settlement({ id, group: 0 }, [deferred, { index: 1 }, { index: 2, ...deferred }]))
      assert.equal(outcome?.kind === 'rescheduled' && outcome.row.recipients, 1)
      const reader = await bench.reader()
      assert.deepEqual(
        reader.group(id, 0)?.pending.map(({ address }) => address),
        ['rosa@one.example'],
      )
      await bench.drive(reader.close())
      assert.equal(await bench.drive(bench.owner.admin('remove', [{ id, group: 0, only: ['rosa@one.example'] }])), 1)
      assert.equal(bench.owner.counts().messages, 0)
    })

    test('a delay is notified once', async (bench) => {
      const id = await bench.accept([RED, to('quiet@one.example', 'one.example', Notify.failure)])
      bench.world.clock.advance(4 * HOUR)
      bench.owner.warn([{ id, group: 0 }])
      await bench.drive(bench.owner.flush())
      bench.owner.warn([{ id, group: 0 }])
      await bench.drive(bench.owner.flush())
      assert.deepEqual(
        bench.host.outcomes.map((outcome) => outcome.kind === 'changed' && outcome.row.warnAt),
        [0, 0],
      )
      assert.equal(bench.host.rows.length, 2)
      const text = (await bench.body((bench.host.rows.at(-1) as QueueRow).id))?.toString() ?? ''
      assert.match(text, /delayed red@one.example/)
      assert.doesNotMatch(text, /quiet/)
    })

    test('each recipient is reported with what it was told itself, and by whom', async (bench) => {
      const id = await bench.accept([RED, to('rosa@one.example', 'one.example')])
      const grey = { outcome: Outcome.deferred, code: 451, enhanced: '4.7.1', text: 'greylisted' } as const
      await bench.settle(bench.settlement({ id, group: 0 }, [deferred, { index: 1, ...grey }], { peer: 'mx.one.example[192.0.2.1]:25' }))
      assert.deepEqual(
        (await bench.reader()).group(id, 0)?.pending.map(({ last }) => last?.text),
        ['try later', 'greylisted'],
      )
      bench.world.clock.advance(4 * HOUR)
      bench.owner.warn([{ id, group: 0 }])
      await bench.drive(bench.owner.flush())
      bench.world.clock.advance(5 * DAY)
      bench.owner.expire([{ id, group: 0 }])
      await bench.drive(bench.owner.flush())
      const reports = await Promise.all(bench.host.rows.slice(-2).map(async (row) => (await bench.body(row.id))?.toString() ?? ''))
      for (const report of reports) {
        assert.match(report, /red@one.example 4.2.1 try later mx.one.example/)
        assert.match(report, /rosa@one.example 4.7.1 greylisted mx.one.example/)
      }
      assert.deepEqual(
        bench.host.events.filter(({ type }) => type === 'expiry').map(({ code, reply }) => [code, reply]),
        [
          [450, 'delivery time expired; last reply: 450 4.2.1 try later'],
          [451, 'delivery time expired; last reply: 451 4.7.1 greylisted'],
        ],
      )
    })

    test('an early warning does not use up the one that DELIVERBY owes', async (bench) => {
      const deliverBy = bench.world.clock.now() + 6 * HOUR
      const id = await bench.accept([RED], undefined, { deliverBy })
      bench.world.clock.advance(4 * HOUR)
      for (const owed of [deliverBy, 0]) {
        bench.owner.warn([{ id, group: 0 }])
        await bench.drive(bench.owner.flush())
        const outcome = bench.host.outcomes.at(-1)
        assert.equal(outcome?.kind === 'changed' && outcome.row.warnAt, owed)
        bench.world.clock.advance(2 * HOUR)
      }
    })

    test('a group without a route bounces with the given reply', async (bench) => {
      const id = await bench.accept([RED])
      bench.owner.bounce([{ id, group: 0 }], { code: 0, enhanced: '5.1.2', text: 'no such domain' })
      await bench.drive(bench.owner.flush())
      assert.match((await bench.body((bench.host.rows.at(-1) as QueueRow).id))?.toString() ?? '', /failed red@one.example 5.1.2/)
    })

    test('hold and release, retry, remove and bounce', async (bench) => {
      const id = await bench.accept([RED, GREEN])
      const both = [0, 1].map((group) => ({ id, group }))
      assert.equal(await bench.drive(bench.owner.admin('hold', both)), 2)
      assert.equal(await bench.drive(bench.owner.admin('hold', both)), 0)
      assert.equal(await bench.drive(bench.owner.admin('release', both.slice(1))), 1)
      const reader = await bench.reader()
      assert.deepEqual(
        reader.groupsOf(id).map(({ held }) => held),
        [true, false],
      )
      await bench.settle(bench.settlement({ id, group: 1 }, [deferred]))
      assert.equal(await bench.drive(bench.owner.admin('retry', both.slice(1))), 1)
      reader.refresh()
      assert.ok((reader.group(id, 1)?.due ?? Infinity) <= bench.world.clock.now())
      await bench.drive(reader.close())
      assert.equal(await bench.drive(bench.owner.admin('remove', both.slice(0, 1))), 1)
      assert.equal(await bench.drive(bench.owner.admin('bounce', both)), 1)
      assert.equal(bench.owner.counts().messages, 1)
      assert.deepEqual(
        bench.host.events.filter(({ type }) => type === 'admin').map(({ reply }) => reply),
        ['hold', 'hold', 'release', 'retry', 'remove'],
      )
    })

    test('a group that is held while it is being delivered still goes when it is delivered', async (bench) => {
      const id = await bench.accept([RED])
      await bench.drive(bench.owner.admin('hold', [{ id, group: 0 }]))
      assert.equal((await bench.settle(bench.settlement({ id, group: 0 }, [{}])))[0]?.kind, 'gone')
    })

    test('new settings count from the next decision', async (bench, world) => {
      const id = await bench.accept([RED])
      bench.owner.configure(optionsOf(world, { retry: { firstMs: HOUR, maxMs: HOUR, expireMs: DAY }, minFreeBytes: 2 ** 60 }))
      const [outcome] = await bench.settle(bench.settlement({ id, group: 0 }, [deferred]))
      assert.ok(outcome?.kind === 'rescheduled' && outcome.row.due - bench.world.clock.now() > 50 * MINUTE)
      assert.equal((await bench.drive(bench.begin([RED], bodyOf(10, 1)).result))?.kind, 'full')
    })
  })

  describe(`${name}: starting again`, () => {
    test('everything is there after a restart, with another division of shards', async (bench, world) => {
      const body = bodyOf(50_000, 9)
      const large = await bench.accept([RED, GREEN], body)
      const small = await bench.accept([BLUE])
      await bench.drive(bench.owner.admin('hold', [{ id: small, group: 0 }]))
      await bench.close()
      const second = await Bench.open(world, {}, [1])
      const first = await Bench.open(world, {}, [0])
      const rows: QueueRow[] = []
      for (const part of [first, second]) {
        await part.drive(part.owner.rescan((found) => rows.push(...found) > 0))
      }
      assert.deepEqual(
        rows.map(({ id, group, held }) => [id, group, held]),
        [
          [large, 0, false],
          [large, 1, false],
          [small, 0, true],
        ],
      )
      assert.deepEqual(await first.body(large), body)
      await second.close()
      return first
    })

    test('ids are never used twice', async (bench, world) => {
      const ids = [await bench.accept([RED])]
      let last = bench
      for (let life = 0; life < 3; life++) {
        last.owner.openMessage().abort()
        await last.close()
        last = await Bench.open(world)
        ids.push(await last.accept([RED]))
      }
      for (let i = 1; i < ids.length; i++) assert.ok((ids[i] as number) > (ids[i - 1] as number))
      assert.ok(ids.every((id) => shardOf(id) === 0 && sequenceOf(id) > 0 && idFromText(idToText(id)) === id))
      return last
    })

    test('a rescan reads each group once, also when mail comes meanwhile', async (bench) => {
      const recipients = Array.from({ length: 300 }, (_, i) => to(`u@d${i}.example`))
      for (let i = 0; i < 10; i++) await bench.accept(recipients)
      const rows: QueueRow[] = []
      const before = bench.host.rows.length
      const late = bench.begin([RED], bodyOf(10, 1))
      const scan = bench.owner.rescan((found) => rows.push(...found) > 0)
      const later = bench.begin([BLUE], bodyOf(10, 1))
      assert.equal(await bench.drive(scan), 3000)
      await bench.drive(Promise.all([late.result, later.result]))
      const all = [...rows, ...bench.host.rows.slice(before)].map(({ id, group }) => `${id}.${group}`)
      assert.equal(new Set(all).size, all.length)
      assert.equal(all.length, 3002)
    })

    // It waited until nothing was left to commit. Under steady load there always is, and a new scheduler heard of no older mail.
    test('a rescan begins although new mail never ends', async (bench) => {
      await bench.accept([RED])
      let more = true
      const results: Promise<unknown>[] = []
      bench.host.onAnnounce = () => {
        if (more) results.push(bench.begin([BLUE], bodyOf(10, 1)).result)
      }
      results.push(bench.begin([BLUE], bodyOf(10, 1)).result)
      const scanned = bench.owner.rescan(() => true).then((count) => count > 0)
      const begun = await Promise.race([scanned, bench.drive(turns(500)).then(() => false)])
      more = false
      assert.ok(begun)
      await bench.drive(bench.owner.flush())
      await Promise.all(results)
    })

    test('a rescan stops when it is not wanted any more', async (bench) => {
      for (let i = 0; i < 5; i++) await bench.accept(Array.from({ length: 1000 }, (_, n) => to(`u@d${n}.example`)))
      let batches = 0
      const rows = await bench.drive(bench.owner.rescan(() => ++batches < 1))
      assert.equal(batches, 1)
      assert.ok(rows > 0 && rows < 5000)
    })

    test('a spool of another format is refused', async (bench, world) => {
      await bench.close()
      const file = await drive(world, world.disk.open(`${spoolDirectory(world.dataDir)}/meta.json`, 'write'))
      await drive(world, world.disk.write(file, [Buffer.from('{"format":9')], 0))
      await drive(world, world.disk.close(file))
      await assert.rejects(Bench.open(world), { name: 'SpoolFormatError' })
      await assert.rejects(drive(world, SpoolReader.open(world.dataDir, { disk: world.disk })), { name: 'SpoolFormatError' })
      const repaired = await drive(world, world.disk.open(`${spoolDirectory(world.dataDir)}/meta.json`, 'write'))
      await drive(world, world.disk.write(repaired, [Buffer.from('{"format":2')], 0))
      await drive(world, world.disk.close(repaired))
      return Bench.open(world)
    })

    test('a shard that the spool does not have is refused', async (bench, world) => {
      await assert.rejects(Bench.open(world, {}, [7]), { name: 'SpoolFormatError' })
      return bench
    })
  })

  describe(`${name}: reading`, () => {
    test('groups are listed shard by shard with their recipients', async (bench) => {
      const ids = [await bench.accept([RED, GREEN]), await bench.accept([BLUE])]
      const reader = await bench.reader()
      const listed = [...reader.groups()].map(({ id, group, pending }) => [id, group, pending.map(({ address }) => address)])
      assert.deepEqual(listed, [
        [ids[0], 0, ['red@one.example']],
        [ids[0], 1, ['green@two.example']],
        [ids[1], 0, ['blue@one.example']],
      ])
      await bench.drive(reader.close())
    })

    test('a body that is being read stays readable when its message goes', async (bench) => {
      const body = bodyOf(40_000, 2)
      const id = await bench.accept([RED], body)
      const reader = await bench.reader()
      const message = reader.message(id)
      assert.ok(message)
      const stream = await bench.drive(reader.openBody(message))
      await bench.settle(bench.settlement({ id, group: 0 }, [{}]))
      const read = Buffer.alloc(40_000)
      let at = 0
      while (at < read.length) at += await bench.drive(stream.read(at, read, at, read.length - at))
      assert.deepEqual(read, body)
      stream.close()
      await assert.rejects(bench.drive(reader.openBody(message)), MessageGoneError)
      await bench.drive(reader.close())
    })
  })

  describe(`${name}: events`, () => {
    test('the way of a message is in the log, in order', async (bench) => {
      const id = await bench.accept([RED, BLUE, GREEN])
      await bench.settle(bench.settlement({ id, group: 0 }, [{}, { ...deferred, text: 'say "later"\n\u{1F600} \u00fc' }]))
      await bench.settle(bench.settlement({ id, group: 0 }, [{ index: 0 }]), bench.settlement({ id, group: 1 }, [bounced]))
      bench.owner.record({
        type: 'rejection',
        time: 5,
        id: 0,
        recipient: 'r@x.example',
        tenant: '',
        source: '192.0.2.9',
        site: '',
        code: 554,
        enhanced: '5.7.1',
        reply: 'no',
        attempt: 0,
      })
      await bench.drive(bench.owner.flush())
      const events = await eventsOf(bench)
      assert.deepEqual(
        events.map(({ type, recipient, attempt, code }) => [type, recipient, attempt, code]),
        [
          ['reception', 'red@one.example', 0, 250],
          ['reception', 'blue@one.example', 0, 250],
          ['reception', 'green@two.example', 0, 250],
          ['delivery', 'red@one.example', 1, 250],
          ['delay', 'blue@one.example', 1, 450],
          ['delivery', 'blue@one.example', 2, 250],
          ['bounce', 'green@two.example', 1, 550],
          ['reception', 'anna@sender.example', 0, 250],
          ['rejection', 'r@x.example', 0, 554],
        ],
      )
      assert.equal(events[4]?.reply, 'say "later"\n\u{1F600} \u00fc')
      const { site, source, tenant, id: text } = events[3] as LoggedEvent
      assert.deepEqual([site, source, tenant, text], ['smtp://192.0.2.1:25', 'default', 'acme', idToText(id)])
      assert.ok(events.every((event, i) => i === 0 || event.offset > (events[i - 1] as LoggedEvent).offset))
      assert.deepEqual(Object.keys(events[0] as object), [
        'offset',
        'time',
        'type',
        'id',
        'recipient',
        'tenant',
        'source',
        'site',
        'code',
        'enhanced',
        'reply',
        'attempt',
      ])
    })

    test('a history has the events of one message only', async (bench, world) => {
      const id = await bench.accept([RED])
      await bench.accept([BLUE])
      await bench.settle(bench.settlement({ id, group: 0 }, [{}]))
      await bench.drive(bench.owner.flush())
      const tail = await bench.drive(EventTail.open(world.dataDir, { disk: world.disk, clock: world.clock }))
      const history = await bench.drive(tail.historyOf(idToText(id)))
      assert.deepEqual(
        history.map(({ type }) => type),
        ['reception', 'delivery'],
      )
      assert.deepEqual(await bench.drive(tail.historyOf('nonsense')), [])
    })
  })
}
