// The scheduler thread: the one place that decides what goes next. Wiring between channels, scheduler-service.ts and main.

import type { MessagePort } from 'node:worker_threads'
import { systemClock } from '../lib/clock.ts'
import { systemRandom } from '../lib/prng.ts'
import type { GroupExplanation, RowRef } from '../queue/ports.ts'
import { schedulerSettings } from '../queue/settings.ts'
import { Channel } from './channel.ts'
import type { DeliverToScheduler, OwnerToScheduler, SchedulerToDeliver, SchedulerToOwner } from './messages.ts'
import { SchedulerService } from './scheduler-service.ts'
import { thisThread, type Answer } from './thread.ts'
import { kindOf } from './topology.ts'

const thread = thisThread()
const { config, shards } = thread.data
const service = new SchedulerService({
  netThreads: config.threads.net,
  deliverThreads: config.threads.deliver,
  shards,
  clock: systemClock,
  random: systemRandom(),
  settings: schedulerSettings(config),
  log: thread.log,
})
const { scheduler } = service

function peer(name: string, port: MessagePort): void {
  if (kindOf(name) === 'net') {
    const owner: Channel<SchedulerToOwner, OwnerToScheduler> = new Channel<SchedulerToOwner, OwnerToScheduler>(port, (message) =>
      service.fromOwner(name, owner, message),
    )
    service.ownerUp(name, owner)
    return
  }
  const index = Number(name.split('.')[1]) - 1
  service.deliverUp(index, new Channel<SchedulerToDeliver, DeliverToScheduler>(port, (message) => service.fromDeliver(index, message)))
}

function counts(): Record<string, number> {
  const total = { scheduled: 0, ready: 0, active: 0, held: 0 }
  for (const site of scheduler.summary()) {
    total.scheduled += site.scheduled
    total.ready += site.ready + site.routing
    total.active += site.inFlight
    total.held += site.held
  }
  return total
}

const QUEUE_STATES = {
  held: 'held',
  scheduled: 'scheduled',
  routing: 'ready',
  ready: 'ready',
  inFlight: 'active',
  leaving: 'active',
} as const

/** Of a group without an entry only the site is known here; the stored record tells the rest. */
function overlay(refs: readonly (RowRef & { readonly domain: string })[]): unknown[] {
  return scheduler.view(refs).map((view, index) => {
    if (!view) return { site: scheduler.siteOf(refs[index]?.domain ?? '') || refs[index]?.domain }
    const { state, nextAttempt, lastReply } = view
    return { site: view.site || view.domain, state: QUEUE_STATES[state], nextAttempt, lastReply }
  })
}

function explanation(row: GroupExplanation | undefined): unknown {
  if (!row) return { state: 'unknown', nextAttempt: '', binding: scheduler.explainAbsent() ?? null }
  const nextAttempt = row.nextAttempt > 0 ? new Date(row.nextAttempt).toISOString() : ''
  return { domain: row.domain, site: row.site, state: QUEUE_STATES[row.state], nextAttempt, binding: row.binding, lastReply: row.lastReply }
}

function ask(verb: string, args: unknown, answer: Answer): void {
  switch (verb) {
    case 'summary':
      for (const row of scheduler.summary()) answer.row(row)
      break
    case 'counts':
      answer.row(counts())
      break
    case 'overlay':
      answer.row(overlay(args as readonly (RowRef & { readonly domain: string })[]))
      break
    case 'paging':
      answer.row(scheduler.isPaging)
      break
    case 'explain':
      for (const row of scheduler.explain(args as readonly RowRef[])) answer.row(explanation(row))
      break
    case 'wake':
      for (const name of args as readonly string[]) scheduler.wake(name)
      service.arm()
      break
    default:
      return answer.end(`the scheduler has no verb ${verb}`)
  }
  answer.end()
}

thread.run({
  peer,
  ask,
  reload: (next) => {
    scheduler.configure(schedulerSettings(next))
    service.arm()
  },
  drain: () => thread.drained(),
  stop: () => {
    service.stop()
    thread.exit()
  },
  second: () => undefined,
})
thread.up()
