// What the interop tests share: a Rohrpost between a client or peer and a sink.

import { startServer, type Server, type ServerConfig } from '../support/server.ts'
import { SmtpSink, type SinkOptions } from '../support/smtp-sink.ts'

export interface Relay extends AsyncDisposable {
  readonly server: Server
  readonly sink: SmtpSink
}

/** Short enough for tests, long enough that a retry is never what makes one pass in time. */
export const RETRY: Readonly<Record<string, string>> = { first: '2s', max: '5s', expire: '1h' }

/** A server that hands everything to a sink. */
export async function startRelay(config: ServerConfig = {}, sinkOptions: SinkOptions = {}): Promise<Relay> {
  const sink = await SmtpSink.start(sinkOptions)
  try {
    const server = await startServer({ routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }], retry: RETRY, ...config })
    return {
      server,
      sink,
      async [Symbol.asyncDispose](): Promise<void> {
        await server[Symbol.asyncDispose]()
        await sink.stop()
      },
    }
  } catch (error) {
    await sink.stop()
    throw error
  }
}

/** Rohrpost's own trace field: the newest one, which stands first. */
export function newestReceived(data: Buffer): string {
  const match = /^Received: (?:[^\r]|\r\n[ \t])*/m.exec(data.toString('latin1'))
  return (match?.[0] ?? '').replaceAll(/\r\n[ \t]+/g, ' ')
}

/** The header field added by the server called `name`, unfolded. */
export function receivedBy(data: Buffer, name: string): string {
  const header = data.toString('latin1').split('\r\n\r\n')[0] ?? ''
  const fields = header.replaceAll(/\r\n[ \t]+/g, ' ').split('\r\n')
  return fields.find((field) => field.startsWith('Received:') && field.includes(`by ${name}`)) ?? ''
}
