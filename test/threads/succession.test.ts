// What a thread makes of the successor of one that died: the service of each, with channels that only remember.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { defaultLimits } from '../../src/config/limits.ts'
import { deliverLimits } from '../../src/deliver/limits.ts'
import type { Router } from '../../src/deliver/route.ts'
import { ManualClock } from '../../src/lib/clock.ts'
import type { Log } from '../../src/lib/log.ts'
import { Prng } from '../../src/lib/prng.ts'
import type { Settlement } from '../../src/spool/types.ts'
import { Channel, type Sender } from '../../src/threads/channel.ts'
import { DeliverService } from '../../src/threads/deliver-service.ts'
import type { DeliverToOwner, DeliverToScheduler, SchedulerToDeliver, SchedulerToOwner } from '../../src/threads/messages.ts'
import { packRows } from '../../src/threads/messages.ts'
import { SchedulerService } from '../../src/threads/scheduler-service.ts'
import { MemoryReader } from '../deliver/support/spool.ts'

class Remembered<Out> implements Sender<Out> {
  readonly sent: Out[] = []
  closed = false

  send(message: Out): void {
    assert.ok(!this.closed, 'sent to a channel that was closed')
    this.sent.push(message)
  }

  sendSoon(message: Out): void {
    this.send(message)
  }

  close(): void {
    this.closed = true
  }
}

const silent = { info: (): void => undefined, warn: (): void => undefined }

function service(deliverThreads: number, log: Pick<Log, 'info' | 'warn'> = silent, clock = new ManualClock()): SchedulerService {
  return new SchedulerService({ netThreads: 1, deliverThreads, shards: 1, clock, random: new Prng(1), settings: {}, log })
}

function row(id: number, domain: string): Parameters<typeof packRows>[0][number] {
  const times = { due: 0, expires: 2e12, warnAt: 0 }
  return { id, group: 0, domain, tenant: '', class: 1, priority: 0, ...times, attempts: 0, recipients: 1, bytes: 1, held: false }
}

test('a question about a route that a thread took with it is asked again of one that lives', () => {
  const scheduler = service(2)
  const owner = new Remembered<SchedulerToOwner>()
  scheduler.ownerUp('net.1', owner)
  const delivers = [new Remembered<SchedulerToDeliver>(), new Remembered<SchedulerToDeliver>()]
  for (const [index, deliver] of delivers.entries()) {
    scheduler.deliverUp(index, deliver)
    scheduler.fromDeliver(index, { kind: 'deliver.inflight', rows: [] })
  }
  const domains = ['a.example', 'b.example', 'c.example', 'd.example']
  scheduler.fromOwner('net.1', owner, { kind: 'spool.announce', rows: packRows(domains.map((domain, i) => row(i + 1, domain))) })
  for (const deliver of delivers) assert.equal(deliver.sent.length, 2)
  const successor = new Remembered<SchedulerToDeliver>()
  scheduler.deliverUp(0, successor)
  const asked = [...(delivers[1]?.sent ?? []), ...successor.sent].map((message) =>
    message.kind === 'schedule.route' ? message.domain : '',
  )
  assert.deepEqual(new Set(asked), new Set(domains))
  assert.equal(delivers[0]?.sent.length, 2)
})

test('a scheduler closes the channel of an owner and of a deliver thread that have successors', () => {
  const scheduler = service(1)
  const owners = [new Remembered<SchedulerToOwner>(), new Remembered<SchedulerToOwner>()]
  const delivers = [new Remembered<SchedulerToDeliver>(), new Remembered<SchedulerToDeliver>()]
  for (const owner of owners) scheduler.ownerUp('net.1', owner)
  for (const deliver of delivers) scheduler.deliverUp(0, deliver)
  assert.deepEqual(
    [...owners, ...delivers].map(({ closed }) => closed),
    [true, false, true, false],
  )
})

test('what waits in the port of a channel that was closed is not heard', async () => {
  const { port1, port2 } = new MessageChannel()
  const heard: string[] = []
  const channel = new Channel<string, string>(port1, (message) => heard.push(message))
  port2.postMessage(['first'])
  while (heard.length === 0) await turn()
  // What a dead scheduler had posted when its successor came: an order to open a connection, one too many for its site.
  port2.postMessage(['second'])
  channel.close()
  for (let i = 0; i < 10; i++) await turn()
  assert.deepEqual(heard, ['first'])
  port2.close()
})

function settlement(id: number): Settlement {
  const origin = { site: 'smtp://192.0.2.1:25', source: 'default', peer: '', peerDsn: false, peerDeliverBy: false, tls: '' }
  return { id, group: 0, results: [], places: 1, ...origin, startedAt: 0, finishedAt: 0 }
}

test('outcomes that wait for their owner stop new work, until half of them are written; a new scheduler hears of it', () => {
  const clock = new ManualClock()
  const deliver = new DeliverService({
    netThreads: 1,
    deliver: { reader: new MemoryReader(), clock, sources: [], limits: deliverLimits(defaultLimits), allowHosts: [], ownAddresses: [] },
    router: {} as Router,
    log: { warn: () => undefined, error: () => undefined },
    closed: () => undefined,
    drained: () => undefined,
  })
  const scheduler = new Remembered<DeliverToScheduler>()
  const owner = new Remembered<DeliverToOwner>()
  deliver.schedulerUp(scheduler)
  deliver.ownerUp('net.1', owner)
  const told = (of: Remembered<DeliverToScheduler>): boolean[] =>
    of.sent.flatMap((one) => (one.kind === 'deliver.behind' ? [one.behind] : []))
  for (let id = 1; id <= 4000; id++) deliver.settle([settlement(id)])
  assert.deepEqual(told(scheduler), [])
  deliver.settle([settlement(4001)])
  assert.deepEqual(told(scheduler), [true])
  const successor = new Remembered<DeliverToScheduler>()
  deliver.schedulerUp(successor)
  assert.deepEqual(told(successor), [true])
  const batches = owner.sent.map(({ batch }) => batch)
  for (const batch of batches.slice(0, 2000)) deliver.fromOwner({ kind: 'spool.ack', batch })
  assert.deepEqual(told(successor), [true])
  deliver.fromOwner({ kind: 'spool.ack', batch: batches[2000] as number })
  assert.deepEqual(told(successor), [true, false])
})

/** A DNS outage left nothing in the log. */
test('domains without a route are told once a minute, with their number', () => {
  const told: string[] = []
  const warn = (facts: object, text: string): void => void told.push(`${text} ${JSON.stringify(facts)}`)
  const clock = new ManualClock()
  const scheduler = service(1, { info: (): void => undefined, warn: warn as Log['warn'] }, clock)
  scheduler.deliverUp(0, new Remembered<SchedulerToDeliver>())
  const reply = { code: 451, enhanced: '4.4.3', text: 'no answer' }
  const fail = (domain: string): void =>
    scheduler.fromDeliver(0, { kind: 'deliver.route', domain, answer: { kind: 'temporary', reply, retryMs: 1000 } })
  for (const domain of ['a.example', 'b.example', 'c.example']) fail(domain)
  clock.advance(60_000)
  fail('d.example')
  const said = JSON.stringify(reply)
  assert.deepEqual(told, [
    `no route for now {"domain":"a.example","reply":${said},"failures":1}`,
    `no route for now {"domain":"d.example","reply":${said},"failures":3}`,
  ])
})
