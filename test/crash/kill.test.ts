// kill -9 at random instants under load. Every message that was answered 250 arrives at the sink, and a message arrives
// twice only when it was in flight: sent to the sink so shortly before a kill that its outcome was not yet on disk.
//
// Five kills in `npm test`, fifty with at least 10,000 messages answered in `npm run test:crash`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { Load, loadId } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { TempFolder } from '../support/process.ts'
import { runSeed } from '../support/seed.ts'
import { spawnServer, startServer, type Server, type ServerConfig } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually, pause } from '../support/wait.ts'

const long = process.env['ROHRPOST_LONG'] === '1'
const KILLS = long ? 50 : 5
const ACKNOWLEDGED_MIN = long ? 10_000 : 500
const CONNECTIONS = 30
const BODY_BYTES = 3000
/** A kill comes so long after the ready line at the latest. */
const LIFE_MS_MAX = 1_200
/** One kill in so many comes while the server is still starting. */
const EARLY_EVERY = 5
const START_MS = 700
/** Settlements are committed within 20 ms when idle; under this load, with the cores shared, within so many. */
const IN_FLIGHT_MS = 1_500
const DRAIN_MS = 60_000

/** When the sink took each copy of a message, and in which life of the server. */
interface Copy {
  readonly at: number
  readonly life: number
}

class Ledger {
  readonly copies = new Map<string, Copy[]>()
  readonly kills: number[] = []
  /** Counts up when all that the killed server had sent has been read. */
  life = 0

  take(data: Buffer): void {
    const id = loadId(data)
    assert.ok(id, 'a message without its id')
    const list = this.copies.get(id) ?? []
    list.push({ at: performance.now(), life: this.life })
    this.copies.set(id, list)
  }

  missing(acknowledged: ReadonlySet<string>): string[] {
    return [...acknowledged].filter((id) => !this.copies.has(id))
  }

  /** Copies that were neither in flight at a kill nor sent by the next life of the server. */
  unexplained(): string[] {
    return [...this.copies].flatMap(([id, copies]) =>
      copies.slice(1).flatMap((copy, index) => {
        const before = copies[index] as Copy
        const kill = this.kills[before.life]
        if (kill === undefined || copy.life === before.life) return [`${id}: twice in life ${copy.life}`]
        const age = kill - before.at
        return age > IN_FLIGHT_MS ? [`${id}: again ${age.toFixed(0)} ms before kill ${before.life + 1}`] : []
      }),
    )
  }

  duplicates(): number {
    let count = 0
    for (const copies of this.copies.values()) count += copies.length - 1
    return count
  }
}

/** Starts, lets it live for a random while, kills; some lives end before the ready line. */
async function oneLife(random: Prng, config: ServerConfig, folder: string, ledger: Ledger): Promise<void> {
  if (ledger.life % EARLY_EVERY === EARLY_EVERY - 1) {
    const child = spawnServer(`${folder}/rohrpost.config.json`)
    await pause(random.below(START_MS))
    ledger.kills.push(performance.now())
    child.signal('SIGKILL')
    await child.exited
    return
  }
  const server = await startServer(config, folder)
  await pause(random.below(LIFE_MS_MAX))
  ledger.kills.push(performance.now())
  await server.kill()
}

/** Goes on for as long as the load needs to reach its number, then until the queue is empty. */
async function lastLife(server: Server, load: Load, ledger: Ledger): Promise<void> {
  await eventually(
    DRAIN_MS,
    `${ACKNOWLEDGED_MIN} messages answered 250`,
    () => load.acknowledged.size >= ACKNOWLEDGED_MIN || undefined,
    () => server.child.output(),
  )
  load.stop()
  const isComplete = (): true | undefined => ledger.missing(load.acknowledged).length === 0 || undefined
  const missing = (): string =>
    `${ledger.missing(load.acknowledged).length} missing, such as ${ledger.missing(load.acknowledged).slice(0, 5).join(' ')}\n${server.child.output()}`
  await eventually(DRAIN_MS, 'every acknowledged message arrives', isComplete, missing)
}

test(`${KILLS} kills under load lose nothing that was answered 250`, async (t) => {
  const random = new Prng(runSeed())
  using folder = new TempFolder('kill')
  const ledger = new Ledger()
  await using sink = await SmtpSink.start({ keep: false, onMessage: ({ data }) => ledger.take(data) })
  const port = await freePort()
  const config: ServerConfig = {
    listeners: [{ protocol: 'smtp', port, tls: 'off' }],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    retry: { first: '1s', max: '5s', expire: '1h' },
  }
  using load = new Load({ port, connections: CONNECTIONS, bodyBytes: BODY_BYTES })

  for (; ledger.life < KILLS; ledger.life++) {
    await oneLife(random, config, folder.path, ledger)
    await sink.idle()
  }
  const server = await startServer(config, folder.path)
  try {
    await lastLife(server, load, ledger)
    t.diagnostic(
      `${load.acknowledged.size} answered 250, ${load.refused} refused, ${ledger.duplicates()} duplicates after ${ledger.kills.length} kills`,
    )
    assert.deepEqual(ledger.unexplained(), [])
    assert.equal(await server.stop(), 0)
  } finally {
    await server.kill()
  }
})
