// A deliver thread: routing, connections and attempts. Wiring between channels, deliver/dispatcher.ts and deliver/route.ts.
//
// A batch of settlements is kept until its owner says that it is committed, and sent again to a restarted owner.

import { networkInterfaces } from 'node:os'
import type { MessagePort } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'
import { DeliverCore, type DeliverSettings } from '../deliver/dispatcher.ts'
import { deliverLimits } from '../deliver/limits.ts'
import type { ConnectionDown, DeliverHost, PeerInfo } from '../deliver/ports.ts'
import { Router } from '../deliver/route.ts'
import { systemClock } from '../lib/clock.ts'
import { systemRandom } from '../lib/prng.ts'
import { systemResolver } from '../net/resolver.ts'
import { limitsFor, providerOf } from '../queue/shaping.ts'
import type { ReturnedItem, ReturnReason } from '../queue/ports.ts'
import { idToText, shardOf } from '../spool/ids.ts'
import { SpoolReader } from '../spool/reader.ts'
import type { Settlement } from '../spool/types.ts'
import { Channel } from './channel.ts'
import type { DeliverToOwner, DeliverToScheduler, OwnerToDeliver, SchedulerToDeliver } from './messages.ts'
import { packSettlements, unpackItems, unpackSettlements, type Packed } from './messages.ts'
import { thisThread } from './thread.ts'
import { kindOf, ownerOf } from './topology.ts'
import { Traces } from './traces.ts'

interface Owner {
  readonly channel: Channel<DeliverToOwner, OwnerToDeliver>
}

const thread = thisThread()
let config = thread.data.config
const owners = new Map<string, Owner>()
let scheduler: Channel<DeliverToScheduler, SchedulerToDeliver> | undefined

/** Settlements by batch number that their owner has not acknowledged. */
const unacknowledged = new Map<number, { readonly owner: string; readonly settlements: Packed }>()
let nextBatch = 1
let draining = false

function settle(settlements: readonly Settlement[]): void {
  const split = new Map<string, Settlement[]>()
  for (const settlement of settlements) {
    const owner = ownerOf(shardOf(settlement.id), thread.data.config.threads.net)
    const list = split.get(owner)
    if (list) list.push(settlement)
    else split.set(owner, [settlement])
  }
  for (const [owner, list] of split) {
    const batch = nextBatch++
    const packed = packSettlements(list)
    unacknowledged.set(batch, { owner, settlements: packed })
    owners.get(owner)?.channel.sendSoon({ kind: 'deliver.settle', batch, settlements: packed })
  }
}

function acknowledged(batch: number): void {
  unacknowledged.delete(batch)
  maybeDrained()
}

function maybeDrained(): void {
  if (draining && core.connections === 0 && unacknowledged.size === 0) thread.drained()
}

const host: DeliverHost = {
  connectionUp: (conn: number, info: PeerInfo) => {
    if (info.tlsFallback) thread.log.warn({ peer: info.peer, cause: info.tlsFallback }, 'TLS failed, sending in plain text')
    scheduler?.send({ kind: 'deliver.up', conn })
  },
  pull: (conn, want, onHand) => scheduler?.send({ kind: 'deliver.pull', conn, want, onHand }),
  returned: (conn, items: readonly ReturnedItem[], reason: ReturnReason, cause?: string) => {
    if (reason === 'error')
      thread.log.error({ messages: items.map(({ id }) => idToText(id)), cause }, 'message cannot be delivered now: it stays in the queue')
    scheduler?.send({ kind: 'deliver.returned', conn, items, reason })
  },
  connectionDown: (conn, down: ConnectionDown) => {
    traces.closed(conn)
    scheduler?.send({ kind: 'deliver.down', conn, down })
    maybeDrained()
  },
  settle,
}

const traces = new Traces(systemClock, 'site')

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address))
}

function settingsOf(from: Config): DeliverSettings {
  return {
    sources: [{ name: 'default', hello: from.hostname }],
    limits: deliverLimits(from.limits),
    allowHosts: from.allowHosts,
    ownAddresses: ownAddresses(),
  }
}

// Nothing to do before: what main and the peers send waits in its ports.
Atomics.wait(thread.data.spoolOpen, 0, 0)
const reader = await SpoolReader.open(config.dataDir)
const core = new DeliverCore({ ...settingsOf(config), host, reader, clock: systemClock, trace: traces })
let router = makeRouter(config)

function makeRouter(from: Config): Router {
  const configured = [{ origin: 'limits', limits: { idleReuseMs: from.limits.idleReuseMs } }]
  return new Router({
    config: from,
    resolver: systemResolver(from),
    random: systemRandom(),
    ownAddresses: ownAddresses(),
    limitsFor: (site, provider) => limitsFor(site, provider, configured),
    providerOf,
  })
}

function findRoute(domain: string): void {
  const asked = router
  asked.route(domain, (answer) => {
    if (asked !== router) return findRoute(domain)
    // Connections to hosts that the site has given up end; the scheduler opens new ones.
    if (answer.kind === 'site') core.routeChanged(answer.site)
    scheduler?.send({ kind: 'deliver.route', domain, answer })
  })
}

function fromScheduler(message: SchedulerToDeliver): void {
  switch (message.kind) {
    case 'schedule.held':
      scheduler?.send({ kind: 'deliver.held', rows: [...core.held(), ...unsettled()] })
      break
    case 'schedule.route':
      findRoute(message.domain)
      break
    case 'schedule.open':
      core.open(message.conn, message.site, message.source)
      break
    case 'schedule.grant':
      core.grant(message.conn, unpackItems(message.items))
      break
    case 'schedule.close':
      core.close(message.conn)
      break
  }
}

function peer(name: string, port: MessagePort): void {
  if (kindOf(name) === 'scheduler') {
    // A scheduler's connections are known to it alone: those of a dead one finish what they have begun and end.
    if (scheduler) core.retire()
    scheduler = new Channel<DeliverToScheduler, SchedulerToDeliver>(port, fromScheduler)
    scheduler.send({ kind: 'deliver.inflight', rows: [...core.held(), ...unsettled()] })
    return
  }
  const channel = new Channel<DeliverToOwner, OwnerToDeliver>(port, (message) => acknowledged(message.batch))
  owners.set(name, { channel })
  for (const [batch, { owner, settlements }] of unacknowledged)
    if (owner === name) channel.send({ kind: 'deliver.settle', batch, settlements })
}

function unsettled(): { id: number; group: number }[] {
  const rows: { id: number; group: number }[] = []
  for (const { settlements } of unacknowledged.values())
    for (const { id, group } of unpackSettlements(settlements)) rows.push({ id, group })
  return rows
}

thread.run({
  peer,
  reload: (next) => {
    config = next
    core.configure(settingsOf(next))
    router = makeRouter(next)
    scheduler?.send({ kind: 'deliver.rerouted' })
  },
  drain: () => {
    draining = true
    core.drain()
    maybeDrained()
  },
  stop: () => {
    core.abort()
    void reader.close().finally(() => thread.exit())
  },
  ask: (verb, args, answer) => {
    if (verb !== 'trace') return answer.end(`a deliver thread has no verb ${verb}`)
    traces.add(args, answer)
  },
  second: () => reader.closeIdle(),
})
thread.up()
