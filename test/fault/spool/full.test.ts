// A disk of 20 MB that fills, drains, and is filled by others: mail is refused in time, nothing accepted is lost, and
// all goes on without a restart once there is room.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { describe, it } from 'node:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ManualClock } from '../../../src/lib/clock.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { MemoryDisk } from '../../../src/spool/memory.ts'
import { nodeDisk } from '../../../src/spool/nodedisk.ts'
import type { SpoolError } from '../../../src/spool/ports.ts'
import type { MessageId } from '../../../src/spool/types.ts'
import { Bench, bodyOf, to } from '../../spool/support.ts'
import type { World } from '../../spool/support.ts'

const MB = 1024 * 1024
const DISK_BYTES = 20 * MB
const RED = to('red@one.example')

interface SmallWorld extends World {
  /** Somebody else takes all the room that is left, and gives it back. */
  hog(): void
  unhog(): void
}

function mountedWorld(): SmallWorld | undefined {
  const dataDir = mkdtempSync(join(tmpdir(), 'rohrpost-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', dataDir], { stdio: 'ignore' })
  } catch {
    // Mounting needs privileges that not everybody who runs the tests has; the simulated disk is always tested.
    rmSync(dataDir, { recursive: true })
    return undefined
  }
  const path = join(dataDir, 'hog')
  return {
    clock: new ManualClock(),
    dataDir,
    disk: nodeDisk,
    hog: () => {
      const file = openSync(path, 'w')
      try {
        for (;;) writeSync(file, Buffer.alloc(4096))
      } catch (error) {
        assert.match(String(error), /ENOSPC/)
      } finally {
        closeSync(file)
      }
    },
    unhog: () => rmSync(path),
    end: () => {
      execFileSync('umount', ['-l', dataDir])
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

function simulatedWorld(): SmallWorld {
  const disk = new MemoryDisk({ random: new Prng(1), capacityBytes: DISK_BYTES })
  const world = { clock: new ManualClock(), dataDir: '/data', disk, end: () => undefined }
  return { ...world, hog: () => disk.take(Infinity), unhog: () => disk.take(0) }
}

interface Filled {
  readonly ids: MessageId[]
  readonly error: SpoolError
}

/** Accepts until the disk is said to be full. */
async function fill(bench: Bench): Promise<Filled> {
  const ids: MessageId[] = []
  for (let n = 0; n < 4000; n++) {
    const { id, result } = bench.begin([RED], bodyOf(n % 10 === 0 ? 100_000 : 6000, n))
    const error = await bench.drive(result)
    // What was only reckoned to be full may turn out not to be at the next look.
    if (error && bench.owner.stress().full) return { ids, error }
    if (!error) ids.push(id)
    bench.world.clock.advance(200)
  }
  throw new Error('the disk never filled')
}

async function drain(bench: Bench, ids: readonly MessageId[]): Promise<void> {
  const outcomes = await bench.settle(...ids.map((id) => bench.settlement({ id, group: 0 }, [{}])))
  assert.ok(outcomes.every(({ kind }) => kind === 'gone'))
}

/**
 * Pages that can be used again count as room: it is noticed within seconds. Body files are removed behind that: their
 * room has come when two looks see as much.
 */
async function hasRoom(bench: Bench): Promise<void> {
  for (let looks = 0, seen = -1; bench.owner.stress().full || bench.owner.stress().freeBytes !== seen; looks++) {
    assert.ok(looks < 20, 'no room after draining')
    seen = bench.owner.stress().freeBytes
    await new Promise<void>((resolve) => bench.world.clock.after(1100, resolve))
  }
}

async function fillsAndDrains(world: SmallWorld): Promise<void> {
  const bench = await Bench.open(world, { minFreeBytes: 4 * MB, segmentBytes: MB, shards: 1 }, [0])
  for (let round = 0; round < 3; round++) {
    const { ids, error } = await fill(bench)
    assert.equal(error.kind, 'full')
    assert.ok(ids.length > 300, `${ids.length} messages fit`)
    assert.equal(bench.owner.stress().full, true)
    for (const id of [ids[0], ids[ids.length - 1]] as MessageId[]) assert.ok(await bench.body(id))
    await drain(bench, ids)
    await bench.drive(hasRoom(bench))
  }
  assert.equal(bench.owner.counts().messages, 0)
  await bench.close()
  assert.deepEqual((await bench.check()).findings, [])
}

async function isFilledByOthers(world: SmallWorld): Promise<void> {
  const bench = await Bench.open(world, { shards: 1 }, [0])
  const ids: MessageId[] = []
  for (let n = 0; n < 40; n++) ids.push(await bench.accept([RED], bodyOf(n % 10 === 0 ? 100_000 : 6000, n)))
  world.hog()
  const large = await bench.drive(bench.begin([RED], bodyOf(100_000, 0)).result)
  assert.equal(large?.kind, 'full', 'bodies do not fit')
  let small: SpoolError | undefined
  for (let n = 0; n < 2000 && !small; n++) {
    const { id, result } = bench.begin([RED], bodyOf(9000, n))
    small = await bench.drive(result)
    if (!small) ids.push(id)
  }
  assert.equal(small?.kind, 'full', 'the index cannot grow')
  let acknowledged = false
  bench.owner.settle(
    ids.map((id) => bench.settlement({ id, group: 0 }, [{}])),
    () => (acknowledged = true),
  )
  await bench.drive(new Promise<void>((resolve) => world.clock.after(3000, resolve)))
  world.unhog()
  await bench.drive(bench.owner.rescan(() => true))
  assert.ok(acknowledged, 'settlements are kept until the disk takes them')
  const id = await bench.accept([RED], bodyOf(100_000, 1))
  assert.ok(await bench.body(id))
  assert.equal(bench.owner.stress().failing, false)
  await bench.close()
  assert.deepEqual(
    (await bench.check()).findings.filter(({ severity }) => severity === 'error'),
    [],
  )
}

describe('a full disk', () => {
  it('fills and drains, simulated', () => fillsAndDrains(simulatedWorld()))
  it('is filled by others, simulated', () => isFilledByOthers(simulatedWorld()))
  for (const [title, body] of [
    ['fills and drains, tmpfs', fillsAndDrains],
    ['is filled by others, tmpfs', isFilledByOthers],
  ] as const) {
    it(title, async (t) => {
      const world = mountedWorld()
      if (!world) return t.skip('needs the right to mount a tmpfs')
      try {
        await body(world)
      } finally {
        world.end()
      }
    })
  }
})
