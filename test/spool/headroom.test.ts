import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { Headroom } from '../../src/spool/headroom.ts'
import { openLmdb } from '../../src/spool/lmdb.ts'
import { MemoryDisk } from '../../src/spool/memory.ts'
import { nodeDisk } from '../../src/spool/nodedisk.ts'
import { realWorld } from './support.ts'

const MB = 1024 * 1024
const PATH = '/data/data.mdb'

interface Shelf {
  readonly disk: MemoryDisk
  readonly room: Headroom
  used: number
}

async function shelf(capacityBytes: number, used: number): Promise<Shelf> {
  const disk = new MemoryDisk({ random: new Prng(1), capacityBytes })
  const state = { used }
  const room = await Headroom.open(disk, PATH, () => state.used)
  return Object.assign(state, { disk, room })
}

async function sizeOf(disk: MemoryDisk): Promise<number> {
  return disk.size(await disk.open(PATH, 'read'))
}

describe('headroom of the index file', () => {
  it('is there before a commit, and not made again before it is used up', async () => {
    const { disk, room } = await shelf(100 * MB, MB)
    await room.reserve(3 * MB, 10, true)
    const size = await sizeOf(disk)
    assert.ok(size - MB >= 5 * MB)
    await room.reserve(1000, 1, false)
    assert.equal(await sizeOf(disk), size)
  })

  it('grows with what the index uses', async () => {
    const state = await shelf(100 * MB, 0)
    for (let i = 0; i < 40; i++) {
      await state.room.reserve(MB, 100, true)
      assert.ok((await sizeOf(state.disk)) - state.used > MB)
      state.used += MB
    }
    assert.equal(state.room.bytes, (await sizeOf(state.disk)) - state.used)
  })

  it('grows by what is needed where the disk promises more than it gives, as one with quotas does', async () => {
    const state = await shelf(6 * MB, 0)
    state.disk.freeBytes = () => Promise.resolve(1e12)
    await state.room.reserve(2 * MB, 10, true)
    assert.ok((await sizeOf(state.disk)) >= 4 * MB)
  })

  it('leaves settlements some when the disk has none', async () => {
    const state = await shelf(9 * MB, MB)
    await state.room.reserve(1000, 2, true)
    const size = await sizeOf(state.disk)
    state.disk.take(Infinity)
    state.used = size - 2.3 * MB
    await assert.rejects(state.room.reserve(5_000_000, 10, true), { code: 'ENOSPC' })
    assert.equal(await sizeOf(state.disk), size, 'half an extension is taken back')
    await state.room.reserve(2000, 4, false)
    state.used = size - 0.2 * MB
    await assert.rejects(state.room.reserve(2_000_000, 4, false), { code: 'ENOSPC' })
    state.disk.take(0)
    await state.room.reserve(500_000, 4, false)
    assert.ok((await sizeOf(state.disk)) > size, 'as much as fits')
  })
})

describe('the index', () => {
  it('says so when a reader of the same process came before its owner', async () => {
    const world = realWorld()
    const owner = await openLmdb(world.dataDir, 'write', nodeDisk)
    await owner.commit((writer) => writer.put(Buffer.from('H'), Buffer.alloc(1)))
    await owner.close()
    const reader = await openLmdb(world.dataDir, 'read', nodeDisk)
    await assert.rejects(openLmdb(world.dataDir, 'write', nodeDisk), /has a reader of this process opened it before its owner/)
    assert.equal(reader.get(Buffer.from('H'))?.length, 1)
    await reader.close()
    world.end()
  })
})
