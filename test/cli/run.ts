// Runs a command line in this process and keeps what it writes.

import { PassThrough, Readable } from 'node:stream'
import { runCli } from '../../src/cli/main.ts'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly input?: string | Buffer
  /** Stands for SIGINT. */
  readonly signal?: AbortSignal
  /** Called with what was written so far, at each write. */
  readonly onOut?: (text: string) => void
  readonly onErr?: (text: string) => void
}

/** Runs `rohrpost …words`; resolves when the command has ended. A string is its standard input. */
export async function run(words: readonly string[], given: RunOptions | string = {}): Promise<Ran> {
  const options = typeof given === 'string' ? { input: given } : given
  const out = collector(options.onOut)
  const err = collector(options.onErr)
  const signal = options.signal ?? new AbortController().signal
  const stdin = Readable.from([Buffer.from(options.input ?? '')])
  const code = await runCli(words, { stdin, stdout: out.stream, stderr: err.stream, signal: () => signal })
  return { code, out: out.text(), err: err.text() }
}

function collector(onText?: (text: string) => void): { stream: PassThrough; text: () => string } {
  const stream = new PassThrough()
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    text += chunk
    onText?.(text)
  })
  return { stream, text: () => text }
}
