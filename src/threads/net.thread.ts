// A net thread: listeners, sessions, and the shards it owns. Wiring between sockets, session/smtp, owner-service.ts and channels.

import type { Socket } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import type { Config, ListenerConfig } from '../config/schema.ts'
import { systemClock } from '../lib/clock.ts'
import { systemRandom } from '../lib/prng.ts'
import { turnAway, type Connection } from '../net/connection.ts'
import { ConnectionCounts, Front, type Endpoints, type FrontRefusal } from '../net/front.ts'
import { listen } from '../net/listener.ts'
import { ServerTls } from '../net/tls.ts'
import { makeAuthenticator } from '../session/auth/authenticator.ts'
import type { AdminAction, AdminRef, SpoolEvent, SpoolHost, SpoolOptions } from '../spool/ports.ts'
import { Channel } from './channel.ts'
import { dsnComposer } from './dsn.ts'
import type { BoundListener, DeliverToOwner, OwnerToDeliver, OwnerToScheduler, SchedulerToOwner } from './messages.ts'
import { makePasswordPool } from './password-pool.ts'
import { cidrs, ownerOptions } from './net-settings.ts'
import { OwnerService } from './owner-service.ts'
import { SmtpService } from './smtp-service.ts'
import { thisThread } from './thread.ts'
import { kindOf, ownerOf } from './topology.ts'
import { Traces } from './traces.ts'

const thread = thisThread()
const { data, log, metrics } = thread
let config: Config = data.config

const EVENT_COUNTERS = {
  reception: 'rohrpost_accepted_total',
  delivery: 'rohrpost_delivered_total',
  bounce: 'rohrpost_bounced_total',
  expiry: 'rohrpost_bounced_total',
  delay: 'rohrpost_deferred_total',
  // Counted where it happens: not every one is written down.
  rejection: undefined,
  admin: undefined,
} as const

const spoolEvents: Pick<SpoolHost, 'log' | 'event'> = {
  log,
  event: (event: SpoolEvent) => {
    const counter = EVENT_COUNTERS[event.type]
    if (counter) metrics.add(counter)
  },
}

const shards: number[] = []
for (let shard = 0; shard < data.shards; shard++) if (ownerOf(shard, config.threads.net) === data.name) shards.push(shard)

function spoolOptions(from: Config): SpoolOptions {
  return ownerOptions(from, { clock: systemClock, random: systemRandom(), composeDsn: dsnComposer(from) })
}

const service = await OwnerService.open(config.dataDir, shards, spoolOptions(config), spoolEvents)
const { owner } = service
const passwords = makePasswordPool({ report: (problem) => log.error({ problem }, 'passwords cannot be checked') })
const authenticator = await makeAuthenticator(config, { clock: systemClock, passwords, log, memory: data.auth })
const tls = config.listeners.some((listener) => listener.tls !== 'off') ? await ServerTls.load(config, data.ticketKeys) : undefined
const traces = new Traces(systemClock, 'client')
const connections = new Set<Connection>()
const smtp = new SmtpService({ config: () => config, owner, authenticator, tls, traces, metrics, log, clock: systemClock, connections })

function refuse(socket: Socket, client: string, why: FrontRefusal): void {
  log.warn({ client, why }, 'connection refused')
  metrics.add('rohrpost_refused_total')
  // RFC 5321 §3.8: 421 may be sent at any time. Who should have sent a PROXY header gets no answer: it is no mail client.
  if (why === 'busy' || why === 'client-busy') turnAway(socket, `421 4.7.0 ${config.hostname} too many connections\r\n`, systemClock)
  else socket.destroy()
}

const connectionCounts = new ConnectionCounts()

function frontOf(listener: ListenerConfig): Front {
  const events = {
    admitted: (socket: Socket, endpoints: Endpoints, release: () => void) => {
      metrics.add('rohrpost_connections_total')
      smtp.serve(listener, socket, endpoints, release)
    },
    refused: refuse,
  }
  return new Front(systemClock, config.limits, cidrs(config.proxyFrom), events, connectionCounts)
}

let countedCommits = 0
const fronts: Front[] = []
const servers: { close(): void }[] = []

async function openListeners(): Promise<BoundListener[]> {
  const bound: BoundListener[] = []
  for (const listener of config.listeners) {
    const front = frontOf(listener)
    const known = data.bound[listener.name]
    const address = { host: listener.host, port: known?.port ?? listener.port }
    const opened = await listen(address, (socket) => front.accept(socket))
    fronts.push(front)
    servers.push(opened.server)
    bound.push({ name: listener.name, ...opened.bound })
  }
  return bound
}

function peer(name: string, port: MessagePort): void {
  if (kindOf(name) === 'scheduler') {
    service.schedulerUp(new Channel<OwnerToScheduler, SchedulerToOwner>(port, (message) => service.fromScheduler(message)))
    return
  }
  const channel: Channel<OwnerToDeliver, DeliverToOwner> = new Channel<OwnerToDeliver, DeliverToOwner>(port, (message) =>
    service.fromDeliver(channel, message),
  )
}

/** Sessions end themselves when their transaction is over; what is left after main's patience ends with the thread. */
let draining = false
function drain(): void {
  draining = true
  for (const server of servers) server.close()
  const now = systemClock.now()
  for (const connection of connections) connection.drain(now)
  maybeDrained()
}

function maybeDrained(): void {
  if (draining && connections.size === 0) thread.drained()
}
smtp.onClosed = maybeDrained

async function stop(): Promise<void> {
  for (const connection of connections) connection.destroy()
  await owner.close()
  await authenticator.close()
  await passwords.close()
  thread.exit()
}

thread.run({
  peer,
  reload: (next) => {
    config = next
    for (const front of fronts) front.configure(next.limits, cidrs(next.proxyFrom))
    smtp.reload()
    owner.configure(spoolOptions(next))
    authenticator.reload(next)
    tls?.reload(next).catch((error: unknown) => log.error({ err: error }, 'certificates not reloaded: the old ones stay'))
  },
  drain,
  stop: () => void stop(),
  ask: (verb, args, answer) => {
    if (verb === 'trace') return traces.add(args, answer)
    if (verb === 'groups') {
      answer.row(owner.counts().groups)
      return answer.end()
    }
    if (verb !== 'admin') return answer.end(`a net thread has no verb ${verb}`)
    const { action, refs, reason } = args as { action: AdminAction; refs: AdminRef[]; reason: string }
    owner.admin(action, refs, reason).then(
      (changed) => {
        answer.row(changed)
        answer.end()
      },
      (error: unknown) => answer.end(error instanceof Error ? error.message : String(error)),
    )
  },
  second: () => {
    const now = systemClock.now()
    for (const connection of connections) if (connection.deadline <= now) connection.timeout(now)
    smtp.second()
    const { commits } = owner.counts()
    metrics.add('rohrpost_commits_total', commits - countedCommits)
    countedCommits = commits
  },
})
thread.up(await openListeners())
