// Two net and two deliver threads: every message once, whichever thread took it and whichever hands it on.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { queueIsEmpty } from '../support/control.ts'
import { Load, loadId } from '../support/load.ts'
import { startServer } from '../support/server.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { eventually } from '../support/wait.ts'

const MESSAGES = 400
const SITES = 3

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const copies = new Map<string, number>()
const onMessage = ({ data }: { data: Buffer }): unknown => copies.set(loadId(data) ?? '', (copies.get(loadId(data) ?? '') ?? 0) + 1)
const sinks = await Promise.all(Array.from({ length: SITES }, () => SmtpSink.start({ keep: false, onMessage })))
for (const sink of sinks) stack.use(sink)
const server = stack.use(
  await startServer({
    threads: { net: 2, deliver: 2 },
    routes: sinks.map((sink, index) => ({ domain: `site${index}.test`, to: `smtp://127.0.0.1:${sink.port}` })),
  }),
)

test('messages of both net threads leave by both deliver threads, each once', async () => {
  const loads = sinks.map((_, index) => new Load({ port: server.port(), connections: 4, bodyBytes: 500, recipient: `b@site${index}.test` }))
  // Each load names its messages alike: the site tells them apart.
  const taken = (): number => loads.reduce((sum, load) => sum + load.acknowledged.size, 0)
  await eventually(30_000, `${MESSAGES} messages are taken`, () => (taken() >= MESSAGES ? true : undefined))
  for (const load of loads) load.stop()
  await queueIsEmpty(server)
  for (const load of loads) load[Symbol.dispose]()
  assert.equal(
    sinks.reduce((sum, sink) => sum + sink.count, 0),
    [...copies.values()].reduce((sum, count) => sum + count, 0),
  )
  for (const [id, count] of copies) assert.ok(count <= SITES, `${id} came ${count} times`)
  assert.ok(sinks.every((sink, index) => sink.count >= (loads[index] as Load).acknowledged.size))
  const { stdout } = await server.command('metrics')
  const delivered = Number(/^rohrpost_delivered_total (\d+)$/m.exec(stdout)?.[1])
  assert.equal(
    delivered,
    sinks.reduce((sum, sink) => sum + sink.count, 0),
  )
})
