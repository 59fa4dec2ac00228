// Shards belong to the data directory, not to threads: what four net threads queued is delivered by one, and the other way round.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load, loadId } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { TempFolder } from '../support/process.ts'
import { startServer, type ServerConfig } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const MS_MAX = 30_000

for (const [first, second] of [
  [4, 1],
  [1, 4],
] as const) {
  test(`what ${first} net threads queued is delivered after a restart with ${second}`, async () => {
    using folder = new TempFolder('owners')
    const port = await freePort()
    const sinkPort = await freePort()
    const config = (net: number): ServerConfig => ({
      threads: { net, deliver: 1, inspect: 1 },
      listeners: [{ protocol: 'smtp', port, tls: 'off' }],
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${sinkPort}` }],
      retry: { first: '1s', max: '5s', expire: '1h' },
    })
    const before = await startServer(config(first), folder.path)
    using load = new Load({ port, connections: 40, bodyBytes: 500 })
    await eventually(MS_MAX, 'load is taken', () => load.acknowledged.size > 2000 || undefined)
    load.stop()
    assert.equal(await before.stop(), 0)

    const arrived = new Set<string | undefined>()
    await using _sink = await SmtpSink.start({ keep: false, port: sinkPort, onMessage: ({ data }) => void arrived.add(loadId(data)) })
    await using after = await startServer(config(second), folder.path)
    const missing = (): string[] => [...load.acknowledged].filter((id) => !arrived.has(id))
    await eventually(
      MS_MAX,
      'everything arrives',
      () => missing().length === 0 || undefined,
      () => `${missing().length} of ${load.acknowledged.size} missing\n${after.child.output()}`,
    )
    assert.equal(await after.stop(), 0)
  })
}
