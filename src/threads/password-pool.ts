// The pool that checks passwords: a worker of its own with a bounded queue, so that logins, however many, wait for each
// other and never for a thread that has sessions, and so that libuv's pool stays free for commits.
//
// Belongs to the net thread that made it. The worker runs at a lower priority: under a flood of wrong passwords mail
// keeps its share of the cores. It is made at first use and ends when idle.

import { Piscina } from 'piscina'
import type { Credentials, PasswordPort, PasswordVerdict } from '../session/auth/ports.ts'
import type { PasswordTask } from './password.job.ts'

export interface PasswordPoolOptions {
  /** Workers; each takes 19 MiB for a hash. */
  readonly workers?: number
  /** Tasks running and waiting; one more is `busy`. 64 wait 2.5 s for one worker at 40 ms each. */
  readonly tasksMax?: number
  /** Told why a task failed: a stored hash that is none, a worker that died. */
  readonly report?: (problem: string) => void
}

export interface PasswordPool extends PasswordPort {
  /** Ends the workers; tasks that wait are answered `failed`. */
  close(): Promise<void>
}

const TASKS_MAX = 64
const IDLE_MS = 60_000
/** A third of the weight of a thread at 0, when the cores are contended. */
const NICE = 5

export function makePasswordPool(options: PasswordPoolOptions = {}): PasswordPool {
  return new PiscinaPasswords(options)
}

type Outcome = boolean | Credentials | 'busy' | 'failed'

class PiscinaPasswords implements PasswordPool {
  readonly #pool: Piscina<PasswordTask, boolean | Credentials>
  readonly #tasksMax: number
  readonly #report: (problem: string) => void
  #tasks = 0

  constructor(options: PasswordPoolOptions) {
    const workers = options.workers ?? 1
    this.#tasksMax = options.tasksMax ?? TASKS_MAX
    this.#report = options.report ?? ((): void => undefined)
    this.#pool = new Piscina({
      filename: jobFile(),
      minThreads: 0,
      maxThreads: workers,
      idleTimeout: IDLE_MS,
      concurrentTasksPerWorker: 1,
      niceIncrement: NICE,
      recordTiming: false,
    })
  }

  verify(argon2id: string, password: string, done: (verdict: PasswordVerdict) => void): void {
    this.#run({ kind: 'verify', argon2id, password }, (outcome) =>
      done(typeof outcome === 'string' ? outcome : outcome === true ? 'right' : 'wrong'),
    )
  }

  derive(password: string, done: (credentials: Credentials | 'busy' | 'failed') => void): void {
    this.#run({ kind: 'derive', password }, (outcome) => {
      done(typeof outcome === 'boolean' ? 'failed' : typeof outcome === 'string' ? outcome : withBuffers(outcome))
    })
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  #run(task: PasswordTask, done: (outcome: Outcome) => void): void {
    if (this.#tasks >= this.#tasksMax) return done('busy')
    this.#tasks++
    void this.#finish(task, done)
  }

  async #finish(task: PasswordTask, done: (outcome: Outcome) => void): Promise<void> {
    const outcome = await this.#outcome(task)
    this.#tasks--
    done(outcome)
  }

  async #outcome(task: PasswordTask): Promise<Outcome> {
    try {
      return await this.#pool.run(task)
    } catch (error) {
      this.#report(String(error))
      return 'failed'
    }
  }
}

/** The job beside this module: TypeScript as it lies here, JavaScript in the package. */
function jobFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new URL(`./password.job.${extension}`, import.meta.url).href
}

/** Structured clone makes Uint8Arrays of Buffers. */
function withBuffers(credentials: Credentials): Credentials {
  const { sha1, sha256 } = credentials.scram
  return { argon2id: credentials.argon2id, scram: { sha1: withBufferKeys(sha1), sha256: withBufferKeys(sha256) } }
}

function withBufferKeys(record: Credentials['scram']['sha1']): Credentials['scram']['sha1'] {
  const { salt, iterations, storedKey, serverKey } = record
  return { salt: Buffer.from(salt), iterations, storedKey: Buffer.from(storedKey), serverKey: Buffer.from(serverKey) }
}
