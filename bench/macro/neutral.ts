// Debian's smtp-source and smtp-sink in the places of our own source and sink, for figures that nobody can call home-made.

import { program } from '../../test/support/peers/installed.ts'
import { freePort, portOpens } from '../../test/support/ports.ts'
import { Child, execute } from '../../test/support/process.ts'
import { eventually } from '../../test/support/wait.ts'

export class NeutralSink {
  readonly port: number
  readonly #child: Child
  #base = 0

  private constructor(child: Child, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(): Promise<NeutralSink> {
    const port = await freePort()
    const user = process.getuid?.() === 0 ? ['-u', 'postfix'] : []
    const child = new Child([program('smtp-sink'), ...user, '-c', `127.0.0.1:${port}`, '2048'])
    await portOpens(port, 10_000, () => child.output())
    return new NeutralSink(child, port)
  }

  /** Messages since the last reset: the program rewrites its counters in one line. */
  get messages(): number {
    return Number(/.*mesg=(\d+)/s.exec(this.#child.stdout)?.[1] ?? 0) - this.#base
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
