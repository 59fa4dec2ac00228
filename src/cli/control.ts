// The client of the control socket: one request, rows until the end. See admin/control.ts for the other side.

import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { CliError, ExitCode } from './command.ts'

export interface ControlRequest {
  readonly dataDir: string
  readonly verb: string
  readonly args: Readonly<Record<string, unknown>>
  /** Ends the request early. */
  readonly signal?: AbortSignal
}

/**
 * Asks the running server and hands each row to `onRow`; resolves to the exit code that the server gives.
 * Rejects with CliError: not running (69), or what the server says.
 */
export async function askServer(request: ControlRequest, onRow: (row: unknown) => Promise<void> | void): Promise<number> {
  const socket = await connect(request.dataDir)
  const stop = (): void => void socket.destroy()
  request.signal?.addEventListener('abort', stop, { once: true })
  try {
    socket.write(`${JSON.stringify({ verb: request.verb, args: request.args })}\n`)
    for await (const line of linesOf(socket)) {
      const answer = parseAnswer(line)
      if ('row' in answer) await onRow(answer.row)
      else if (answer.end) return answer.end.code
      else throw new CliError(exitCodeOf(answer.error.code), answer.error.text)
    }
  } finally {
    request.signal?.removeEventListener('abort', stop)
    socket.destroy()
  }
  if (request.signal?.aborted) return ExitCode.ok
  throw new CliError(ExitCode.notRunning, 'the server ended before its answer did')
}

const LINE_CHARS_MAX = 64 * 1024 * 1024

/** Lines until the other side ends or the socket is destroyed. */
async function* linesOf(socket: Socket): AsyncGenerator<string> {
  socket.setEncoding('utf8')
  let rest = ''
  const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<string>
  try {
    for await (const chunk of chunks) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() as string
      if (rest.length > LINE_CHARS_MAX) throw new CliError(ExitCode.notRunning, 'a line of the answer is too long')
      yield* lines
    }
  } catch (error) {
    // A socket that breaks or is destroyed ends the answer; the caller sees that its end is missing.
    if (error instanceof CliError) throw error
  }
}

type Answer =
  | { readonly row: unknown }
  | { readonly end: { readonly code: number } }
  | { readonly end?: undefined; readonly error: { readonly code: number; readonly text: string } }

function parseAnswer(line: string): Answer {
  const shown = line.slice(0, 80)
  let answer: unknown
  try {
    answer = JSON.parse(line)
  } catch {
    throw new CliError(ExitCode.notRunning, `what answers at the control socket does not speak JSON: ${shown}`)
  }
  if (typeof answer === 'object' && answer !== null && ('row' in answer || 'end' in answer || 'error' in answer)) return answer as Answer
  throw new CliError(ExitCode.notRunning, `what answers at the control socket does not speak the protocol: ${shown}`)
}

function exitCodeOf(code: number): ExitCode {
  return Object.values(ExitCode).find((known) => known === code) ?? ExitCode.findings
}

function connect(dataDir: string): Promise<Socket> {
  const path = join(dataDir, 'control.sock')
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    socket.once('connect', () => {
      socket.removeListener('error', failed)
      // A broken connection shows as an answer without an end.
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    const failed = (error: NodeJS.ErrnoException): void => reject(connectError(path, error))
    socket.once('error', failed)
  })
}

function connectError(path: string, error: NodeJS.ErrnoException): CliError {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new CliError(
      ExitCode.notRunning,
      `no server is running here (nobody listens at ${path}); is --config the one it was started with?`,
    )
  }
  const hint = error.code === 'EACCES' ? '; run this as the user that the server runs as' : ''
  return new CliError(ExitCode.notRunning, `cannot reach the server at ${path}: ${error.code ?? error.message}${hint}`)
}
