// The event log of a shard alone: torn tails, rotation, retention, failures; and its reader.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import { Prng } from '../../src/lib/prng.ts'
import { eventLine, nextOffset, offsetOfLine, parseEventLine, receivedId } from '../../src/spool/eventline.ts'
import { EventLog } from '../../src/spool/eventlog.ts'
import { EventTail } from '../../src/spool/events.ts'
import { messageId } from '../../src/spool/ids.ts'
import { eventsDirectory, prepareSpool } from '../../src/spool/layout.ts'
import { MemoryDisk, withFaults } from '../../src/spool/memory.ts'
import type { Fault } from '../../src/spool/memory.ts'
import type { SpoolEvent } from '../../src/spool/ports.ts'
import { DAY, Host } from './support.ts'

const DATA = '/data'

function event(n: number, changes: Partial<SpoolEvent> = {}): SpoolEvent {
  const names = { recipient: `r${n}@x.example`, tenant: 't', source: 's', site: 'mx', enhanced: '2.0.0', reply: 'ok' }
  return { type: 'delivery', time: 1_700_000_000_000, id: messageId(0, n), code: 250, attempt: 1, ...names, ...changes }
}

class Shelf {
  readonly clock = new ManualClock()
  readonly disk: MemoryDisk
  readonly host = new Host()
  fault: Fault = () => undefined

  constructor(disk: MemoryDisk = new MemoryDisk({ random: new Prng(1) })) {
    this.disk = disk
  }

  log(shard = 0, fileBytes = 1_000_000): Promise<EventLog> {
    return EventLog.open({
      files: withFaults(this.disk, (operation, path) => this.fault(operation, path)),
      directory: eventsDirectory(DATA, shard),
      shard,
      clock: this.clock,
      fileBytes,
      retentionMs: 10 * DAY,
      log: this.host.log,
    })
  }

  names(): Promise<string[]> {
    return this.disk.list(eventsDirectory(DATA, 0))
  }

  async lines(shards = 1): Promise<string[]> {
    await prepareSpool(this.disk, DATA, shards)
    const tail = await EventTail.open(DATA, { disk: this.disk, clock: this.clock, holdBackMs: 0 })
    return (await tail.poll(100_000)).map(({ line }) => line)
  }

  async recipients(): Promise<string[]> {
    return (await this.lines()).map((line) => parseEventLine(line)?.recipient ?? '?')
  }

  /** Puts bytes behind the newest file. */
  async scribble(bytes: Buffer): Promise<void> {
    const file = await this.disk.open(`${eventsDirectory(DATA, 0)}/${(await this.names()).at(-1) as string}`, 'write')
    await this.disk.write(file, [bytes], await this.disk.size(file))
    await this.disk.close(file)
  }
}

describe('event lines', () => {
  it('are JSON whatever the fields hold', () => {
    const texts = [
      '',
      'plain',
      'quote " and \\',
      'line\nfeed\u0000\u001f',
      '\u{1F600}',
      '\ud800 alone',
      '\u2028',
      '\u007f\u0080',
      'x'.repeat(9000),
    ]
    for (const text of texts) {
      const line = eventLine(7, event(1, { reply: text, recipient: text, tenant: text }))
      assert.ok(line.endsWith('\n') && line.indexOf('\n') === line.length - 1)
      const parsed = parseEventLine(line.trimEnd())
      assert.equal(parsed?.reply, text.slice(0, 4096).toWellFormed() === text.slice(0, 4096) ? text.slice(0, 4096) : '\ud800 alone')
    }
  })

  it('have offsets that rise within a shard and differ between shards, whatever the clock does', () => {
    const seen = new Set<number>()
    for (const shard of [0, 1, 63]) {
      let last = 0
      for (const now of [1000, 1000, 1001, 900, 900, 1002]) {
        for (let i = 0; i < 100; i++) {
          const offset = nextOffset(last, now, shard)
          assert.ok(offset > last && !seen.has(offset) && offset % 64 === shard)
          seen.add(offset)
          last = offset
        }
      }
    }
    assert.ok(nextOffset(0, Date.UTC(2039, 0), 63) < Number.MAX_SAFE_INTEGER)
  })

  it('tell their offset and received id without being parsed', () => {
    const line = eventLine(12_345, event(1, { type: 'reception' }))
    assert.equal(offsetOfLine(line), 12_345)
    assert.equal(receivedId(line), parseEventLine(line.trimEnd())?.id)
    assert.equal(receivedId(eventLine(1, event(1))), '')
    for (const bad of ['', '{', '{"offset":', '{"offset":x,', '{"offset":-5,', '\u0000\u0000']) assert.equal(offsetOfLine(bad), -1)
    assert.equal(parseEventLine('{"offset":5,"time'), undefined)
  })
})

describe('the event log', () => {
  it('goes on where it ended', async () => {
    const shelf = new Shelf()
    for (let life = 0; life < 3; life++) {
      const log = await shelf.log()
      await log.write([event(life)])
      await log.close()
    }
    assert.deepEqual(await shelf.recipients(), ['r0@x.example', 'r1@x.example', 'r2@x.example'])
    assert.equal((await shelf.names()).length, 1)
  })

  for (const [what, bytes] of [
    ['half a line', Buffer.from('{"offset":9999999999999999,"ti')],
    ['zeros', Buffer.alloc(5000)],
    ['a line of something else', Buffer.from('hello\n')],
    ['a hundred kilobytes of zeros', Buffer.alloc(100_000)],
  ] as const) {
    it(`cuts a tail of ${what}`, async () => {
      const shelf = new Shelf()
      const log = await shelf.log()
      await log.write([event(1)])
      await log.close()
      await shelf.scribble(bytes)
      const again = await shelf.log()
      await again.write([event(2)])
      await again.close()
      assert.deepEqual(await shelf.recipients(), ['r1@x.example', 'r2@x.example'])
    })
  }

  it('starts afresh when a file has no good line at all', async () => {
    const shelf = new Shelf()
    const log = await shelf.log()
    await log.write([event(1)])
    await log.close()
    const file = await shelf.disk.open(`${eventsDirectory(DATA, 0)}/${(await shelf.names())[0] as string}`, 'write')
    await shelf.disk.truncate(file, 20)
    const again = await shelf.log()
    await again.write([event(2)])
    await again.close()
    const lines = await shelf.lines()
    assert.equal(lines.length, 1)
  })

  it('is rotated by size, and old files go by age', async () => {
    const shelf = new Shelf()
    const log = await shelf.log(0, 1000)
    for (let i = 0; i < 30; i++) {
      await log.write([event(i)])
      shelf.clock.advance(DAY)
    }
    const names = await shelf.names()
    assert.ok(names.length >= 2 && names.length <= 5, names.join(' '))
    const kept = await shelf.recipients()
    assert.equal(kept.at(-1), 'r29@x.example')
    assert.ok(kept.length >= 10 && kept.length <= 21)
    await log.close()
  })

  it('writes again what a failed write had noted, and nothing twice', async () => {
    for (const operation of ['write', 'datasync', 'open', 'syncDirectory'] as const) {
      const shelf = new Shelf()
      const log = await shelf.log()
      shelf.fault = (now) => (now === operation ? 'EIO' : undefined)
      log.append([event(1, { type: 'reception' })])
      await assert.rejects(log.write([event(2)]), { code: 'EIO' })
      shelf.fault = () => undefined
      await log.write([event(2)])
      await log.close()
      assert.deepEqual(await shelf.recipients(), ['r1@x.example', 'r2@x.example'], operation)
    }
  })

  it('drops events rather than memory when the disk is away, and says so', async () => {
    const shelf = new Shelf()
    const log = await shelf.log()
    shelf.fault = (operation) => (operation === 'open' ? 'EIO' : undefined)
    for (let i = 0; i < 30_000; i++) log.append([event(i)])
    await assert.rejects(log.flush(), { code: 'EIO' })
    shelf.fault = () => undefined
    await log.close()
    const kept = await shelf.recipients()
    assert.ok(kept.length > 10_000 && kept.length < 30_000)
    assert.ok(shelf.host.errors.some((error) => error.includes(`"events":${30_000 - kept.length}`)))
  })
})

describe('the event tail', () => {
  it('merges shards by offset and goes on from an offset', async () => {
    const shelf = new Shelf()
    const logs = [await shelf.log(0, 2000), await shelf.log(1, 2000), await shelf.log(2, 2000)]
    for (let i = 0; i < 60; i++) {
      await (logs[(i * 7) % 3] as EventLog).write([event(i), event(100 + i)])
      shelf.clock.advance(3)
    }
    const lines = await shelf.lines(3)
    const offsets = lines.map(offsetOfLine)
    assert.equal(lines.length, 120)
    assert.deepEqual(
      offsets,
      offsets.toSorted((a, b) => a - b),
    )
    for (const at of [0, 1, 50, 119]) {
      const tail = await EventTail.open(DATA, { disk: shelf.disk, clock: shelf.clock, from: offsets[at] as number, holdBackMs: 0 })
      assert.deepEqual(
        (await tail.poll()).map(({ line }) => line),
        lines.slice(at),
      )
    }
  })

  it('holds lines back until no shard can be before them', async () => {
    const shelf = new Shelf()
    const [one, two] = [await shelf.log(0), await shelf.log(1)]
    await prepareSpool(shelf.disk, DATA, 2)
    const tail = await EventTail.open(DATA, { disk: shelf.disk, clock: shelf.clock, holdBackMs: 100 })
    shelf.clock.advance(1)
    await two.write([event(2)])
    assert.deepEqual(await tail.poll(), [])
    shelf.clock.advance(101)
    await one.write([event(3)])
    assert.deepEqual(
      (await tail.poll()).map(({ line }) => parseEventLine(line)?.recipient),
      ['r2@x.example'],
    )
    shelf.clock.advance(101)
    assert.deepEqual(
      (await tail.poll()).map(({ line }) => parseEventLine(line)?.recipient),
      ['r3@x.example'],
    )
  })

  it('follows what is written, from the end, over a rotation, until it is closed', async () => {
    const shelf = new Shelf()
    const log = await shelf.log(0, 500)
    await log.write([event(1)])
    await prepareSpool(shelf.disk, DATA, 1)
    const tail = await EventTail.open(DATA, { disk: shelf.disk, clock: shelf.clock, from: 'end', holdBackMs: 0 })
    const seen: string[] = []
    const reading = (async () => {
      for await (const { line } of tail.follow()) {
        seen.push(parseEventLine(line)?.recipient ?? '?')
        if (seen.length === 6) tail.close()
      }
    })()
    for (let i = 2; i <= 7; i++) {
      await log.write([event(i)])
      for (let step = 0; step < 20; step++) {
        shelf.clock.advance(50)
        await Promise.resolve()
      }
    }
    for (let step = 0; step < 2000 && seen.length < 6; step++) {
      shelf.clock.advance(50)
      await Promise.resolve()
    }
    await reading
    assert.deepEqual(seen, ['r2@x.example', 'r3@x.example', 'r4@x.example', 'r5@x.example', 'r6@x.example', 'r7@x.example'])
    assert.ok((await shelf.names()).length > 1)
  })
})
