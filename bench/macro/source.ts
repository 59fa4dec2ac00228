// The load source as the suites use it: workers that share the messages to send, one report at the end.

import { Worker } from 'node:worker_threads'
import { build, decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js'

/** What one worker is given. */
export interface SourceJob {
  readonly host: string
  readonly port: number
  readonly connections: number
  /** Messages on a connection before it is closed and opened anew. */
  readonly perConnection: number
  readonly tls: boolean
  /** MAIL, RCPT and DATA in one write (RFC 2920) instead of one by one as smtp-source does. */
  readonly pipelining: boolean
  readonly sender: string
  /** Used in turn. */
  readonly recipients: readonly string[]
  /** The content with CRLF line ends and the final dot. */
  readonly message: Uint8Array
  /** Int32: messages left for all workers. */
  readonly left: SharedArrayBuffer
}

/** What one worker tells at its end. */
export interface SourceReport {
  readonly sent: number
  readonly handshakes: number
  readonly problems: readonly (readonly [string, number])[]
  readonly histogram: string
  /** ms since 1970 with fractions. */
  readonly endedAt: number
}

export interface SourceOptions {
  readonly port: number
  readonly messages: number
  readonly bytes: number
  readonly connections: number
  readonly host?: string
  readonly perConnection?: number
  readonly tls?: boolean
  readonly pipelining?: boolean
  readonly recipients?: readonly string[]
  readonly workers?: number
}

export interface SourceResult {
  readonly sent: number
  readonly handshakes: number
  readonly seconds: number
  /** ms since 1970 with fractions. */
  readonly startedAt: number
  /** µs from the end of the content to its 250. */
  readonly latency: Histogram
}

const LINE = 'The quick brown fox jumps over the lazy dog, 0123456789 and over again.\r\n'

/** A message whose content has exactly so many bytes, line ends counted, the final dot not. */
export function messageOf(bytes: number): Buffer {
  const header = 'From: a@example.org\r\nTo: b@example.net\r\nSubject: bench\r\n\r\n'
  const body = LINE.repeat(Math.ceil(bytes / LINE.length)).slice(0, Math.max(0, bytes - header.length - 2))
  // A cut within a line end would leave a bare CR.
  return Buffer.from(`${header}${body.replace(/\r$/, 'x')}\r\n.\r\n`)
}

function runWorker(job: SourceJob): Promise<SourceReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./source.worker.ts', import.meta.url), { workerData: job, name: 'bench source' })
    worker.once('message', (report: SourceReport) => {
      resolve(report)
      void worker.terminate()
    })
    worker.once('error', reject)
  })
}

/** Sends the messages. Throws when any was refused or lost: a figure with errors in it means nothing. */
export async function runSource(options: SourceOptions): Promise<SourceResult> {
  const left = new SharedArrayBuffer(4)
  new Int32Array(left)[0] = options.messages
  const workers = options.workers ?? 1
  const job: SourceJob = {
    host: options.host ?? '127.0.0.1',
    port: options.port,
    connections: Math.max(1, Math.floor(options.connections / workers)),
    perConnection: options.perConnection ?? Number.MAX_SAFE_INTEGER,
    tls: options.tls ?? false,
    pipelining: options.pipelining ?? false,
    sender: 'a@example.org',
    recipients: options.recipients ?? ['b@example.net'],
    message: messageOf(options.bytes),
    left,
  }
  const startedAt = performance.timeOrigin + performance.now()
  const reports = await Promise.all(Array.from({ length: workers }, () => runWorker(job)))
  const latency = build({ lowestDiscernibleValue: 1, highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: 3 })
  for (const report of reports) latency.add(decodeFromCompressedBase64(report.histogram))
  const sent = reports.reduce((sum, report) => sum + report.sent, 0)
  const problems = reports.flatMap((report) => report.problems)
  if (sent !== options.messages || problems.length > 0) {
    throw new Error(`${sent} of ${options.messages} messages accepted: ${problems.map(([what, count]) => `${what} (${count})`).join(', ')}`)
  }
  const endedAt = Math.max(...reports.map((report) => report.endedAt))
  return {
    sent,
    handshakes: reports.reduce((sum, report) => sum + report.handshakes, 0),
    seconds: (endedAt - startedAt) / 1000,
    startedAt,
    latency,
  }
}
