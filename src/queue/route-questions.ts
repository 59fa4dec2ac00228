// Which domains to ask the router about: one question in flight a domain, a bounded number over all. Scheduler thread.

import type { Domain } from './model.ts'
import type { QueueState } from './state.ts'

/** The domain has rows that wait for its route. After a temporary failure the question waits for its time. */
export function wantRoute<R>(q: QueueState<R>, domain: Domain<R>): void {
  if (domain.question !== 'none') return
  if (domain.retryAt > q.now) {
    q.agenda.atMost(domain, domain.retryAt)
    return
  }
  domain.question = 'wanted'
  q.wanted.add(domain)
}

/** Asks as many of the wanted questions as may be in flight. Without a deliver thread there is nobody to ask. */
export function askRoutes<R>(q: QueueState<R>): void {
  if (q.wanted.size === 0 || q.threadsUp().length === 0) return
  for (const domain of q.wanted) {
    if (q.asked.size >= q.settings.routeQuestions) return
    q.wanted.delete(domain)
    domain.question = 'asked'
    q.asked.add(domain)
    q.host.askRoute(domain.name)
  }
}

/** A deliver thread died: what it was asked may never be answered. Answers that come twice do no harm. */
export function askAgain<R>(q: QueueState<R>): void {
  for (const domain of q.asked) {
    domain.question = 'wanted'
    q.wanted.add(domain)
  }
  q.asked.clear()
}
