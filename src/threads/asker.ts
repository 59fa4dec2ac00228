// Questions from main to a thread, answered by rows. Main thread.

import { ControlError } from '../admin/control.ts'
import type { FromMain } from './messages.ts'

const FAILED = 1
const NOT_RUNNING = 69

interface Pending {
  readonly thread: string
  readonly row: (row: unknown) => void
  readonly end: (error: ControlError | undefined) => void
}

export class Asker {
  readonly #send: (thread: string, message: FromMain) => void
  readonly #isUp: (thread: string) => boolean
  readonly #pending = new Map<number, Pending>()
  #next = 1

  constructor(send: (thread: string, message: FromMain) => void, isUp: (thread: string) => boolean) {
    this.#send = send
    this.#isUp = isUp
  }

  /** Asks and resolves when the thread has ended its answer; rejects when it is down or refuses. */
  ask(thread: string, verb: string, args: unknown, row: (row: unknown) => void = () => undefined): Promise<void> {
    const { done } = this.stream(thread, verb, args, row)
    return done
  }

  /** As `ask`, with a way to end a stream that would go on. */
  stream(thread: string, verb: string, args: unknown, row: (row: unknown) => void): { done: Promise<void>; cancel: () => void } {
    if (!this.#isUp(thread))
      return {
        done: Promise.reject(new ControlError(NOT_RUNNING, `thread ${thread} is not up yet; try again`)),
        cancel: () => undefined,
      }
    const request = this.#next++
    const done = new Promise<void>((resolve, reject) => {
      this.#pending.set(request, { thread, row, end: (error) => (error === undefined ? resolve() : reject(error)) })
    })
    this.#send(thread, { kind: 'main.ask', request, verb, args })
    return { done, cancel: () => this.#send(thread, { kind: 'main.cancel', request }) }
  }

  row(request: number, row: unknown): void {
    this.#pending.get(request)?.row(row)
  }

  end(request: number, error: string | undefined): void {
    this.#pending.get(request)?.end(error === undefined ? undefined : new ControlError(FAILED, error))
    this.#pending.delete(request)
  }

  /** A thread has died: its questions have no answer. */
  lost(thread: string): void {
    for (const [request, pending] of this.#pending) {
      if (pending.thread !== thread) continue
      this.#pending.delete(request)
      pending.end(new ControlError(NOT_RUNNING, `thread ${thread} ended before its answer did`))
    }
  }
}
