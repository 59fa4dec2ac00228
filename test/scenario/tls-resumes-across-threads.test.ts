// TLS (RFC 3207, RFC 8314): the certificate for the name that is asked for, and sessions that resume in whichever thread
// the kernel gives the connection to.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { idFromText, shardOf } from '../../src/spool/ids.ts'
import { ownerOf } from '../../src/threads/topology.ts'
import { greeted, handInBy } from '../support/mail.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { caPem, peerTls } from '../support/tls.ts'

const NET_THREADS = 2
/** So many connections that all of them in one of two threads would be a wonder. */
const CONNECTIONS = 20

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const server = stack.use(
  await startServer({
    threads: { net: NET_THREADS, deliver: 1 },
    routes: [{ domain: '*', to: 'discard:' }],
    tls: { names: [{ name: ['peer.rohrpost.test', '*.wild.test'], cert: peerTls.cert, key: peerTls.key }] },
    listeners: [
      { protocol: 'smtp', port: 0, tls: 'starttls' },
      { protocol: 'smtp', name: 'smtps', port: 0, tls: 'implicit' },
    ],
  }),
)

async function implicit(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ port: server.port('smtps'), host: '127.0.0.1', ca: caPem, rejectUnauthorized: false, ...options })
  stack.defer(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  test(`a ${version} session of one thread resumes in every other`, async () => {
    const options = { servername: 'localhost', minVersion: version, maxVersion: version }
    const first = await implicit(options)
    const [ticket] = (first.getTLSTicket() ? [first.getSession()] : await once(first, 'session')) as [Buffer]
    const threads = new Set<string>()
    for (let n = 0; n < CONNECTIONS; n++) {
      const socket = await implicit({ ...options, session: ticket })
      using client = await SmtpClient.over(socket)
      assert.ok(socket.isSessionReused(), `connection ${n} was made anew`)
      await client.expect(250, 'EHLO client.test')
      threads.add(ownerOf(shardOf(idFromText(await handInBy(client, { to: 'b@c.test' }))), NET_THREADS))
    }
    assert.equal(threads.size, NET_THREADS, 'the kernel gave all connections to one thread')
  })
}

test('the certificate is that of the name asked for, for STARTTLS and from the start', async () => {
  const names: readonly (readonly [string | undefined, string])[] = [
    ['peer.rohrpost.test', 'peer.rohrpost.test'],
    ['PEER.rohrpost.test', 'peer.rohrpost.test'],
    ['any.wild.test', 'peer.rohrpost.test'],
    ['other.test', 'self-signed'],
    [undefined, 'self-signed'],
  ]
  for (const [servername, expected] of names) {
    const options = { rejectUnauthorized: false, servername: servername ?? '' }
    const tls = await implicit(options)
    using client = await greeted(server.port())
    const upgraded = await client.startTls(options)
    for (const socket of [tls, upgraded]) {
      const { subject } = socket.getPeerCertificate()
      assert.equal(subject.CN === 'peer.rohrpost.test', expected === 'peer.rohrpost.test', `${servername}: ${String(subject.CN)}`)
    }
  }
})

test('a session may be secured once, and says so in its keywords', async () => {
  using client = await greeted(server.port())
  assert.ok((await client.expect(250, 'EHLO client.test')).lines.includes('STARTTLS'))
  await client.startTls({ rejectUnauthorized: false })
  await client.expect(503, 'MAIL FROM:<a@b.test>')
  assert.ok(!(await client.expect(250, 'EHLO client.test')).lines.includes('STARTTLS'))
  await client.expect(503, 'STARTTLS')
})
