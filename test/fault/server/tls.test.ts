// TLS of others that is broken, or somebody else's: where it is only wished for, mail goes in plain text; where it is
// required, mail waits with a clear text and not one octet of it goes out.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startServer, type Server } from '../../support/server.ts'
import { SmtpClient } from '../../support/smtp-client.ts'
import { SmtpSink } from '../../support/smtp-sink.ts'
import { otherTls } from '../../support/tls.ts'
import { ask, logs, queued } from '../support/watch.ts'
import { Peer, type Act, type Behaviour } from '../support/peer.ts'

const ESMTP_TLS = { extensions: ['PIPELINING', 'STARTTLS'] }

/** Answers STARTTLS like this on every connection. */
function starttls(act: string | Act): Behaviour {
  return ({ verb }) => (verb === 'STARTTLS' ? act : undefined)
}

/** STARTTLS is offered, and what comes of it. */
const BROKEN = {
  refused: starttls('454 4.7.0 not now\r\n'),
  unknown: starttls('500 5.5.1 what\r\n'),
  garbage: starttls({ say: '220 2.0.0 go\r\nthis is no handshake\r\n', then: 'deaf' }),
  closes: starttls({ say: '220 2.0.0 go\r\n', then: 'close' }),
  resets: starttls({ say: '220 2.0.0 go\r\n', then: 'cut' }),
  silent: starttls({ say: '220 2.0.0 go\r\n', then: 'deaf' }),
} satisfies Record<string, Behaviour>

const NAMES = Object.keys(BROKEN) as (keyof typeof BROKEN)[]

const peers = new Map<string, Peer>()
let other: SmtpSink
let good: SmtpSink
let plain: SmtpSink
let server: Server
const ids = new Map<string, string>()

before(async () => {
  for (const name of NAMES) peers.set(name, await Peer.start(BROKEN[name], ESMTP_TLS))
  for (const name of NAMES) peers.set(`strict-${name}`, await Peer.start(BROKEN[name], ESMTP_TLS))
  other = await SmtpSink.start({ tls: 'starttls', certificate: otherTls })
  good = await SmtpSink.start({ tls: 'starttls' })
  plain = await SmtpSink.start()
  const broken = [...peers].map(([name, { port }]) => {
    return { domain: `${name}.test`, to: `smtp://127.0.0.1:${port}${name.startsWith('strict') ? '?tls=required' : ''}` }
  })
  server = await startServer({
    routes: [
      ...broken,
      { domain: 'other-wished.test', to: `smtp://127.0.0.1:${other.port}` },
      { domain: 'other-verified.test', to: `smtp://localhost:${other.port}?tls=verify` },
      { domain: 'good-verified.test', to: `smtp://localhost:${good.port}?tls=verify` },
      { domain: 'plain-required.test', to: `smtp://127.0.0.1:${plain.port}?tls=required` },
      { domain: 'plain-implicit.test', to: `smtps://127.0.0.1:${plain.port}?tls=required` },
    ],
    retry: { first: '200ms', max: '500ms', expire: '1h' },
    limits: { startTlsTimeoutMs: '1s', bannerTimeoutMs: '1s' },
  })
  using client = await SmtpClient.connect(server.port())
  await client.expect(250, 'EHLO test')
  for (const name of [...peers.keys(), 'other-wished', 'other-verified', 'good-verified', 'plain-required', 'plain-implicit']) {
    const reply = await client.send('a@example.org', [`b@${name}.test`], `Subject: ${name}\r\n\r\nx\r\n`)
    ids.set(name, /queued as (\w+)/.exec(reply.lines[0] ?? '')?.[1] ?? '')
  }
})

after(async () => {
  await server[Symbol.asyncDispose]()
  for (const one of [...peers.values(), other, good, plain]) await one[Symbol.asyncDispose]()
})

/** The message waits; why is in the log and in `explain`. */
async function waitsBecause(name: string, text: RegExp): Promise<void> {
  await logs(server, new RegExp(`${text.source}.*site backed off`))
  const [row] = await ask<{ state: string; binding: { origin: string } | null }>(server, 'explain', { id: ids.get(name) })
  // A probe may be under way at this moment; otherwise the back-off is what binds.
  if (row?.state === 'ready' && row.binding?.origin.includes('4.7.')) assert.match(row.binding.origin, text)
  assert.ok((await queued(server)).some(({ recipient, attempts }) => recipient === `b@${name}.test` && attempts === 0))
}

for (const name of NAMES) {
  test(`STARTTLS that fails (${name}) leads to plain text where TLS is opportunistic`, async () => {
    const peer = peers.get(name) as Peer
    await peer.takes(1)
    await logs(server, new RegExp(`:${peer.port}\\b.*TLS failed, sending in plain text`))
  })

  test(`STARTTLS that fails (${name}) keeps the message where TLS is required`, async () => {
    const peer = peers.get(`strict-${name}`) as Peer
    await peer.until(20_000, 'several tries', () => peer.connections >= 3)
    await waitsBecause(
      `strict-${name}`,
      name === 'refused' || name === 'unknown' ? /4\.7\.0 not now|5\.5\.1 what|not now|what/ : /TLS handshake with .* failed/,
    )
    assert.equal(peer.contents, 0)
  })
}

test('a certificate for another name keeps the message where it is to be verified', async () => {
  await waitsBecause('other-verified', /certificate not accepted: .*localhost.*wrong\.name\.test/)
  assert.deepEqual(
    other.messages.filter(({ to }) => to[0] === 'b@other-verified.test'),
    [],
  )
})

test('a certificate for another name is better than none where nothing is verified', async () => {
  await other.received(1)
  assert.deepEqual(
    other.messages.map(({ to, tls }) => [to[0], tls]),
    [['b@other-wished.test', 'TLSv1.3']],
  )
})

test('the right certificate of a known authority is accepted', async () => {
  const [message] = await good.received(1)
  assert.equal(message?.tls, 'TLSv1.3')
})

test('mail that requires TLS waits at a server without', async () => {
  await waitsBecause('plain-required', /TLS is required but not offered/)
  await waitsBecause('plain-implicit', /TLS handshake with .* failed/)
  assert.equal(plain.count, 0)
})
