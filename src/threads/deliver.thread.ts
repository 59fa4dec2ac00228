// A deliver thread: routing, connections and attempts. Wiring between channels, deliver-service.ts and main.

import { networkInterfaces } from 'node:os'
import type { MessagePort } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'
import type { DeliverSettings } from '../deliver/dispatcher.ts'
import { deliverLimits } from '../deliver/limits.ts'
import { Router } from '../deliver/route.ts'
import { systemClock } from '../lib/clock.ts'
import { systemRandom } from '../lib/prng.ts'
import { systemResolver } from '../net/resolver.ts'
import { limitsFor, providerOf } from '../queue/shaping.ts'
import { SpoolReader } from '../spool/reader.ts'
import { Channel } from './channel.ts'
import { DeliverService } from './deliver-service.ts'
import type { DeliverToOwner, DeliverToScheduler, OwnerToDeliver, SchedulerToDeliver } from './messages.ts'
import { thisThread } from './thread.ts'
import { kindOf } from './topology.ts'
import { Traces } from './traces.ts'

const thread = thisThread()
const { data, log } = thread
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

// Nothing to do before: what main and the peers send waits in its ports.
Atomics.wait(data.spoolOpen, 0, 0)
const reader = await SpoolReader.open(data.config.dataDir)
const service = new DeliverService({
  netThreads: data.config.threads.net,
  deliver: { ...settingsOf(data.config), reader, clock: systemClock, trace: traces },
  router: makeRouter(data.config),
  log,
  closed: (conn) => traces.closed(conn),
  drained: () => thread.drained(),
})

function peer(name: string, port: MessagePort): void {
  if (kindOf(name) === 'scheduler')
    service.schedulerUp(new Channel<DeliverToScheduler, SchedulerToDeliver>(port, (message) => service.fromScheduler(message)))
  else service.ownerUp(name, new Channel<DeliverToOwner, OwnerToDeliver>(port, (message) => service.fromOwner(message)))
}

thread.run({
  peer,
  reload: (next) => service.configure(settingsOf(next), makeRouter(next)),
  drain: () => service.drain(),
  // Main's patience ends it if the owners do not answer.
  stop: () => service.abort(() => void reader.close().finally(() => thread.exit())),
  ask: (verb, args, answer) => {
    if (verb !== 'trace') return answer.end(`a deliver thread has no verb ${verb}`)
    traces.add(args, answer)
  },
  second: () => reader.closeIdle(),
})
thread.up()
