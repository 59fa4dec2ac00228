// JSON from an authorization server: one request, bounded in time and bytes, redirects refused. Net thread.

import { err, ok, type Result } from '../../lib/result.ts'
import type { Clock } from '../../lib/clock.ts'

export interface HttpLimits {
  readonly timeoutMs: number
  readonly responseBytesMax: number
}

export const HTTP_LIMITS: HttpLimits = { timeoutMs: 5000, responseBytesMax: 262_144 }

export interface JsonRequest {
  readonly url: string
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** The value of a 200 reply, or in a few words why there is none. Never rejects. */
export async function requestJson(request: JsonRequest, limits: HttpLimits, clock: Clock): Promise<Result<unknown, string>> {
  const controller = new AbortController()
  const timer = clock.after(limits.timeoutMs, () => controller.abort(new Error(`no answer in ${limits.timeoutMs} ms`)))
  try {
    const response = await fetch(request.url, {
      method: request.method,
      headers: { accept: 'application/json', ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      // A redirect could lead a token, or the trust in a key, to another host.
      redirect: 'error',
      signal: controller.signal,
    })
    const text = await boundedText(response, limits.responseBytesMax)
    if (response.status !== 200) return err(`status ${response.status}`)
    return text === undefined ? err(`more than ${limits.responseBytesMax} bytes`) : ok(JSON.parse(text))
  } catch (error) {
    return err(reasonOf(error))
  } finally {
    timer.cancel()
  }
}

/** The body as text, undefined when it is too long; the rest is not read then. */
async function boundedText(response: Response, bytesMax: number): Promise<string | undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let bytes = 0
  let text = ''
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
