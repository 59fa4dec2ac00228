// `rohrpost check spool` on damaged spools; what the next start repairs.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkSpool } from '../../src/spool/check.ts'
import type { IndexWriter } from '../../src/spool/disk.ts'
import { bodyKey, groupKey, HIGH_KEY, leftKey, messageKey } from '../../src/spool/keys.ts'
import { bodiesDirectory, shardDirectory } from '../../src/spool/layout.ts'
import type { MessageId } from '../../src/spool/types.ts'
import { Bench, bodyOf, drive, memoryWorld, realWorld, to } from './support.ts'
import type { World } from './support.ts'

const RED = to('red@one.example')
const GREEN = to('green@two.example')

interface Damaged {
  readonly small: MessageId
  readonly large: MessageId
  readonly world: World
}

/** Two messages of two groups each, then what `damage` does to the closed spool's index. */
async function damaged(world: World, damage: (writer: IndexWriter, ids: { small: MessageId; large: MessageId }) => void): Promise<Damaged> {
  const bench = await Bench.open(world)
  const small = await bench.accept([RED, GREEN], bodyOf(100, 1))
  const large = await bench.accept([RED, GREEN], bodyOf(50_000, 2))
  await bench.close()
  const index = await drive(world, world.disk.openIndex(shardDirectory(world.dataDir, 0), 'write'))
  await drive(
    world,
    index.commit((writer) => damage(writer, { small, large })),
  )
  await drive(world, index.close())
  return { small, large, world }
}

async function findings(world: World): Promise<string[]> {
  const report = await drive(world, checkSpool(world.dataDir, world.disk))
  return report.findings.map(({ severity, text }) => `${severity}: ${text.replace(/[0-9a-z]{11}/g, 'ID')}`)
}

const CASES: readonly (readonly [string, (writer: IndexWriter, ids: { small: MessageId; large: MessageId }) => void, readonly string[]])[] =
  [
    ['nothing', () => undefined, []],
    [
      'a message that is gone',
      (writer, { small }) => writer.remove(messageKey(small)),
      [
        'error: recipients of ID have no message',
        'error: counter of ID has no message',
        'notice: 1 messages in 4 groups are here, the totals say 2 in 4',
      ],
    ],
    [
      'recipients that are gone',
      (writer, { small }) => {
        writer.remove(groupKey(small, 0))
        writer.remove(groupKey(small, 1))
      },
      ['notice: ID has no recipients left', 'notice: 2 messages in 2 groups are here, the totals say 2 in 4'],
    ],
    ['a counter that is wrong', (writer, { small }) => writer.remove(leftKey(small)), ['error: ID has 2 groups, its counter says 1']],
    [
      'a group that cannot be read',
      (writer, { small }) => writer.put(groupKey(small, 1), Buffer.from([9, 9, 9])),
      ['error: group 1 of ID cannot be read: InvariantError: group record of an unknown version'],
    ],
    [
      'a message that cannot be read',
      (writer, { small }) => writer.put(messageKey(small), Buffer.from([9])),
      [
        'error: message ID cannot be read: InvariantError: message record of an unknown version',
        'error: recipients of ID have no message',
        'error: counter of ID has no message',
        'notice: 1 messages in 4 groups are here, the totals say 2 in 4',
      ],
    ],
    [
      'a high-water mark that went back',
      (writer) => writer.put(HIGH_KEY, Buffer.alloc(32)),
      [
        'error: ID is above the high-water mark: its id may be used again',
        'error: ID is above the high-water mark: its id may be used again',
        'notice: 2 messages in 4 groups are here, the totals say 0 in 0',
      ],
    ],
    [
      'a body share that is gone',
      (writer, { large }) => writer.remove(bodyKey(1, large)),
      ['error: 00000001.seg may be cut or removed: its index is incomplete'],
    ],
    [
      'a body share of nobody',
      (writer, { small }) => writer.put(bodyKey(9, small), Buffer.alloc(16, 0x40)),
      ['notice: 00000009.seg is kept for messages that are gone'],
    ],
  ]

describe('check spool', () => {
  for (const [what, damage, expected] of CASES) {
    it(`finds ${what}`, async () => assert.deepEqual(await findings((await damaged(memoryWorld(), damage)).world), expected))
  }

  it('finds bodies that are cut off or missing', async () => {
    const world = memoryWorld()
    await damaged(world, () => undefined)
    const path = `${bodiesDirectory(world.dataDir, 0)}/00000001.seg`
    const file = await world.disk.open(path, 'write')
    await world.disk.truncate(file, 40_000)
    assert.deepEqual(await findings(world), ['error: body of ID is cut off: 00000001.seg has 40000 bytes'])
    await world.disk.unlink(path)
    assert.deepEqual(await findings(world), ['error: body of ID is missing: there is no 00000001.seg'])
  })

  it('counts, and reads nothing but the spool', async () => {
    const world = realWorld()
    const { small } = await damaged(world, () => undefined)
    assert.ok(small > 0)
    const report = await drive(world, checkSpool(world.dataDir, world.disk))
    const { shards, messages, groups, recipients, bytes, deadBytes } = report
    assert.deepEqual([shards, messages, groups, recipients, bytes, deadBytes], [2, 2, 4, 4, 50_100, 0])
    world.end()
  })

  it('finds nothing where there is no spool', async () => {
    const world = memoryWorld()
    assert.deepEqual(await drive(world, checkSpool(world.dataDir, world.disk)), {
      shards: 0,
      messages: 0,
      groups: 0,
      recipients: 0,
      bytes: 0,
      deadBytes: 0,
      findings: [],
    })
  })
})

describe('the next start', () => {
  it('removes messages without recipients', async () => {
    for (const world of [memoryWorld(), realWorld()]) {
      const { large } = await damaged(world, (writer, ids) => {
        writer.remove(groupKey(ids.large, 0))
        writer.remove(groupKey(ids.large, 1))
      })
      const bench = await Bench.open(world)
      await bench.until(() => bench.owner.counts().messages === 1, 2000)
      assert.equal(await bench.body(large), undefined)
      assert.equal(bench.owner.counts().segmentBytes, 0)
      await bench.close()
      // The groups went behind the owner's back.
      assert.deepEqual(await findings(world), ['notice: 1 messages in 2 groups are here, the totals say 1 in 4'])
      assert.ok(bench.host.errors.some((error) => error.startsWith('messages without recipients removed')))
      world.end()
    }
  })

  it('says which bodies are lost, and serves the rest', async () => {
    const world = memoryWorld()
    const { small, large } = await damaged(world, () => undefined)
    await world.disk.unlink(`${bodiesDirectory(world.dataDir, 0)}/00000001.seg`)
    const bench = await Bench.open(world)
    assert.ok(bench.host.errors.some((error) => error.startsWith('body segment is missing')))
    assert.ok(await bench.body(small))
    const reader = await bench.reader()
    const message = reader.message(large)
    assert.ok(message)
    await assert.rejects(bench.drive(reader.openBody(message)), { code: 'ENOENT' })
    // It can still be bounced: the report does without the quotation.
    await bench.settle(bench.settlement({ id: large, group: 0 }, [{ outcome: 2, code: 550 }]))
    assert.match((await bench.body(bench.host.rows.at(-1)?.id ?? 0))?.toString() ?? '', /failed red/)
    await bench.drive(reader.close())
    await bench.close()
  })
})
