// Other programs as children: their output is kept, they end with the test.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, within } from './wait.ts'

export interface Options {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A temporary folder that goes away with `await using`. The daemons of other users may enter it. */
export class TempFolder {
  readonly path: string

  constructor(name: string) {
    this.path = mkdtempSync(join(tmpdir(), `rohrpost-${name}-`))
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** A running child. Output is kept up to a limit; the oldest goes first. */
export class Child {
  static readonly #OUTPUT_MAX = 4 * 1024 * 1024
  readonly process: ChildProcess
  readonly #command: string
  stdout = ''
  stderr = ''
  readonly exited: Promise<number | null>

  constructor(command: readonly [string, ...string[]], options: Options = {}) {
    const [file, ...args] = command
    this.#command = command.join(' ')
    this.process = spawn(file, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
    this.process.stdout?.on('data', (chunk: Buffer) => (this.stdout = (this.stdout + chunk.toString()).slice(-Child.#OUTPUT_MAX)))
    this.process.stderr?.on('data', (chunk: Buffer) => (this.stderr = (this.stderr + chunk.toString()).slice(-Child.#OUTPUT_MAX)))
    this.process.stdin?.on('error', () => undefined)
    this.process.stdin?.end(options.input ?? '')
    this.exited = new Promise((resolve) => {
      this.process.on('error', (error) => {
        this.stderr += String(error)
        resolve(null)
      })
      this.process.on('close', (code) => resolve(code))
    })
  }

  get pid(): number {
    return this.process.pid ?? -1
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  output(): string {
    return `${this.#command}\n${this.stdout}${this.stderr}`
  }

  /** Resolves with the match once the output holds it; rejects when the program ends before. */
  async prints(pattern: RegExp, ms = 20_000): Promise<RegExpExecArray> {
    const probe = (): RegExpExecArray | undefined => {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (match) return match
      if (!this.alive) throw new Error(`${this.#command} ended with ${this.process.exitCode} before ${pattern}\n${this.output()}`)
      return undefined
    }
    return eventually(ms, `${this.#command} prints ${pattern}`, probe, () => this.output())
  }

  signal(name: NodeJS.Signals): void {
    if (this.alive) this.process.kill(name)
  }

  /** SIGTERM, and SIGKILL when that does not end it in time. Resolves with the exit code. */
  async stop(ms = 15_000, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.signal(signal)
    try {
      return await within(ms, `${this.#command} ends after ${signal}`, this.exited)
    } catch (error) {
      this.signal('SIGKILL')
      await this.exited
      throw error
    }
  }
}

/** Runs a program to its end. */
export async function execute(
  command: readonly [string, ...string[]],
  options: Options & { readonly ms?: number } = {},
): Promise<Finished> {
  const child = new Child(command, options)
  try {
    const code = await within(options.ms ?? 60_000, command.join(' '), child.exited)
    return { code, stdout: child.stdout, stderr: child.stderr }
  } finally {
    child.signal('SIGKILL')
  }
}
