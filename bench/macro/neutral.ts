// Debian's smtp-source and smtp-sink in the places of our own source and sink, for figures that nobody can call home-made.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { program } from '../../test/support/peers/installed.ts'
import { freePort, portOpens } from '../../test/support/ports.ts'
import { Child, execute, TempFolder } from '../../test/support/process.ts'
import { eventually } from '../../test/support/wait.ts'

const TAIL_BYTES = 256

export class NeutralSink {
  readonly port: number
  readonly #child: Child
  readonly #folder: TempFolder
  readonly #counters: number
  readonly #tail: Buffer = Buffer.alloc(TAIL_BYTES)
  #base = 0

  private constructor(child: Child, port: number, folder: TempFolder, counters: number) {
    this.#child = child
    this.port = port
    this.#folder = folder
    this.#counters = counters
  }

  /** Its counters go to a file: a pipe would have us read a line a message, on the cores that are measured. */
  static async start(): Promise<NeutralSink> {
    const port = await freePort()
    const folder = new TempFolder('smtp-sink')
    const path = join(folder.path, 'counters')
    const counters = openSync(path, 'w+')
    const user = process.getuid?.() === 0 ? '-u postfix' : ''
    const child = new Child(['/bin/sh', '-c', `exec ${program('smtp-sink')} ${user} -c 127.0.0.1:${port} 2048 > ${path}`])
    await portOpens(port, 10_000, () => child.output())
    return new NeutralSink(child, port, folder, counters)
  }

  /** Messages since the last reset: the program rewrites its counters in one line. */
  get messages(): number {
    const end = fstatSync(this.#counters).size
    const read = readSync(this.#counters, this.#tail, 0, TAIL_BYTES, Math.max(0, end - TAIL_BYTES))
    return Number(/.*mesg=(\d+)/s.exec(this.#tail.toString('latin1', 0, read))?.[1] ?? 0) - this.#base
  }

  reset(): void {
    this.#base += this.messages
  }

  async reaches(target: number, ms: number): Promise<number> {
    await eventually(
      ms,
      `smtp-sink has ${target} messages`,
      () => (this.messages >= target ? true : undefined),
      () => `${this.messages}`,
    )
    return performance.timeOrigin + performance.now()
  }

  async stop(): Promise<void> {
    await this.#child.stop()
    closeSync(this.#counters)
    this.#folder[Symbol.dispose]()
  }
}

/** Resolves with the moment at which it began, in ms since 1970, when every message has been accepted. */
export async function runNeutralSource(
  port: number,
  messages: number,
  bytes: number,
  connections: number,
): Promise<{ startedAt: number; seconds: number }> {
  const startedAt = performance.timeOrigin + performance.now()
  const args = ['-s', String(connections), '-m', String(messages), '-l', String(bytes), '-d', '-f', 'a@example.org', '-t', 'b@example.net']
  const ran = await execute([program('smtp-source'), ...args, `127.0.0.1:${port}`], { ms: 300_000 })
  if (ran.code !== 0) throw new Error(`smtp-source: ${ran.stderr}`)
  return { startedAt, seconds: (performance.timeOrigin + performance.now() - startedAt) / 1000 }
}
