// AUTH (RFC 4954): each mechanism that is announced works against the account it names, and none gives a password away.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { serverEndPoint } from '../../src/session/auth/binding.ts'
import { base64, plain, scram, type ScramOptions } from '../support/sasl.ts'
import { greeted, handInBy, HELLO } from '../support/mail.ts'
import { newestReceived } from '../support/report.ts'
import { startServer } from '../support/server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'
import { SmtpSink } from '../support/smtp-sink.ts'
import { caPath, clientTls, otherTls } from '../support/tls.ts'

const ANNA = 'anna@example.org'
const PASSWORD = 'correct horse'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const sink = stack.use(await SmtpSink.start())
const server = stack.use(
  await startServer({
    tls: { cert: otherTls.cert, key: otherTls.key, clientCa: caPath },
    accounts: [{ name: ANNA, password: PASSWORD }],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${sink.port}` }],
  }),
)

interface Secured {
  readonly client: SmtpClient
  readonly tls: TLSSocket
  readonly offered: readonly string[]
}

// Loopback may relay, so that failures here cost no time: throttling is another promise.

async function secured(options: object = {}): Promise<Secured> {
  const client = await greeted(server.port())
  const tls = await client.startTls({ servername: 'wrong.name.test', ...options })
  const { lines } = await client.expect(250, 'EHLO client.test')
  const offered =
    lines
      .find((line) => line.startsWith('AUTH '))
      ?.split(' ')
      .slice(1) ?? []
  return { client, tls, offered }
}

test('without TLS no mechanism is announced that shows the password, and such a one is refused', async () => {
  using client = await greeted(server.port())
  const { lines } = await client.expect(250, 'EHLO client.test')
  assert.doesNotMatch(lines.join('\n'), /^AUTH .*\b(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|EXTERNAL)\b/m)
  for (const mechanism of ['PLAIN', 'LOGIN']) {
    const refused = await client.expect(538, `AUTH ${mechanism}`)
    assert.match(refused.lines[0] ?? '', /^5\.7\.11 /)
  }
})

test('PLAIN and LOGIN', async () => {
  const { client, offered } = await secured()
  assert.ok(offered.includes('PLAIN') && offered.includes('LOGIN'))
  await client.expect(235, `AUTH PLAIN ${plain(ANNA, PASSWORD)}`)
  await handInBy(client, { from: ANNA, to: 'b@c.test', content: HELLO.replace('anna@home.test', ANNA) })
  assert.match(newestReceived((await sink.received(1))[0]?.data.toString() ?? ''), /with ESMTPSA/)
  client[Symbol.dispose]()
  using login = (await secured()).client
  await login.expect(334, 'AUTH LOGIN')
  await login.expect(334, base64(ANNA))
  await login.expect(235, base64(PASSWORD))
  await login.expect(503, 'AUTH PLAIN')
})

const SCRAM: readonly (readonly [string, ScramOptions | ((tls: TLSSocket) => ScramOptions)])[] = [
  ['SCRAM-SHA-256', { hash: 'sha256' }],
  ['SCRAM-SHA-1', { hash: 'sha1' }],
  [
    'SCRAM-SHA-256-PLUS',
    (tls) => ({
      hash: 'sha256',
      binding: { name: 'tls-exporter', data: tls.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)) },
    }),
  ],
  [
    'SCRAM-SHA-256-PLUS',
    (tls) => ({
      hash: 'sha256',
      binding: { name: 'tls-server-end-point', data: serverEndPoint(tls.getPeerX509Certificate()) ?? Buffer.alloc(0) },
    }),
  ],
]

for (const [mechanism, options] of SCRAM) {
  const given = (tls: TLSSocket): ScramOptions => (typeof options === 'function' ? options(tls) : options)
  const name = typeof options === 'function' ? `${mechanism} bound to the connection` : mechanism
  test(`${name}: the server proves itself too`, async () => {
    const { client, tls, offered } = await secured()
    using _ = client
    assert.ok(offered.includes(mechanism), offered.join(' '))
    assert.equal((await scram(client, mechanism, ANNA, PASSWORD, given(tls))).code, 235)
    await client.expect(250, `MAIL FROM:<${ANNA}>`)
    const wrong = await secured()
    using __ = wrong.client
    assert.equal((await scram(wrong.client, mechanism, ANNA, 'wrong', given(wrong.tls))).code, 535)
  })
}

test('a binding to another connection is refused: somebody sits in between', async () => {
  const { client } = await secured()
  using _ = client
  const binding = { name: 'tls-exporter', data: Buffer.alloc(32) }
  assert.equal((await scram(client, 'SCRAM-SHA-256-PLUS', ANNA, PASSWORD, { hash: 'sha256', binding })).code, 535)
  // A client that supports bindings and was told that there are none: a downgrade.
  assert.equal((await scram(client, 'SCRAM-SHA-256', ANNA, PASSWORD, { hash: 'sha256', flag: 'y' })).code, 535)
})

test('EXTERNAL takes the name in a certificate of our authority', async () => {
  const { client, offered } = await secured({ cert: clientTls.certPem, key: clientTls.keyPem })
  using _ = client
  assert.ok(offered.includes('EXTERNAL'), offered.join(' '))
  await client.expect(235, 'AUTH EXTERNAL =')
  await client.expect(250, `MAIL FROM:<${ANNA}>`)
  const other = await secured({ cert: clientTls.certPem, key: clientTls.keyPem })
  using __ = other.client
  await other.client.expect(535, `AUTH EXTERNAL ${base64('chef@example.org')}`)
  const without = await secured()
  using ___ = without.client
  assert.ok(!without.offered.includes('EXTERNAL'))
})
