// SpoolOwner: durable acceptance and settling with 50 messages under way, in µs of CPU a message (all threads of the
// process, this client included) and messages a commit. Commits are fdatasync'd.
//
//   node bench/micro/spool/owner.bench.ts [messages]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/lib/clock.ts'
import { Prng } from '../../../src/lib/prng.ts'
import { atTurnEnd } from '../../../src/lib/turn.ts'
import { SpoolOwner } from '../../../src/spool/owner.ts'
import type { SpoolHost, SpoolOptions } from '../../../src/spool/ports.ts'
import { Outcome } from '../../../src/spool/types.ts'
import type { QueueRow, Settlement } from '../../../src/spool/types.ts'

const CONCURRENT = 50
const SLICE = Buffer.alloc(64 * 1024, 'The quick brown fox jumps over the lazy dog.\r\n')

const OPTIONS: SpoolOptions = {
  clock: systemClock,
  random: new Prng(1),
  retry: { firstMs: 300_000, maxMs: 14_400_000, expireMs: 432_000_000 },
  warnAfterMs: 14_400_000,
  minFreeBytes: 1,
}

function settlementOf(row: QueueRow): Settlement {
  const now = systemClock.now()
  return {
    id: row.id,
    group: row.group,
    results: [{ index: 0, outcome: Outcome.delivered, code: 250, enhanced: '2.0.0', text: 'Ok: queued as 4XyZ123456' }],
    places: row.recipients,
    site: 'smtp://127.0.0.1:2526',
    source: 'default',
    peer: '127.0.0.1[127.0.0.1]:2526',
    peerDsn: true,
    peerDeliverBy: false,
    tls: '',
    startedAt: now,
    finishedAt: now,
  }
}

/** Accepts `total` messages of `bytes`; each is settled as soon as it is announced, when `settle` says so. */
class Load {
  readonly #bytes: number
  owner: SpoolOwner | undefined
  settle = false
  #left = 0
  #unfinished = 0
  #done: () => void = () => undefined

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  host(): SpoolHost {
    const fail = (fields: object, text: string): never => {
      throw new Error(`${text} ${JSON.stringify(fields)}`)
    }
    return {
      log: { info: () => undefined, warn: fail, error: fail },
      announce: (rows) => {
        if (this.settle) this.owner?.settle(rows.map(settlementOf), () => undefined)
      },
      settled: () => undefined,
    }
  }

  run(total: number): Promise<void> {
    this.#left = total
    this.#unfinished = total
    return new Promise((resolve) => {
      this.#done = resolve
      for (let i = 0; i < CONCURRENT; i++) this.#one()
    })
  }

  #one(): void {
    if (this.#left === 0 || !this.owner) return
    this.#left--
    const bytes = this.#bytes
    const intake = this.owner.openMessage()
    for (let left = bytes; left > 0; left -= SLICE.length) intake.write(SLICE, 0, Math.min(left, SLICE.length))
    const acceptedAt = systemClock.now()
    const names = { sender: 'bounce-1234@mailer.example.org', envid: '', tenant: 'acme', account: 'acme', client: '192.0.2.77' }
    const envelope = { id: intake.id, acceptedAt, flags: 0, bytes, priority: 0, deliverBy: 0, ...names }
    const recipient = { address: 'someone@example.org', notify: 0, orcpt: '', domain: 'example.org' }
    intake.commit(envelope, [recipient], (error) => {
      if (error) throw new Error(error.cause)
      if (--this.#unfinished === 0) this.#done()
      else atTurnEnd(() => this.#one())
    })
  }
}

async function measure(name: string, bytes: number, total: number, settle: boolean): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'rohrpost-bench-'))
  const load = new Load(bytes)
  const owner = await SpoolOwner.open(directory, [0], OPTIONS, load.host())
  load.owner = owner
  load.settle = settle
  await load.run(total)
  await owner.flush()
  const commits = owner.counts().commits
  const cpu = process.cpuUsage()
  const start = systemClock.mono()
  await load.run(total)
  await owner.flush()
  const ms = systemClock.mono() - start
  const { user, system } = process.cpuUsage(cpu)
  const perCommit = total / (owner.counts().commits - commits)
  const rate = Math.round((total / ms) * 1000)
  const us = ((user + system) / total).toFixed(1)
  process.stdout.write(
    `${name.padEnd(24)} ${us.padStart(6)} µs CPU  ${String(rate).padStart(6)} messages/s  ${perCommit.toFixed(1)} messages/commit\n`,
  )
  await owner.close()
  rmSync(directory, { recursive: true })
}

const messages = Number(process.argv[2] ?? 40_000)
await measure('4 KB accept', 4096, messages, false)
await measure('4 KB accept + settle', 4096, messages, true)
await measure('100 KB accept + settle', 102_400, Math.ceil(messages / 10), true)
