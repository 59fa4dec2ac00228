// One mail transaction: what was sent, what is awaited, who was accepted. Data only; pipeline.ts moves it.

import type { Attempt, Target } from './attempt.ts'
import type { Fit } from './fit.ts'
import type { Verdict } from './outcome.ts'

/** The reply that is awaited next; `body` awaits none, the content is on its way. */
export const Stage = {
  mail: 'mail',
  rcpt: 'rcpt',
  data: 'data',
  body: 'body',
  final: 'final',
  reset: 'reset',
} as const
export type Stage = (typeof Stage)[keyof typeof Stage]

export class Transaction {
  readonly attempt: Attempt
  readonly targets: readonly Target[]
  readonly fit: Fit
  stage: Stage = Stage.mail
  /** Whether MAIL, all RCPT and DATA went out at once (RFC 2920), or one by one. */
  readonly pipelined: boolean
  /** The refusal of MAIL: it holds for all targets. */
  mailRefusal: Verdict | undefined
  /** Replies to RCPT so far. */
  answered = 0
  readonly accepted: Target[] = []
  /** Final replies so far: LMTP gives one a target (RFC 2033 §4.2). */
  finals = 0
  /** Nobody was accepted but DATA was: an empty message was sent, whose reply concerns nobody (RFC 2920 §3.1). */
  empty = false
  /** RSET follows the content in the pipeline. */
  resetSent = false

  constructor(attempt: Attempt, targets: readonly Target[], fit: Fit, pipelined: boolean) {
    this.attempt = attempt
    this.targets = targets
    this.fit = fit
    this.pipelined = pipelined
  }

  /** Targets that have neither a verdict nor were put off. */
  unresolved(): readonly Target[] {
    if (this.stage === Stage.mail) return this.targets
    if (this.stage === Stage.rcpt) return [...this.accepted, ...this.targets.slice(this.answered)]
    if (this.empty || this.stage === Stage.reset) return []
    return this.accepted.slice(this.finals)
  }
}
