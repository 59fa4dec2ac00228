// SIGKILL at random instants under load, several lives on one data directory: what was promised is there.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Prng } from '../../../src/lib/prng.ts'
import { checkSpool } from '../../../src/spool/check.ts'
import { EventTail } from '../../../src/spool/events.ts'
import { idToText } from '../../../src/spool/ids.ts'
import { SpoolReader } from '../../../src/spool/reader.ts'
import type { MessageId } from '../../../src/spool/types.ts'
import { bodyOf } from '../../spool/support.ts'
import { runSeed } from '../../support/seed.ts'

const ROUNDS = 8
const CHILD = new URL('child.ts', import.meta.url).pathname

interface Journal {
  readonly accepted: Map<MessageId, { readonly seed: number; readonly bytes: number }>
  readonly tried: Set<string>
  readonly settled: Set<string>
  lives: number
}

/** All lives are in one file; ids that two of them were given would show here. */
function readJournal(path: string): Journal {
  const journal: Journal = { accepted: new Map(), tried: new Set(), settled: new Set(), lives: 0 }
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  for (const line of lines.slice(0, -1)) {
    const [word, id, a, b] = line.split(' ')
    if (word === 'ready') journal.lives++
    if (word === 'accept') {
      assert.ok(!journal.accepted.has(Number(id)), 'an id was used twice')
      journal.accepted.set(Number(id), { seed: Number(a), bytes: Number(b) })
    }
    if (word === 'try') journal.tried.add(`${id}.${a}`)
    if (word === 'settled') journal.settled.add(`${id}.${a}`)
  }
  return journal
}

/** Runs a child and kills it `ms` after it has come up. */
async function liveAndDie(dataDir: string, journalPath: string, seed: number, ms: number): Promise<void> {
  const before = readJournal(journalPath).lives
  const child = spawn(process.execPath, [CHILD, dataDir, journalPath, String(seed)], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (data: Buffer) => (complaint += data.toString()))
  const ended = once(child, 'exit')
  while (readJournal(journalPath).lives === before && child.exitCode === null) await delay(10)
  await delay(ms)
  child.kill('SIGKILL')
  const [, signal] = (await ended) as [number | null, string | null]
  assert.equal(signal, 'SIGKILL', complaint)
}

async function check(dataDir: string, journal: Journal): Promise<number> {
  assert.deepEqual(
    (await checkSpool(dataDir)).findings.filter(({ severity }) => severity === 'error'),
    [],
  )
  const reader = await SpoolReader.open(dataDir)
  const groups = new Set<string>()
  const present = new Set<MessageId>()
  for (const { id, group } of reader.groups()) {
    groups.add(`${id}.${group}`)
    present.add(id)
  }
  for (const key of journal.settled) assert.ok(!groups.has(key), `${key} was settled and is back`)
  for (const [id, { seed, bytes }] of journal.accepted) {
    const settling = journal.tried.has(`${id}.0`) || journal.tried.has(`${id}.1`)
    if (!present.has(id)) assert.ok(settling, `${idToText(id)} was accepted and is lost`)
    else if (!settling) assert.deepEqual(await bodyIn(reader, id), bodyOf(bytes, seed))
  }
  await reader.close()
  return present.size
}

async function bodyIn(reader: SpoolReader, id: MessageId): Promise<Buffer> {
  const message = reader.message(id)
  assert.ok(message)
  if (message.inline) return message.inline
  const stream = await reader.openBody(message)
  const body = Buffer.alloc(stream.bytes)
  for (let at = 0; at < body.length;) at += await stream.read(at, body, at, body.length - at)
  stream.close()
  return body
}

/** Each acknowledged settlement has its event. */
async function checkEvents(dataDir: string, journal: Journal): Promise<void> {
  const tail = await EventTail.open(dataDir, { holdBackMs: 0 })
  const delivered = new Set<string>()
  for (let lines = await tail.poll(); lines.length > 0; lines = await tail.poll()) {
    for (const { line } of lines) {
      const event = JSON.parse(line) as { type: string; id: string }
      if (event.type === 'delivery') delivered.add(event.id)
    }
  }
  for (const key of journal.settled) assert.ok(delivered.has(idToText(Number(key.split('.')[0]))), `delivery of ${key} is not logged`)
}

it('keeps its promises through kill -9 at random instants', async () => {
  const random = new Prng(runSeed())
  const directory = mkdtempSync(join(tmpdir(), 'rohrpost-kill-'))
  const dataDir = join(directory, 'data')
  const journalPath = join(directory, 'journal')
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      await liveAndDie(dataDir, journalPath, round, 50 + random.below(500))
      const journal = readJournal(journalPath)
      assert.equal(journal.lives, round)
      await check(dataDir, journal)
    }
    const journal = readJournal(journalPath)
    await checkEvents(dataDir, journal)
    assert.ok(
      journal.accepted.size > 200 && journal.settled.size > 100,
      `${journal.accepted.size} accepted, ${journal.settled.size} settled`,
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
