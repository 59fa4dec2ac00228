// Accepts and settles mail until it is killed. Everything that the spool has promised is noted in a file first.
//
//   node child.ts DATADIR JOURNAL SEED
//
// Journal lines: `ready`, `accept ID SEED BYTES` (answered without error), `try ID GROUP` (a settlement is handed in),
// `settled ID GROUP` (acknowledged).

import { openSync, writeSync } from 'node:fs'
import { systemClock } from '../../../src/lib/clock.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { atTurnEnd } from '../../../src/lib/turn.ts'
import { SpoolOwner } from '../../../src/spool/owner.ts'
import { Outcome } from '../../../src/spool/types.ts'
import type { QueueRow } from '../../../src/spool/types.ts'
import { bodyOf, envelopeOf, Host, to } from '../../spool/support.ts'

const [dataDir, journalPath, seedText] = process.argv.slice(2) as [string, string, string]
const random = new Prng(Number(seedText))
const journal = openSync(journalPath, 'a')
const note = (line: string): void => void writeSync(journal, `${line}\n`)

const CONCURRENT = 20
/** Messages kept unsettled beyond this are settled. */
const KEEP = 60

const host = new Host()
const waiting: QueueRow[] = []
host.onAnnounce = (rows) => {
  waiting.push(...rows)
  while (waiting.length > KEEP) settle(waiting.splice(random.below(waiting.length), 1)[0] as QueueRow)
}

const owner = await SpoolOwner.open(
  dataDir,
  [0, 1],
  {
    clock: systemClock,
    random,
    retry: { firstMs: 60_000, maxMs: 60_000, expireMs: 600_000 },
    warnAfterMs: 0,
    minFreeBytes: 1,
    shards: 2,
    segmentBytes: 2 * 1024 * 1024,
  },
  host,
)

function settle(row: QueueRow): void {
  note(`try ${row.id} ${row.group}`)
  const now = systemClock.now()
  const results = Array.from({ length: row.recipients }, (_, index) => ({
    index,
    outcome: Outcome.delivered,
    code: 250,
    enhanced: '2.0.0',
    text: 'ok',
  }))
  const peer = { site: 'smtp://192.0.2.1:25', source: 'default', peer: '', peerDsn: true, peerDeliverBy: false, tls: '' }
  owner.settle([{ id: row.id, group: row.group, results, places: row.recipients, ...peer, startedAt: now, finishedAt: now }], () =>
    note(`settled ${row.id} ${row.group}`),
  )
}

let next = 0
function accept(): void {
  const seed = Number(seedText) * 1_000_000 + next++
  const bytes = random.below(5) === 0 ? random.below(200_000) : random.below(8000)
  const body = bodyOf(bytes, seed)
  const intake = owner.openMessage()
  for (let at = 0; at < bytes; at += 30_000) intake.write(body, at, Math.min(at + 30_000, bytes))
  const recipients = Array.from({ length: 1 + random.below(3) }, (_, i) => to(`r${i}@d${i % 2}.example`))
  intake.commit(envelopeOf(intake.id, systemClock.now()), recipients, (error) => {
    if (error) throw new Error(`${error.kind}: ${error.cause}`)
    note(`accept ${intake.id} ${seed} ${bytes}`)
    atTurnEnd(accept)
  })
}

note('ready')
for (let i = 0; i < CONCURRENT; i++) accept()
