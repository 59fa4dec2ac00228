// A thread of each kind throws under load, several times: it is started again, and nothing that was answered 250 is lost.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Load, loadId } from '../support/load.ts'
import { freePort } from '../support/ports.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const ROUNDS = 3
const MS_MAX = 30_000

for (const thread of ['net.1', 'net.2', 'scheduler', 'deliver.1'] as const) {
  test(`${thread} throws ${ROUNDS} times under load and nothing acknowledged is lost`, async () => {
    const arrived = new Set<string | undefined>()
    await using sink = await SmtpSink.start({ keep: false, onMessage: ({ data }) => void arrived.add(loadId(data)) })
    const port = await freePort()
    await using server = await startServer({
      threads: { net: 2, deliver: 1, inspect: 1 },
      listeners: [{ protocol: 'smtp', port, tls: 'off' }],
      routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
      retry: { first: '1s', max: '5s', expire: '1h' },
    })
    using load = new Load({ port, connections: 20, bodyBytes: 3000 })
    for (let round = 1; round <= ROUNDS; round++) {
      const before = load.acknowledged.size
      await eventually(MS_MAX, 'load is taken', () => load.acknowledged.size > before + 200 || undefined)
      // 69: it has not come up again after the last round.
      await eventually(MS_MAX, `${thread} is up`, async () => (await server.command('debug', 'throw', thread)).code === 0 || undefined)
      await eventually(
        MS_MAX,
        `death ${round} of ${thread} is logged`,
        () => server.child.output().split('thread died').length > round || undefined,
      )
    }
    const before = load.acknowledged.size
    await eventually(MS_MAX, 'load is taken after the last death', () => load.acknowledged.size > before + 200 || undefined)
    load.stop()
    const missing = (): string[] => [...load.acknowledged].filter((id) => !arrived.has(id))
    await eventually(
      MS_MAX,
      'everything arrives',
      () => missing().length === 0 || undefined,
      () => `${missing().length} of ${load.acknowledged.size} missing\n${server.child.output()}`,
    )
    assert.equal(await server.stop(), 0)
  })
}
