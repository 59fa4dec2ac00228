// Clients that say nothing, or one octet at a time: what counts is progress, not octets, so each is told 421 in time, and
// somebody who is slow but gets on is served.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { eventually } from '../../support/wait.ts'
import { openSockets, queueEmpties } from '../support/watch.ts'
import { Wire } from '../support/wire.ts'

const COMMAND_MS = 2000
const TRANSACTION_MS = 5000
/** Deadlines are looked at once a second, on a busy machine a little later. */
const LATE_MS = 3000
const OCTET_MS = 300

let sink: SmtpSink
let server: Server

before(async () => {
  sink = await SmtpSink.start()
  server = await startServer({
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
    limits: { commandTimeoutMs: COMMAND_MS, dataTimeoutMs: COMMAND_MS, transactionMsMax: TRANSACTION_MS, sessionMsMax: '1m' },
  })
})

after(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

/** Sends one octet after the other for as long as the connection lasts. */
function drip(wire: Wire, octets: string): Disposable {
  let at = 0
  const timer = setInterval(() => wire.write(octets[at++ % octets.length] as string), OCTET_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

interface Slow {
  readonly name: string
  readonly msMin: number
  readonly msMax: number
  /** Brings the session to where it gets slow. */
  prepare(wire: Wire): Promise<void>
  readonly octets: string
}

const nothing = (): Promise<void> => Promise.resolve()
const inData = (wire: Wire): Promise<void> => wire.openData('a@example.org', 'slow@example.net')
const inChunk = async (wire: Wire): Promise<void> => {
  await wire.exchange('MAIL FROM:<a@example.org>\r\nRCPT TO:<slow@example.net>\r\n', 2)
  wire.write('BDAT 100000 LAST\r\n')
}

const SLOW: readonly Slow[] = [
  { name: 'says nothing', msMin: COMMAND_MS - 100, msMax: COMMAND_MS, prepare: nothing, octets: '' },
  { name: 'sends a command octet by octet', msMin: COMMAND_MS - 100, msMax: COMMAND_MS, prepare: nothing, octets: 'NOOP ' },
  { name: 'is silent in DATA', msMin: COMMAND_MS - 100, msMax: COMMAND_MS, prepare: inData, octets: '' },
  { name: 'sends content octet by octet', msMin: COMMAND_MS, msMax: TRANSACTION_MS, prepare: inData, octets: 'Subject: x\r\n\r\n' },
  { name: 'sends a chunk octet by octet', msMin: COMMAND_MS, msMax: TRANSACTION_MS, prepare: inChunk, octets: 'Subject: x\r\n\r\n' },
]

async function isEnded({ name, msMin, msMax, prepare, octets }: Slow): Promise<void> {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await prepare(wire)
  const startedAt = performance.now()
  using _ = octets === '' ? undefined : drip(wire, octets)
  await wire.ends(msMax + LATE_MS + 5000)
  const took = performance.now() - startedAt
  assert.match(wire.text, /\r\n421 4\.4\.2 mx\.rohrpost\.test timeout, closing connection\r\n$/, name)
  assert.ok(took >= msMin && took <= msMax + LATE_MS, `${name}: ended after ${took.toFixed(0)} ms`)
}

test('who makes no progress is told 421 when the time of the phase is over', async () => {
  const sockets = openSockets(server.pid)
  await Promise.all(SLOW.map(isEnded))
  await eventually(10_000, 'their connections are gone', () => openSockets(server.pid) <= sockets || undefined)
  await queueEmpties(server)
  assert.equal(sink.count, 0)
})

test('a line every now and then is progress', async () => {
  using wire = await Wire.open({ port: server.port() })
  await wire.greet()
  await inData(wire)
  const lines = ['Subject: slow\r\n', '\r\n', ...Array.from({ length: 10 }, (_, n) => `line ${n}\r\n`), '.\r\n']
  for (const line of lines) {
    wire.write(line)
    await new Promise((resolve) => setTimeout(resolve, OCTET_MS))
  }
  await wire.reads(/\r\n250 2\.0\.0 queued as /)
  assert.equal((await sink.received(1))[0]?.to[0], 'slow@example.net')
})
