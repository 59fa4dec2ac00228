// Handing in mail by the plain client: one line a message where a test is about something else.

import assert from 'node:assert/strict'
import type { Server } from './server.ts'
import { SmtpClient, type Reply } from './smtp-client.ts'

/** A message with nothing remarkable in it. */
export const HELLO = 'From: <anna@home.test>\r\nSubject: hello\r\n\r\nhello\r\n'

/** An address, or one with the parameters of its RCPT. */
export type To = string | readonly [address: string, parameters: string]

export interface Mail {
  /** Default: anna@home.test. */
  readonly from?: string
  readonly to: string | readonly To[]
  /** Parameters of MAIL. */
  readonly mail?: string
  /** Ends in CRLF, dots stuffed; default HELLO. */
  readonly content?: string
}

/** Connects and says EHLO. */
export async function greeted(port: number, localAddress?: string): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port, '127.0.0.1', false, localAddress)
  await client.expect(250, 'EHLO client.test')
  return client
}

/** The id in `250 2.0.0 queued as ID`. */
export function queuedId(reply: Reply): string {
  const text = `${reply.code} ${reply.lines.join(' ')}`
  return /^250 2\.0\.0 queued as ([0-9a-z]{11})$/.exec(text)?.[1] ?? assert.fail(`not accepted: ${text}`)
}

/** MAIL and RCPT, each answered 250. */
export async function envelope(client: SmtpClient, { from = 'anna@home.test', to, mail = '' }: Mail): Promise<void> {
  await client.expect(250, `MAIL FROM:<${from}> ${mail}`.trimEnd())
  for (const one of typeof to === 'string' ? [to] : to) {
    const [address, parameters] = typeof one === 'string' ? [one, ''] : one
    await client.expect(250, `RCPT TO:<${address}> ${parameters}`.trimEnd())
  }
}

/** One message; resolves with its id. */
export async function handInBy(client: SmtpClient, mail: Mail): Promise<string> {
  await envelope(client, mail)
  await client.expect(354, 'DATA')
  return queuedId(await client.command(`${mail.content ?? HELLO}.`))
}

/** One message by a connection of its own. */
export async function handIn(server: Server, mail: Mail): Promise<string> {
  using client = await greeted(server.port())
  const id = await handInBy(client, mail)
  await client.quit()
  return id
}

/** A content by BDAT in one chunk; resolves with the id. */
export async function handInChunk(client: SmtpClient, mail: Mail, content: Buffer): Promise<string> {
  await envelope(client, mail)
  client.write(Buffer.concat([Buffer.from(`BDAT ${content.length} LAST\r\n`), content]))
  return queuedId(await client.reply())
}
