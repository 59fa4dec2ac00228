// fanout: one message to 10,000 recipients over 2,000 sites, against 10,000 single messages to the same sites. The figure
// is recipients a second, from the first byte until the sink has the last transaction.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startServer, type Server } from '../../test/support/server.ts'
import { SmtpClient } from '../../test/support/smtp-client.ts'
import type { BenchOptions } from '../macro/options.ts'
import { during } from '../macro/progress.ts'
import { say } from '../macro/report.ts'
import { Sink } from '../macro/sink.ts'
import { messageOf, runSource } from '../macro/source.ts'
import { median } from '../macro/stats.ts'
import { brief, table, whole } from '../macro/table.ts'

const SITES = 2_000
const RECIPIENTS = 10_000
const DEADLINE_MS = 120_000

interface Pair {
  readonly single: number
  readonly fanned: number
}

/** A loopback address a site, so that each is one to connections and limits. */
function siteAddress(index: number): string {
  return `127.1.${Math.floor(index / 200)}.${(index % 200) + 1}`
}

const recipients = Array.from({ length: RECIPIENTS }, (_, index) => `r${index}@d${index % SITES}.test`)

async function singles(server: Server, sink: Sink, options: BenchOptions, bytes: number): Promise<number> {
  sink.reset()
  const arrived = sink.reaches(RECIPIENTS, DEADLINE_MS)
  const source = runSource({
    port: server.port(),
    messages: RECIPIENTS,
    bytes,
    connections: options.connections,
    recipients,
    pipelining: true,
  })
  const [{ startedAt }, at] = await during(() => `single messages: ${sink.messages}`, Promise.all([source, arrived]))
  return RECIPIENTS / ((at - startedAt) / 1000)
}

/** The sink gets a transaction a site: five recipients of a domain share one. */
async function fanned(server: Server, sink: Sink, bytes: number): Promise<number> {
  sink.reset()
  const arrived = sink.reaches(SITES, DEADLINE_MS)
  const client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO bench.test')
  const startedAt = performance.timeOrigin + performance.now()
  await client.expect(250, 'MAIL FROM:<a@example.org>')
  client.write(recipients.map((recipient) => `RCPT TO:<${recipient}>\r\n`).join(''))
  for (const recipient of recipients) {
    const reply = await client.reply()
    if (reply.code !== 250) throw new Error(`${recipient}: ${reply.code} ${reply.lines.join(' ')}`)
  }
  await client.expect(354, 'DATA')
  client.write(messageOf(bytes))
  if ((await client.reply()).code !== 250) throw new Error('the message was not accepted')
  const at = await during(() => `one message: ${sink.messages} of ${SITES} sites`, arrived)
  await client.quit()
  return RECIPIENTS / ((at - startedAt) / 1000)
}

export async function fanout(options: BenchOptions, folder: string): Promise<unknown> {
  const sink = await Sink.start({ host: '0.0.0.0' })
  mkdirSync(join(folder, 'fanout'))
  const config = {
    hostname: 'mx.bench.test',
    threads: { ...options.threads, inspect: 1 },
    listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }],
    relayFrom: ['127.0.0.0/8'],
    routes: Array.from({ length: SITES }, (_, index) => ({ domain: `d${index}.test`, to: `smtp://${siteAddress(index)}:${sink.port}` })),
    smtp: { recipientsMax: RECIPIENTS },
    log: { level: 'warn' },
  }
  const server = await startServer(config, join(folder, 'fanout'))
  const bytes = options.sizes[0] ?? 4096
  const runs: Pair[] = []
  try {
    for (let run = 0; run < options.runs; run++)
      runs.push({ single: await singles(server, sink, options, bytes), fanned: await fanned(server, sink, bytes) })
  } finally {
    await server.stop(60_000)
    await sink.stop()
  }
  const ratio = median(runs.map((run) => run.fanned / run.single))
  say(
    table(
      ['', 'recipients/s'],
      [
        ['single messages', whole(median(runs.map((run) => run.single)))],
        ['one message', whole(median(runs.map((run) => run.fanned)))],
      ],
    ),
  )
  say(`one message to ${whole(RECIPIENTS)} recipients over ${whole(SITES)} sites goes at ${brief(ratio)} of the rate of single ones`)
  return { runs, ratio }
}
