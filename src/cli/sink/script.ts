// Scripted answers: which share of commands is refused with which code. Pure, but for the seeded generator.

import { err, ok } from '../../lib/result.ts'
import type { Result } from '../../lib/result.ts'
import { Prng } from '../../lib/prng.ts'

/** Where a scripted answer is given: to MAIL, to each RCPT, to DATA or BDAT, or to the finished message. */
export const STAGES = ['mail', 'rcpt', 'data', 'dot'] as const
export type Stage = (typeof STAGES)[number]

export interface ScriptedReply {
  readonly code: number
  /** Part of all answers at the stage, 0 to 1. */
  readonly share: number
}

/** `451:0.1`, `550:5%`, or `421` for all. */
export function parseReply(text: string): Result<ScriptedReply, string> {
  const match = /^([245]\d\d)(?::(\d+(?:\.\d+)?)(%?))?$/.exec(text)
  if (!match) return err(`${text} is no CODE:SHARE, such as 451:0.1 or 550:5%`)
  const share = match[2] === undefined ? 1 : Number(match[2]) / (match[3] === '%' ? 100 : 1)
  return share <= 1 ? ok({ code: Number(match[1]), share }) : err(`${text}: a share is at most 1, or 100%`)
}

export class Script {
  readonly stage: Stage
  readonly delayMs: number
  readonly #replies: readonly ScriptedReply[]
  readonly #random: Prng

  constructor(stage: Stage, replies: readonly ScriptedReply[], delayMs: number, seed: number) {
    this.stage = stage
    this.delayMs = delayMs
    this.#replies = replies
    this.#random = new Prng(seed)
  }

  /** The code that the next answer at `stage` has instead of the usual one, 0 for the usual one. */
  pick(stage: Stage): number {
    if (stage !== this.stage || this.#replies.length === 0) return 0
    let at = this.#random.float()
    for (const { code, share } of this.#replies) {
      if (at < share) return code
      at -= share
    }
    return 0
  }
}

/** The reply line of a scripted code. */
export function scriptedLine(code: number): string {
  return `${code} ${Math.floor(code / 100)}.0.0 scripted answer\r\n`
}
