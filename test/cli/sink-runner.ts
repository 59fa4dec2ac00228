// `rohrpost sink` in this process, on a free port.

import { run } from './run.ts'
import type { Ran } from './run.ts'

export interface RunningSink {
  readonly port: number
  readonly ended: Promise<Ran>
  /** Resolves with the standard output once it holds `count` lines. */
  lines(count: number): Promise<string[]>
  /** As SIGTERM does. */
  stop(): Promise<Ran>
  [Symbol.asyncDispose](): Promise<void>
}

/** Resolves when the sink listens; rejects when it ends before. */
export async function startSink(...words: string[]): Promise<RunningSink> {
  const controller = new AbortController()
  let text = ''
  let wake: () => void = () => undefined
  let listening: (port: number) => void = () => undefined
  const port = new Promise<number>((resolve) => {
    listening = resolve
  })
  const ended = run(['sink', '--port', '0', ...words], {
    signal: controller.signal,
    onOut: (chunk) => {
      text += chunk
      wake()
    },
    onErr: (chunk) => {
      const match = /listens on .*:(\d+)/.exec(chunk)
      if (match) listening(Number(match[1]))
    },
  })
  const failed = ended.then((ran) => Promise.reject(new Error(`the sink ended: ${ran.err}`)))
  failed.catch(() => undefined)
  const stop = (): Promise<Ran> => {
    controller.abort()
    return ended
  }
  return {
    port: await Promise.race([port, failed]),
    ended,
    lines: async (count) => {
      while (text.split('\n').length <= count) await Promise.race([new Promise<void>((resolve) => (wake = resolve)), failed])
      return text.split('\n').slice(0, count)
    },
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  }
}
