import assert from 'node:assert/strict'
import { createHash, type X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer, connect as connectPlain, type AddressInfo, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { TLSSocket, connect, createSecureContext, type ConnectionOptions, type SecureVersion } from 'node:tls'
import { systemClock } from '../../../src/lib/clock.ts'
import { makeSelfSigned } from '../../../src/net/tls-self-signed.ts'
import { authTls, hasBinding, serverEndPoint } from '../../../src/session/auth/binding.ts'
import { certificateAddresses } from '../../../src/session/auth/certificate.ts'
import type { AuthTls } from '../../../src/session/auth/ports.ts'
import { client as scramClient } from './scram-client.ts'
import { bench as authBench, contextOf } from './twins.ts'
import { caPem, clientTls, otherTls, serverTls } from '../../support/tls.ts'

interface Pair {
  readonly client: TLSSocket
  readonly server: TLSSocket
}

/** A server that upgrades connections itself, as STARTTLS does. */
class TlsBench {
  readonly #server: Server
  readonly #sockets: Socket[] = []
  readonly #context = createSecureContext({ cert: serverTls.certPem, key: serverTls.keyPem, ca: caPem, sessionIdContext: 'bench' })

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(t: TestContext): Promise<TlsBench> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bench = new TlsBench(server)
    t.after(() => bench.#close())
    return bench
  }

  async handshake(version: SecureVersion, options: ConnectionOptions = {}): Promise<Pair> {
    const { port } = this.#server.address() as AddressInfo
    const accepted = once(this.#server, 'connection') as Promise<[Socket]>
    const plain = connectPlain(port, '127.0.0.1')
    const [socket] = await accepted
    const server = new TLSSocket(socket, { isServer: true, secureContext: this.#context, requestCert: true, rejectUnauthorized: false })
    const client = connect({ socket: plain, ca: caPem, servername: 'localhost', minVersion: version, maxVersion: version, ...options })
    this.#sockets.push(socket, plain)
    for (const one of [server, client]) one.on('error', () => undefined)
    await Promise.all([once(server, 'secure'), once(client, 'secureConnect')])
    return { client, server }
  }

  #close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

test('TLS 1.3: both ends export the same key, and there is no tls-unique', async (t) => {
  const bench = await TlsBench.start(t)
  const { client, server } = await bench.handshake('TLSv1.3')
  const tls = authTls(server)
  assert.deepEqual(tls.binding('tls-exporter'), client.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)))
  assert.equal(tls.binding('tls-unique'), undefined)
  assert.equal(hasBinding(tls), true)
  const other = await bench.handshake('TLSv1.3')
  assert.notDeepEqual(authTls(other.server).binding('tls-exporter'), tls.binding('tls-exporter'))
})

test('TLS 1.2: tls-unique is what the client sent first, and there is no exporter', async (t) => {
  const bench = await TlsBench.start(t)
  const { client, server } = await bench.handshake('TLSv1.2')
  const tls = authTls(server)
  assert.deepEqual(tls.binding('tls-unique'), client.getFinished())
  assert.equal(tls.binding('tls-exporter'), undefined)
})

test('TLS 1.2 resumed has no binding at all', async (t) => {
  const bench = await TlsBench.start(t)
  const first = await bench.handshake('TLSv1.2')
  const session = first.client.getSession()
  assert.ok(session)
  const { server } = await bench.handshake('TLSv1.2', { session })
  assert.equal(server.isSessionReused(), true, 'the session was resumed')
  assert.equal(hasBinding(authTls(server)), false)
})

for (const [version, binding] of [
  ['TLSv1.3', 'tls-exporter'],
  ['TLSv1.2', 'tls-unique'],
] as const) {
  test(`SCRAM-SHA-256-PLUS over ${version} succeeds on its own connection and fails through somebody in the middle`, async (t) => {
    const bench = await TlsBench.start(t)
    const { authenticator } = authBench()
    const [own, middle] = [await bench.handshake(version), await bench.handshake(version)]
    const data = ({ client }: Pair): Buffer | undefined =>
      version === 'TLSv1.3' ? client.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)) : client.getFinished()
    const login = (end: Pair): string | undefined => {
      const exchange = authenticator.begin('SCRAM-SHA-256-PLUS', contextOf({ tls: authTls(own.server) }))
      const bindingData = data(end) ?? assert.fail('no binding data')
      const { last, signature } = scramClient(exchange, { flag: 'p', binding, bindingData })
      return last.kind === 'challenge' && last.data === signature ? 'success' : last.reply
    }
    assert.equal(login(own), 'success')
    assert.equal(login(middle), 'credentials')
  })
}

test('tls-server-end-point is the hash of the certificate that the client saw', async (t) => {
  const bench = await TlsBench.start(t)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { client, server } = await bench.handshake(version)
    const raw = client.getPeerX509Certificate()?.raw ?? assert.fail('no certificate')
    assert.deepEqual(authTls(server).binding('tls-server-end-point'), createHash('sha256').update(raw).digest())
  }
})

test('the hash of tls-server-end-point follows the signature, and SHA-256 stands in for weak ones', () => {
  const raw = Buffer.from('certificate')
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['md5WithRSAEncryption', 'sha256'],
    ['sha1WithRSAEncryption', 'sha256'],
    ['ecdsa-with-SHA1', 'sha256'],
    ['sha256WithRSAEncryption', 'sha256'],
    ['ecdsa-with-SHA384', 'sha384'],
    ['sha512WithRSAEncryption', 'sha512'],
    ['ED25519', undefined],
    ['rsassaPss', undefined],
  ]
  for (const [signatureAlgorithm, hash] of cases) {
    const expected = hash && createHash(hash).update(raw).digest()
    assert.deepEqual(serverEndPoint({ raw, signatureAlgorithm } as X509Certificate), expected, signatureAlgorithm)
  }
  assert.equal(serverEndPoint(undefined), undefined)
})

test('only a certificate that the authority vouches for has addresses', async (t) => {
  const bench = await TlsBench.start(t)
  const addresses = async (options: ConnectionOptions): Promise<AuthTls['certificateAddresses']> =>
    authTls((await bench.handshake('TLSv1.3', options)).server).certificateAddresses
  assert.deepEqual(await addresses({ cert: clientTls.certPem, key: clientTls.keyPem }), ['anna@example.org'])
  assert.deepEqual(await addresses({}), [])
  const selfSigned = await makeSelfSigned('anna.example.org', systemClock.now())
  assert.deepEqual(await addresses({ cert: selfSigned.cert, key: selfSigned.key }), [])
  assert.deepEqual(await addresses({ cert: otherTls.certPem, key: otherTls.keyPem }), [], 'a certificate without addresses')
})

const NAMES: readonly (readonly [string, readonly string[]])[] = [
  ['email:Anna@Example.ORG, DNS:mx.example.org', ['anna@example.org']],
  ['DNS:mx.example.org', []],
  ['email:a@example.org, email:b@example.org, email:A@example.org', ['a@example.org', 'b@example.org']],
  ['DNS:"x, email:evil@example.org"', []],
  ['email:"a, email:evil@example.org"', ['a, email:evil@example.org']],
  ['URI:"http://x/\\", email:evil@example.org"', []],
  ['othername:<unsupported>, email:a@example.org', ['a@example.org']],
  ['email:"broken\\', []],
  ['email:"a\\qb"', []],
  ['', []],
]
for (const [text, addresses] of NAMES) {
  test(`subjectAltName ${JSON.stringify(text)}`, () => {
    assert.deepEqual(certificateAddresses({ subjectAltName: text }), addresses)
  })
}

test('a certificate has at most 32 addresses', () => {
  const subjectAltName = Array.from({ length: 100 }, (_, n) => `email:a${n}@example.org`).join(', ')
  assert.equal(certificateAddresses({ subjectAltName }).length, 32)
})
